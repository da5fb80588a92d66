"""Packing: what the scheduler is given must be the same whoever plans it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.units import Item, Unit, halve, make_unit, memory_needed, pack, separate_too_large

LANES = (100, 1000)

items = st.lists(
    st.builds(Item, st.just("k"), st.uuids().map(str), st.integers(0, 50), st.integers(0, 800)), max_size=60
)


def item(name: str, cost: int = 1, memory: int = 1) -> Item:
    return Item(name, f"fingerprint-{name}", cost, memory)


def names(units: list[Unit]) -> list[list[str]]:
    return [[item.key for item in unit.items] for unit in units]


def test_items_are_packed_in_their_order_up_to_the_target() -> None:
    units = list(pack("s", [item(name, cost=4) for name in "abcde"], target_cost=10, lanes=LANES))
    assert names(units) == [["a", "b"], ["c", "d"], ["e"]]
    assert [unit.cost for unit in units] == [8, 8, 4]


def test_an_item_larger_than_the_target_stands_alone() -> None:
    units = list(pack("s", [item("a"), item("huge", cost=99), item("b")], target_cost=10, lanes=LANES))
    assert names(units) == [["a"], ["huge"], ["b"]]


def test_each_unit_has_the_smallest_lane_that_holds_its_items_with_a_quarter_to_spare() -> None:
    units = list(pack("s", [item("fits", memory=80), item("not", memory=81)], target_cost=10, lanes=LANES))
    assert {unit.items[0].key: unit.memory for unit in units} == {"fits": 100, "not": 1000}


def test_items_of_different_lanes_never_share_a_unit() -> None:
    mixed = [item(str(number), memory=10 if number % 2 else 500) for number in range(10)]
    for unit in pack("s", mixed, target_cost=100, lanes=LANES):
        assert len({entry.memory for entry in unit.items}) == 1


def test_many_tiny_items_do_not_make_an_endless_unit() -> None:
    units = list(pack("s", [item(str(n), cost=0) for n in range(25)], target_cost=10, lanes=LANES, most_items=10))
    assert [len(unit.items) for unit in units] == [10, 10, 5]


def test_no_items_give_no_units() -> None:
    assert list(pack("s", [], target_cost=10, lanes=LANES)) == []


def test_packing_streams_without_reading_all_items_first() -> None:
    def endless() -> object:
        number = 0
        while True:
            yield item(str(number), cost=5)
            number += 1

    units = pack("s", endless(), target_cost=10, lanes=LANES)  # type: ignore[arg-type]
    assert [entry.key for entry in next(units).items] == ["0", "1"]


def test_an_item_above_the_largest_lane_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match="item big needs 1250 bytes"):
        list(pack("s", [item("big", memory=1000)], target_cost=10, lanes=LANES))


@pytest.mark.parametrize(("target", "lanes"), [(0, LANES), (10, ()), (10, (0,))])
def test_an_impossible_plan_is_refused(target: int, lanes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        list(pack("s", [item("a")], target_cost=target, lanes=lanes))


def test_items_that_fit_no_worker_are_set_apart_in_order() -> None:
    fitting, too_large = separate_too_large([item("a", memory=800), item("b", memory=801), item("c")], LANES)
    assert [entry.key for entry in fitting] == ["a", "c"]
    assert [entry.key for entry in too_large] == ["b"]


@given(items, st.integers(1, 100))
def test_every_item_is_in_exactly_one_unit_and_no_unit_is_over_target_unless_alone(
    entries: list[Item], target: int
) -> None:
    units = list(pack("s", entries, target_cost=target, lanes=LANES))
    assert sorted(e.fingerprint for u in units for e in u.items) == sorted(e.fingerprint for e in entries)
    for unit in units:
        assert unit.cost <= target or len(unit.items) == 1
        assert all(memory_needed(entry) <= unit.memory for entry in unit.items)


@given(items)
def test_the_same_items_give_the_same_units(entries: list[Item]) -> None:
    first = list(pack("s", entries, target_cost=30, lanes=LANES))
    assert first == list(pack("s", iter(entries), target_cost=30, lanes=reversed(LANES)))  # type: ignore[arg-type]
    assert len({unit.id for unit in first}) == len(first)


def test_a_unit_is_named_after_its_stage_and_fingerprints_alone() -> None:
    a, b = item("a"), item("b")
    named = make_unit("s", [a, b], 100).id
    assert named == make_unit("s", [Item("other key", a.fingerprint, 7, 7), b], 5000).id
    assert named != make_unit("t", [a, b], 100).id
    assert named != make_unit("s", [b, a], 100).id
    assert len(named) == 32


def test_halves_hold_all_items_in_order_and_keep_the_lane() -> None:
    unit = make_unit("s", [item(name) for name in "abcde"], 100)
    left, right = halve(unit)
    assert left.items + right.items == unit.items
    assert {left.memory, right.memory} == {100}
    assert len({unit.id, left.id, right.id}) == 3


def test_a_unit_of_one_item_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="cannot be halved"):
        halve(make_unit("s", [item("a")], 100))
