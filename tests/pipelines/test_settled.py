"""Plan minus ledger, partition by partition: the same as plan minus ledger at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cluster.ledger import Ledger, Unaccounted, make_account
from cluster.outcomes import ItemOutcome, Output, Receipt, Status
from cluster.units import Item, Unit, make_unit
from curate.reasons import Reason
from curate.storage import Store, open_store
from pipelines.packing import PLAN_TABLE, Amount, count_rows, items_of, lay_out, units_of, without_settled
from pipelines.partitions import Index, partition_of, read_partitions
from pipelines.settled import account_of, count_left, read_settled, units_left
from pipelines.simulate import simulate
from pipelines.spec import Runtime
from tests.pipelines.test_packing import MIB, packing, series, written

ENDS = (
    (Status.DONE, None),
    (Status.REJECTED, Reason.SLICE_GAP),
    (Status.QUARANTINED, Reason.UNEXPECTED_ERROR),
    (Status.QUARANTINED, Reason.STORAGE_UNAVAILABLE),
)


@pytest.fixture(params=[1, 8])
def planned(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Index]:
    store = open_store(tmp_path / "store")
    return store, lay_out(store, written(store, series(120), request.param), packing())


def units(store: Store) -> list[Unit]:
    return [unit for rows in read_partitions(store, PLAN_TABLE) for unit in units_of("volumes", rows)]


def outcome(item: Item, status: Status, reason: Reason | None, size: int = 0) -> ItemOutcome:
    outputs = (Output("volumes/x", "0" * 64, size),) if size else ()
    return ItemOutcome(item.key, item.fingerprint, status, reason, outputs=outputs)


def publish(store: Store, items: Sequence[Item], ends: Mapping[int, int] | int = 0) -> None:
    """One receipt; ``ends``: the number of an end of ENDS, for all or by the number of the item."""
    outcomes = tuple(
        outcome(item, *ENDS[ends if isinstance(ends, int) else ends.get(number, 0)], size=100 + number)
        for number, item in enumerate(items)
    )
    unit = make_unit("volumes", items, 1)
    Ledger(store, "volumes").publish(Receipt("volumes", 4, unit.id, "p" * 64, outcomes))


def test_of_an_empty_ledger_everything_is_left(planned: tuple[Store, Index]) -> None:
    store, index = planned
    assert list(units_left(store, "volumes", index.partitions)) == units(store)
    assert count_left(store, "volumes", index) == sum(map(count_rows, read_partitions(store, PLAN_TABLE)), Amount())


def test_what_is_left_is_plan_minus_ledger(planned: tuple[Store, Index]) -> None:
    store, index = planned
    everything = units(store)
    publish(store, everything[0].items)
    publish(store, everything[1].items[:1])
    publish(store, everything[2].items, dict(enumerate([0, 1, 2, 3])))
    publish(store, everything[3].items, 3)
    expected = without_settled(everything, Ledger(store, "volumes").settled())
    assert list(units_left(store, "volumes", index.partitions)) == list(expected)
    left = count_left(store, "volumes", index)
    assert left.units == len(expected) == sum(left.lanes.values())
    assert left.series == sum(len(unit.items) for unit in expected)
    assert left.bytes == sum(unit.cost for unit in expected)


def test_the_largest_units_may_come_first(planned: tuple[Store, Index]) -> None:
    store, index = planned
    publish(store, units(store)[0].items[:1])
    plain = list(units_left(store, "volumes", index.partitions))
    found = list(units_left(store, "volumes", index.partitions, largest_first=True))
    assert sorted(found) == sorted(plain)  # items of a unit stay in order
    if index.partitions == 1:
        assert [unit.cost for unit in found] == sorted((unit.cost for unit in plain), reverse=True)
    assert found != plain


def test_a_finished_plan_leaves_nothing(planned: tuple[Store, Index]) -> None:
    store, index = planned
    for unit in units(store):
        publish(store, unit.items, 1)
    assert count_left(store, "volumes", index) == Amount()
    assert list(units_left(store, "volumes", index.partitions)) == []


def test_outcomes_of_other_inputs_settle_nothing(planned: tuple[Store, Index]) -> None:
    store, index = planned
    publish(store, [Item(item.key, "f" * 64) for item in units(store)[0].items])
    assert list(units_left(store, "volumes", index.partitions)) == units(store)
    assert count_left(store, "volumes", index).units == len(units(store))


@pytest.mark.parametrize("order", [(3, 0), (0, 3), (3, 2, 0), (2, 1), (3, 2)])
def test_the_best_outcome_counts_whoever_came_first(tmp_path: Path, order: Sequence[int]) -> None:
    store = open_store(tmp_path)
    item, companion = Item("series-0001", "1" * 64), Item("series-0002", "2" * 64)
    for number, end in enumerate(order):
        publish(store, [item, companion][: number % 2 + 1], end)
    with read_settled(Ledger(store, "volumes"), 4) as settled:
        found = settled.partition(partition_of(item.key, 4))[item.fingerprint]
    assert found.status == min((ENDS[end][0] for end in order), key=lambda status: status.rank)
    known = Ledger(store, "volumes").outcomes()[item.fingerprint]
    assert (known.status, known.reason, known.size) == (found.status, found.reason, found.size)


def test_the_account_in_parts_is_the_account_at_once(planned: tuple[Store, Index]) -> None:
    store, index = planned
    for number, unit in enumerate(units(store)):
        publish(store, unit.items, number % 4)
    items = [item for rows in read_partitions(store, PLAN_TABLE) for item in items_of(rows)]
    found = account_of(store, "volumes", index.partitions)
    assert found == make_account(items, Ledger(store, "volumes").outcomes())
    assert found.inputs == 120
    assert found.done + sum(found.rejected.values()) + sum(found.quarantined.values()) == 120
    assert list(found.quarantined) == sorted(found.quarantined)


def test_an_item_without_an_outcome_is_named(planned: tuple[Store, Index]) -> None:
    store, index = planned
    *most, last = units(store)
    for unit in most:
        publish(store, unit.items)
    publish(store, last.items[1:] or [Item("other", "f" * 64)])
    with pytest.raises(Unaccounted, match=last.items[0].key):
        account_of(store, "volumes", index.partitions)


def test_what_no_lane_holds_is_not_left_but_must_be_accounted_for(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    index = lay_out(store, written(store, series(20), 2), packing(lanes=(512 * MIB,)))
    for unit in units(store):
        publish(store, unit.items)
    assert count_left(store, "volumes", index) == Amount()
    with pytest.raises(Unaccounted):
        account_of(store, "volumes", index.partitions)


def test_nothing_of_the_ledger_stays_behind(planned: tuple[Store, Index], monkeypatch: pytest.MonkeyPatch) -> None:
    store, index = planned
    publish(store, units(store)[0].items)
    monkeypatch.setattr("pipelines.settled.HELD_BYTES", 0)
    folder = Path(tempfile.gettempdir())
    with read_settled(Ledger(store, "volumes"), index.partitions) as settled:
        during = set(folder.glob("curate-ledger-*/outcomes/*.arrow"))
        assert settled.rows > 0
    assert during
    assert not any(path.exists() for path in during)
    left = units_left(store, "volumes", index.partitions)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert not during & set(folder.glob("curate-ledger-*/outcomes/*.arrow"))


def test_ten_times_the_units_take_no_more_memory_of_the_driver(tmp_path: Path) -> None:
    """Every unit is made, one settled series is taken out, and the peak of the process differs by less than 50 MB."""
    code = """
import sys
from pathlib import Path
from cluster.memory import measure_peak
from curate.storage import open_store
from pipelines.packing import PLAN_TABLE
from pipelines.partitions import read_index
from pipelines.settled import count_left, units_left
store = open_store(Path(sys.argv[1]))
index = read_index(store, PLAN_TABLE)
left = count_left(store, "volumes", index)
assert sum(len(unit.items) for unit in units_left(store, "volumes", index.partitions)) == left.series
print(left.units, measure_peak())
"""
    found = []
    for count in (8_000, 80_000):
        store = open_store(tmp_path / str(count))
        plan = simulate(store, "lumbar", count, Runtime(unit_megabytes=20, partition_instances=100_000)).plan
        publish(store, next(plan.read_units()).items)
        arguments = [sys.executable, "-c", code, store.url]
        printed = subprocess.run(arguments, capture_output=True, check=True, text=True).stdout
        found.append(tuple(map(int, printed.split())))
    (some, small), (many, large) = found
    assert many > 9 * some
    assert large < small + 50e6
