"""The main job: spec -> plan -> execute -> join -> account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from cluster.attempt import settle_without_work
from cluster.executors import Executor
from cluster.executors.compacting import Compacting
from cluster.ledger import Account, Ledger, compact
from curate.errors import CurateError
from curate.reasons import Reason
from pipelines.grouping import SERIES_TABLE
from pipelines.join import ACCEPTED, join
from pipelines.kernels import warm_kernels
from pipelines.partitions import read_whole
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
    plan = make_plan(spec, workspace, executor, watch, selection)
    execute(plan, workspace, executor, watch)
    account = account_of(workspace.store, plan.job.stage, plan.index.partitions, selection)
    outcomes = Ledger(workspace.store, plan.job.stage).outcomes()
    planned = ((item.key, outcomes.get(item.fingerprint)) for item in plan.read_items())
    current = {key: outcome for key, outcome in planned if outcome is not None}
    manifests = join(spec, workspace, read_whole(workspace.store, SERIES_TABLE), current)
    return balance(spec, plan, manifests, account)


def execute(plan: Plan, workspace: Workspace, executor: Executor, watch: Watch) -> None:
    """Settle what no receipt settles yet."""
    detail = f"more than the largest lane of {plan.largest_lane} bytes"
    for items in plan.read_too_large():
        settle_without_work(plan.job, items, Reason.TOO_LARGE, detail, workspace.store.url)
    compacting = Compacting(executor, workspace.store)
    watch.stream(
        compacting, plan.job, plan.read_left(), count=plan.left.units, items=plan.left.series, cost=plan.left.bytes
    )
    compact(Ledger(workspace.store, plan.job.stage))


def balance(spec: Spec, plan: Plan, manifests: Mapping[str, pa.Table], account: Account) -> Balance:
    """Count the manifests and hold them against the plan. Raises ``Unbalanced``."""
    rows = manifests["series"].select(["status", "reason"]).to_pylist()
    by_status = {
        status: Counter(row["reason"] or "" for row in rows if row["status"] == status)
        for status in ("done", "rejected", "quarantined")
    }
    total = sum(counts.total() for counts in by_status.values())
    done = by_status["done"].total()
    untried = sum(row["status"] == ACCEPTED for row in rows)
    planned = plan.series.counts["rows"]
    if total + untried != planned or done != account.done or untried != plan.items - account.inputs:
        raise Unbalanced(f"{planned} series in the catalogue, {total} in the manifest, {done} done, {untried} untried")
    files = Counter(manifests["files"]["reason"].to_pylist())
    return Balance(
        task=spec.task,
        series=planned,
        done=done,
        rejected=dict(sorted(by_status["rejected"].items())),
        quarantined=dict(sorted(by_status["quarantined"].items())),
        files_set_apart=dict(sorted(files.items())),
        volumes=manifests["volumes"].num_rows,
        bytes_in=sum(manifests["series"]["size_bytes"].to_pylist()),
        bytes_out=account.bytes_out,
        label_issues=dict(sorted(Counter(manifests["label_issues"]["reason"].to_pylist()).items())),
        untried=untried,
    )
