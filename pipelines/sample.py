"""A few series of an archive, built before the rest: what they cost says what the rest will.

They are built like any others and settled by receipts, so nothing of it is done twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

from cluster.attempt import UnitReport
from cluster.executors import Inline
from cluster.job import Job, open_work
from cluster.memory import usable_memory
from cluster.units import Item, Unit, make_unit, memory_needed
from pipelines.grouping import SERIES_TABLE
from pipelines.partitions import partition_of, read_part
from pipelines.plan import Plan
from pipelines.settled import count_left
from pipelines.watch import Watch

CANDIDATES = 1000  # series, the first of the plan: a sample is chosen among them

Built = tuple[tuple[UnitReport, int], ...]  # with the estimate of its memory, bytes


def build_sample(plan: Plan, count: int, watch: Watch) -> tuple[Plan, Built]:
    """Build so many series in this process; return the plan of what is left, and the reports with the estimates."""
    chosen = choose_sample(plan, count)
    if not chosen:
        return plan, ()
    open_work(plan.job)  # not on the first series' time
    estimates = {unit.id: unit.items[0].memory for unit in chosen}
    reports: list[UnitReport] = []
    watch.run(_Listening(plan.store.url, reports), plan.job, chosen)
    left = count_left(plan.store, plan.job.stage, plan.index)
    return replace(plan, left=left), tuple((report, estimates[report.unit_id]) for report in reports)


def choose_sample(plan: Plan, count: int) -> list[Unit]:
    """So many series of what is left, each as a unit: of every site and lane in turn the one of middle size first.

    The same plan and the same ledger give the same sample.
    """
    groups: dict[tuple[str, int], list[Item]] = {}
    memory = usable_memory()  # here, where the sample is built
    fitting = (pair for pair in _items_left(plan) if memory_needed(pair[1]) <= memory)
    candidates = list(islice(fitting, CANDIDATES if count else 0))
    sites = _sites(plan, {item.key for _, item in candidates})
    for unit, item in candidates:
        groups.setdefault((sites[item.key], unit.memory), []).append(item)
    ordered = [
        [make_unit(plan.job.stage, [item], lane) for item in _from_the_middle(groups[site, lane])]
        for site, lane in sorted(groups)
    ]
    in_turn = (unit for unit in chain.from_iterable(zip_longest(*ordered)) if unit is not None)
    return list(islice(in_turn, count))


def _items_left(plan: Plan) -> Iterator[tuple[Unit, Item]]:
    for unit in plan.read_left():
        for item in unit.items:
            yield unit, item


def _sites(plan: Plan, keys: Collection[str]) -> dict[str, str]:
    partitions = plan.series.partitions
    sites: dict[str, str] = {}
    for number in sorted({partition_of(key, partitions) for key in keys}):
        rows = read_part(plan.store, SERIES_TABLE, number, partitions, columns=["series_key", "site"])
        sites |= dict(zip(rows["series_key"].to_pylist(), rows["site"].to_pylist(), strict=True))
    return sites


def _from_the_middle(items: Sequence[Item]) -> list[Item]:
    by_size = sorted(items, key=lambda item: (item.cost, item.key))
    middle = len(by_size) // 2
    return [by_size[n] for n in sorted(range(len(by_size)), key=lambda n: (abs(n - middle), n))]


class _Listening(Inline):
    """An inline executor whose reports are also kept."""

    def __init__(self, store_url: str, reports: list[UnitReport]) -> None:
        super().__init__(store_url)
        self._reports = reports

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        for report in super().run(job, units):
            self._reports.append(report)
            yield report
