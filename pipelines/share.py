"""One share of a plan: what a job of an array does, without a driver that knows of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.executors import Executor
from cluster.job import Job
from cluster.units import Unit
from curate.errors import Misconfigured
from pipelines.kernels import warm_kernels
from pipelines.made_for import is_made_for
from pipelines.masks import list_masks
from pipelines.packing import PLAN_TABLE
from pipelines.partitions import read_index
from pipelines.settled import units_left
from pipelines.spec import Spec
from pipelines.volumes import volumes_job
from pipelines.watch import Watch
from pipelines.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Share:
    """Number ``number`` (from 0) of ``count`` shares of a plan."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise Misconfigured(f"--shard {self.number}/{self.count}: expected NUMBER/COUNT with 0 <= NUMBER < COUNT")

    @staticmethod
    def parse(text: str) -> Share:
        """``3/40``. Raises ``Misconfigured``."""
        number, slash, count = text.partition("/")
        if not slash or not number.isdecimal() or not count.isdecimal():
            raise Misconfigured(f"--shard {text}: expected NUMBER/COUNT, such as 0/40")
        return Share(int(number), int(count))

    def has(self, unit: Unit) -> bool:
        """Whether a unit is of this share: by its first item, so that every worker of the array says the same."""
        return int(unit.items[0].fingerprint[:12], 16) % self.count == self.number


@dataclass(frozen=True, slots=True)
class Worked:
    """What was left of a share, and of it what needs more memory than this machine has, in units."""

    units: int
    too_large_here: int


def read_plan(spec: Spec, workspace: Workspace) -> tuple[Job, int]:
    """The job of the plan that lies in the store, and in how many partitions it lies; no archive is looked at.

    Raises ``Misconfigured`` when there is none of this spec: ``curate plan`` makes it.
    """
    try:
        partitions = read_index(workspace.store, PLAN_TABLE).partitions
    except FileNotFoundError:
        raise Misconfigured("there is no plan yet: `curate plan` this spec first") from None
    if not is_made_for(spec, workspace):
        raise Misconfigured("the plan of this store is of another spec: `curate plan` this one first")
    masks_key, _ = list_masks(spec, workspace)
    return volumes_job(spec, workspace, masks_key, partitions), partitions


def work_share(spec: Spec, workspace: Workspace, executor: Executor, watch: Watch, share: Share) -> Worked:
    """Settle what is left of a share. Raises ``Misconfigured`` as ``read_plan`` does."""
    executor.prepare(warm_kernels)
    job, partitions = read_plan(spec, workspace)

    def mine() -> Iterator[Unit]:
        return filter(share.has, units_left(workspace.store, job.stage, partitions, largest_first=True))

    units = too_large = items = cost = 0
    for unit in mine():
        units += 1
        too_large += unit.memory > executor.memory
        items += len(unit.items)
        cost += unit.cost
    fitting = (unit for unit in mine() if unit.memory <= executor.memory)
    watch.stream(executor, job, fitting, count=units - too_large, items=items, cost=cost)
    return Worked(units, too_large)
