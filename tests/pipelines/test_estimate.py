"""What a plan will cost: arithmetic on stated rates, and rates that were measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cluster.attempt import UnitReport
from cluster.events import EventLog
from cluster.executors import Inline
from cluster.ledger import Ledger
from curate.storage import open_store
from pipelines.estimate import (
    DEFAULT_BYTES_A_SECOND,
    DEFAULT_WRITTEN,
    UNKNOWN,
    Rate,
    Rates,
    estimate_plan,
    measure_rates,
)
from pipelines.grouping import SERIES_TABLE
from pipelines.packing import Amount
from pipelines.partitions import read_whole
from pipelines.plan import Plan, make_plan
from pipelines.run import run
from pipelines.sample import build_sample, choose_sample
from pipelines.simulate import simulate
from pipelines.spec import Runtime, read_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.curated import Curated, copy_archive

GB = 10**9


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return simulate(open_store(tmp_path_factory.mktemp("simulated")), "cervical", 100, Runtime()).plan


def left(plan: Plan, amount: Amount) -> Plan:
    return replace(plan, left=amount)


def test_the_arithmetic_of_a_cost(simulated: Plan) -> None:
    rates = Rates(Rate(25e6), Rate(1.2), Rate(0.8))
    plan = left(simulated, Amount(units=10, series=40, bytes=900 * GB, memory_bytes=2 * GB, lanes={2**31: 10}))
    cost = estimate_plan(plan, rates, 50, price_per_core_hour=0.04)
    assert cost.core_seconds == 36_000  # 900 GB at 25 MB/s: ten hours of one core
    assert cost.seconds == 720
    assert cost.price == pytest.approx(0.40)
    assert (cost.bytes_read, cost.bytes_written) == (900 * GB, 1080 * GB)
    assert (cost.series_left, cost.units_left, cost.lanes) == (40, 10, {2**31: 10})
    assert cost.settled == 100 - 40


def test_without_a_price_there_is_none_and_nothing_left_costs_nothing(simulated: Plan) -> None:
    cost = estimate_plan(left(simulated, Amount()), Rates(), 4)
    assert (cost.price, cost.core_seconds, cost.bytes_written, cost.settled) == (None, 0.0, 0, 100)


def test_more_cores_need_less_time_and_the_same_core_hours(simulated: Plan) -> None:
    one, many = (estimate_plan(simulated, Rates(), cores, price_per_core_hour=1.0) for cores in (1, 64))
    assert one.seconds == pytest.approx(64 * many.seconds)
    assert (one.core_seconds, one.price) == (many.core_seconds, many.price)
    assert one.seconds == pytest.approx(simulated.amount.bytes / DEFAULT_BYTES_A_SECOND)


def test_a_new_store_has_the_defaults_and_says_so(simulated: Plan) -> None:
    rates = measure_rates(simulated)
    assert rates == Rates()
    assert rates.bytes_a_second == Rate(DEFAULT_BYTES_A_SECOND, UNKNOWN)
    assert rates.written == Rate(DEFAULT_WRITTEN, UNKNOWN)


def test_a_sample_gives_the_rates(simulated: Plan) -> None:
    reports = [
        UnitReport("volumes", "a", done=1, bytes_in=100, bytes_out=90, seconds=2.0, peak_memory_bytes=600),
        UnitReport("volumes", "b", done=1, bytes_in=300, bytes_out=310, seconds=3.0, peak_memory_bytes=500),
        UnitReport("volumes", "c", quarantined=1, bytes_in=10**9, seconds=1.0, peak_memory_bytes=10**9),
    ]
    rates = measure_rates(simulated, list(zip(reports, (1000, 1000, 1000), strict=True)))
    assert rates.bytes_a_second.value == pytest.approx(400 / 5)
    assert rates.written.value == pytest.approx(1.0)
    assert rates.memory.value == pytest.approx(0.6)
    assert rates.memory.source == "2 series of this archive built now"


def test_a_sample_of_which_nothing_was_done_measures_nothing(simulated: Plan) -> None:
    report = UnitReport("volumes", "c", rejected=1, bytes_in=10, seconds=1.0)
    assert measure_rates(simulated, [(report, 1000)]) == Rates()


def test_the_speed_is_that_of_the_units_that_the_store_has_seen(tmp_path: Path) -> None:
    plan = simulate(open_store(tmp_path), "lumbar", 10, Runtime()).plan
    event = (
        b'{"event":"unit_settled","stage":"volumes","done":2,"bytes_in":3000000,"seconds":1.5}\n'
        b'{"event":"unit_settled","stage":"volumes","done":0,"bytes_in":9000000,"seconds":9.0}\n'
        b'{"event":"unit_settled","stage":"catalogue","done":1,"bytes_in":9000000,"seconds":9.0}\n'
        b'{"event":"stage_ended","stage":"volumes","seconds":99}\n'
    )
    open_store(tmp_path).put("events/test/000000.jsonl", event)
    rates = measure_rates(plan)
    assert rates.bytes_a_second == Rate(pytest.approx(2e6), "1 units of earlier runs of this store")
    assert rates.written == Rates.written


def test_rates_of_a_finished_run_are_those_of_its_results(cervical: Curated) -> None:
    store = cervical.workspace.store
    plan = make_plan(cervical.spec, cervical.workspace, Inline(store.url), Watch(Console(quiet=True)))
    rates = measure_rates(plan)
    done = {one.key: one for one in Ledger(store, "volumes").outcomes().values() if one.status.value == "done"}
    read = sum(row["size_bytes"] for row in read_whole(store, SERIES_TABLE).to_pylist() if row["series_key"] in done)
    assert rates.written.value == pytest.approx(sum(one.size for one in done.values()) / read)
    assert rates.written.source == f"{len(done)} series of this store that are done"
    assert 0.1 < rates.memory.value < 4
    assert estimate_plan(plan, rates, 2).series_left == 0


def test_a_cost_names_what_the_headers_rejected(cervical: Curated) -> None:
    store = cervical.workspace.store
    plan = make_plan(cervical.spec, cervical.workspace, Inline(store.url), Watch(Console(quiet=True)))
    rows = read_whole(store, SERIES_TABLE).to_pylist()
    counts = Counter(row["reason"] for row in rows if row["status"] == "rejected")
    assert counts
    assert estimate_plan(plan, Rates(), 1).rejected == counts


def test_a_sample_is_of_every_site_and_the_same_every_time(simulated: Plan) -> None:
    chosen = choose_sample(simulated, 24)
    assert chosen == choose_sample(simulated, 24)
    assert [len(unit.items) for unit in chosen] == [1] * 24
    rows = {row["series_key"]: row["site"] for row in read_whole(simulated.store, SERIES_TABLE).to_pylist()}
    groups = {(rows[unit.items[0].key], unit.memory) for unit in chosen}
    assert len(groups) == min(24, len({(rows[i.key], u.memory) for u in simulated.read_units() for i in u.items}))
    assert choose_sample(simulated, 3) == chosen[:3]
    assert choose_sample(simulated, 0) == []


def test_a_sample_is_built_for_real_and_never_again(lumbar: Curated, tmp_path: Path) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    store = workspace.store
    executor = Inline(store.url)
    with EventLog(store) as events:
        watch = Watch(Console(quiet=True), events)
        plan = make_plan(spec, workspace, executor, watch)
        after, built = build_sample(plan, 3, watch)
    assert sum(report.items for report, _ in built) == 3
    receipts = set(store.list("ledger/volumes"))
    assert len(receipts) == 3
    assert after.left.series == plan.left.series - 3
    assert after.left.bytes == plan.left.bytes - sum(report.bytes_in for report, _ in built)
    assert measure_rates(after, built).bytes_a_second.value > 0
    assert make_plan(spec, workspace, executor, watch) == after
    assert measure_rates(after).bytes_a_second.source.endswith("units of earlier runs of this store")
    balance = run(spec, workspace, executor, watch)
    assert balance == lumbar.balance
    assert receipts < set(store.list("ledger/volumes"))
    keys = [one.key for receipt in Ledger(store, "volumes").receipts() for one in receipt.outcomes]
    assert len(keys) == len(set(keys))
