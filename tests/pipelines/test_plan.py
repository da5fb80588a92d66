"""Plan minus ledger: units do not shift, and what is settled leaves them."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from cluster.executors import Inline
from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome, Status
from cluster.units import Item
from pipelines.grouping import SERIES_TABLE
from pipelines.packing import PLAN_TABLE, cut, lane_bytes, units_of, without_settled
from pipelines.partitions import read_whole
from pipelines.plan import Plan, make_plan
from pipelines.spec import Runtime
from pipelines.watch import Watch
from tests.support.curated import Curated

RUNTIME = Runtime(unit_megabytes=1, lanes_megabytes=(512, 1024))
LANES = lane_bytes(RUNTIME, 2**40)


def items(count: int, *, megabytes: float = 0.4) -> list[Item]:
    return [Item(f"series-{n:03d}", f"{n:064d}", cost=int(megabytes * 2**20), memory=2**20) for n in range(count)]


def settled(*some: Item) -> dict[str, ItemOutcome]:
    return {item.fingerprint: ItemOutcome(item.key, item.fingerprint, Status.DONE) for item in some}


def test_units_hold_about_what_the_spec_asks_for() -> None:
    units = cut("volumes", items(100), RUNTIME, LANES)
    assert {len(unit.items) for unit in units} == {2}
    assert {unit.memory for unit in units} == {512 * 2**20}


def test_a_small_archive_is_cut_finely_enough_for_many_workers() -> None:
    assert [len(unit.items) for unit in cut("volumes", items(10), RUNTIME, LANES)] == [1] * 10
    few_large = Runtime(unit_megabytes=1000)
    assert 16 <= len(cut("volumes", items(100), few_large, LANES)) <= 20


def test_the_same_items_give_the_same_units_whatever_is_settled() -> None:
    units = cut("volumes", items(100), RUNTIME, LANES)
    left = without_settled(units, settled(*items(100)[:4]))
    assert left == units[2:]


def test_a_settled_item_is_not_done_again_when_its_unit_is() -> None:
    units = cut("volumes", items(100), RUNTIME, LANES)
    left = without_settled(units, settled(items(100)[0]))
    assert [[item.key for item in unit.items] for unit in left[:2]] == [["series-001"], ["series-002", "series-003"]]
    assert left[0].id != units[0].id
    assert left[1] == units[1]


def test_a_settled_plan_leaves_nothing() -> None:
    assert without_settled(cut("volumes", items(5), RUNTIME, LANES), settled(*items(5))) == ()


def test_lanes_are_given_in_bytes() -> None:
    assert lane_bytes(RUNTIME, 2**40) == (512 * 2**20, 1024 * 2**20)


def test_a_lane_that_no_machine_holds_is_left_out() -> None:
    assert lane_bytes(RUNTIME, 700 * 2**20) == (512 * 2**20,)
    assert lane_bytes(RUNTIME, 300 * 2**20) == (300 * 2**20,)


@pytest.fixture
def plan(cervical: Curated) -> Plan:
    store = cervical.workspace.store
    return make_plan(cervical.spec, cervical.workspace, Inline(store.url), Watch(Console(quiet=True)))


def test_every_accepted_series_is_one_item(plan: Plan) -> None:
    accepted = [row["series_key"] for row in series_of(plan) if row["status"] == "accepted"]
    items = list(plan.read_items())
    assert sorted(item.key for item in items) == sorted(accepted)
    assert len({item.fingerprint for item in items}) == plan.items == len(items)


def test_a_series_rejected_by_its_headers_is_never_read(plan: Plan, cervical: Curated) -> None:
    rejected = {row["series_key"] for row in series_of(plan) if row["status"] == "rejected"}
    assert rejected
    assert not rejected & {outcome.key for outcome in Ledger(cervical.workspace.store, "volumes").outcomes().values()}


def test_the_plan_on_disk_is_the_plan(plan: Plan, cervical: Curated) -> None:
    found = read_whole(cervical.workspace.store, PLAN_TABLE)
    assert list(units_of("volumes", found)) == list(plan.read_units())
    table = found.to_pylist()
    planned = {(row["unit"], row["series_key"], row["fingerprint"]) for row in table}
    assert planned == {(unit.id, item.key, item.fingerprint) for unit in plan.read_units() for item in unit.items}
    assert all(row["memory_bytes"] * 5 // 4 <= row["lane_bytes"] for row in table)


def test_memory_grows_with_the_series_and_holds_a_process(plan: Plan) -> None:
    assert all(item.memory > 320 * 2**20 for item in plan.read_items())


def series_of(plan: Plan) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_whole(plan.store, SERIES_TABLE).to_pylist()
    return rows


def test_the_catalogue_says_series_by_series_what_was_found(plan: Plan) -> None:
    for row in series_of(plan):
        assert 0 <= row["instances_used"] <= row["instances"]
        assert (row["reason"] is None) == (row["status"] == "accepted")
