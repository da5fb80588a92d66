"""Items and the units they are packed into: what the scheduler knows of the work.

An item is opaque: a key, a fingerprint, how many bytes of input it has and how much memory it may need. A unit is a run
of items that one worker settles in one attempt and accounts for in one receipt.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from curate.identity import list_digester

MARGIN_NUMERATOR, MARGIN_DENOMINATOR = 5, 4  # an estimate is given a quarter more before it is compared with a lane
MOST_ITEMS = 256  # keeps a receipt small and a lost unit cheap, however small the items are


class Item(NamedTuple):
    """One thing to be settled: all of it or nothing. A tuple, since plans make millions."""

    key: str  # pseudonymous name, safe in logs
    fingerprint: str  # curate.identity.fingerprint: what the result is made from
    cost: int = 0  # bytes to read, the measure of work
    memory: int = 0  # estimated peak bytes


class Unit(NamedTuple):
    """Items for one attempt, one after another, in one process."""

    stage: str
    id: str
    items: tuple[Item, ...]
    memory: int  # bytes: the lane it is scheduled in

    @property
    def cost(self) -> int:
        """Bytes to read, all items together."""
        return sum(item.cost for item in self.items)


def make_unit(stage: str, items: Sequence[Item], memory: int) -> Unit:
    """The unit of these items; its id depends on the stage and the items' fingerprints alone, never on the lane."""
    identity = _digest_of(stage)([item.fingerprint for item in items])
    return Unit(stage, identity[:32], tuple(items), memory)


def halve(unit: Unit) -> tuple[Unit, Unit]:
    """Two units of half the items each, in the same lane. Raises ``ValueError`` for a unit of one item."""
    if len(unit.items) < 2:
        raise ValueError("a unit of one item cannot be halved")
    middle = len(unit.items) // 2
    return (
        make_unit(unit.stage, unit.items[:middle], unit.memory),
        make_unit(unit.stage, unit.items[middle:], unit.memory),
    )


def memory_needed(item: Item) -> int:
    """The estimate with its margin, in bytes."""
    return item.memory * MARGIN_NUMERATOR // MARGIN_DENOMINATOR


def separate_too_large(items: Iterable[Item], lanes: Sequence[int]) -> tuple[list[Item], list[Item]]:
    """The items that fit the largest lane, and those that no worker can take; the order stays."""
    largest = max(lanes)
    fitting: list[Item] = []
    too_large: list[Item] = []
    for item in items:
        (fitting if memory_needed(item) <= largest else too_large).append(item)
    return fitting, too_large


def pack(
    stage: str, items: Iterable[Item], *, target_cost: int, lanes: Sequence[int], most_items: int = MOST_ITEMS
) -> Iterator[Unit]:
    """Pack items into units of about ``target_cost`` bytes, each unit in the smallest lane that holds its items.

    Streams: one open unit a lane. The same items in the same order give the same units, so give them in the order of
    their keys. A unit is closed before it would exceed the target; an item larger than the target stands alone. Raises
    ``ValueError`` for an item above the largest lane (see ``separate_too_large``) and for a target or lane below 1.
    """
    ladder = sorted(set(lanes))
    if target_cost < 1 or not ladder or ladder[0] < 1 or most_items < 1:
        raise ValueError("target cost, lanes and the number of items must be positive")
    pending: list[list[Item]] = [[] for _ in ladder]
    costs = [0] * len(ladder)
    for item in items:
        lane = bisect_left(ladder, memory_needed(item))
        if lane == len(ladder):
            raise ValueError(f"item {item.key} needs {memory_needed(item)} bytes, the largest lane has {ladder[-1]}")
        costs[lane] += item.cost
        if pending[lane] and (costs[lane] > target_cost or len(pending[lane]) >= most_items):
            yield make_unit(stage, pending[lane], ladder[lane])
            pending[lane], costs[lane] = [], item.cost
        pending[lane].append(item)
    for lane, items_left in zip(ladder, pending, strict=True):
        if items_left:
            yield make_unit(stage, items_left, lane)


@cache
def _digest_of(stage: str) -> Callable[[Iterable[str]], str]:
    return list_digester("items", {"stage": stage})
