"""The main job: spec -> plan -> execute -> join -> account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.attempt import settle_without_work
from cluster.executors import Executor
from cluster.executors.compacting import Compacting
from cluster.ledger import Account, Ledger, compact
from cluster.outcomes import Status
from curate.errors import CurateError
from curate.reasons import Reason
from pipelines.join import Joined, join
from pipelines.kernels import warm_kernels
from pipelines.plan import Plan, make_plan
from pipelines.selection import EVERYTHING, Selection
from pipelines.settled import account_of
from pipelines.spec import Spec
from pipelines.watch import Watch
from pipelines.workspace import Workspace


class Unbalanced(CurateError):
    """Inputs are not the sum of done, rejected and quarantined: a bug, and the result must not be used."""


@dataclass(frozen=True)
class Balance:
    """inputs = done + rejected + quarantined, the last two by reason; for series and for files that are in none."""

    task: str
    series: int
    done: int
    rejected: Mapping[str, int]
    quarantined: Mapping[str, int]
    files_set_apart: Mapping[str, int]
    volumes: int
    bytes_in: int
    bytes_out: int
    label_issues: Mapping[str, int] = field(default_factory=dict)
    untried: int = 0  # series that this run was not to try and no run has: then it is not finished


def run(
    spec: Spec, workspace: Workspace, executor: Executor, watch: Watch, selection: Selection = EVERYTHING
) -> Balance:
    """Do what is left of the plan and write the manifests. May be stopped anywhere and run again.

    Of a selection of series the manifests hold what there is; the balance counts the others as untried.
    """
    executor.prepare(warm_kernels)
    return carry_out(spec, make_plan(spec, workspace, executor, watch, selection), workspace, executor, watch)


def carry_out(spec: Spec, plan: Plan, workspace: Workspace, executor: Executor, watch: Watch) -> Balance:
    """``run`` from a plan on. What the driver has in memory does not grow with the plan."""
    execute(plan, workspace, executor, watch)
    account = account_of(workspace.store, plan.job.stage, plan.index.partitions, plan.selection)
    joined = join(spec, workspace, plan.job.stage, plan.index.partitions)
    return balance(spec, plan, joined, account)


def execute(plan: Plan, workspace: Workspace, executor: Executor, watch: Watch) -> None:
    """Settle what no receipt settles yet."""
    detail = f"more than the largest lane of {plan.largest_lane} bytes"
    for items in plan.read_too_large():
        settle_without_work(plan.job, items, Reason.TOO_LARGE, detail, workspace.store.url)
    compacting = Compacting(executor, workspace.store)
    units = plan.read_left(largest_first=True)
    watch.stream(compacting, plan.job, units, count=plan.left.units, items=plan.left.series, cost=plan.left.bytes)
    compact(Ledger(workspace.store, plan.job.stage))


def balance(spec: Spec, plan: Plan, joined: Joined, account: Account) -> Balance:
    """Hold the manifests against the plan. Raises ``Unbalanced``."""
    done, rejected, quarantined = (joined.series(status.value) for status in Status)
    total, untried = joined.endings.total(), joined.untried
    ended = sum(sum(counts.values()) for counts in (done, rejected, quarantined))
    planned = plan.series.counts["rows"]
    made = sum(done.values())
    if total != planned or ended + untried != planned or made != account.done or untried != plan.items - account.inputs:
        raise Unbalanced(f"{planned} series in the catalogue, {ended} in the manifest, {made} done, {untried} untried")
    return Balance(
        task=spec.task,
        series=planned,
        done=made,
        rejected=rejected,
        quarantined=quarantined,
        files_set_apart=dict(sorted(joined.files.items())),
        volumes=joined.volumes,
        bytes_in=joined.size_bytes,
        bytes_out=account.bytes_out,
        label_issues=dict(sorted(joined.label_issues.items())),
        untried=untried,
    )
