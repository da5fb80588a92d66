"""Taking back receipts of other versions and parameters: the others stay, in one piece, for every reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.ledger import Ledger, compact
from cluster.ledger.pruning import prune
from cluster.outcomes import ItemOutcome, Receipt, Status
from curate.errors import Unavailable
from curate.storage import LocalStore


def receipt(unit: int, *, version: int = 2, parameters: str = "new") -> Receipt:
    outcomes = tuple(ItemOutcome(f"k{n}", f"f{n}", Status.DONE) for n in (2 * unit, 2 * unit + 1))
    return Receipt("volumes", version, f"u{unit}", parameters, outcomes)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(LocalStore(tmp_path), "volumes")
    for unit in range(3):
        ledger.publish(receipt(unit))
    ledger.publish(receipt(3, version=1))
    ledger.publish(receipt(4, parameters="old"))
    return ledger


def units(ledger: Ledger) -> set[str]:
    return {one.unit_id for one in ledger.receipts()}


@pytest.mark.parametrize("compacted", [False, True])
def test_only_receipts_of_this_version_and_these_parameters_stay(ledger: Ledger, compacted: bool) -> None:
    if compacted:
        compact(ledger, least=1)
    assert prune(ledger, version=2, parameters="new") == 2
    assert units(ledger) == {"u0", "u1", "u2"}
    assert prune(ledger, version=2, parameters="new") == 0


def test_a_segment_of_nothing_that_stays_is_removed(ledger: Ledger) -> None:
    compact(ledger, least=1)
    assert prune(ledger, version=9, parameters="") == 5
    assert list(ledger.store.list("ledger")) == []


def test_what_was_pruned_can_be_settled_again(ledger: Ledger) -> None:
    compact(ledger, least=1)
    prune(ledger, version=2, parameters="new")
    assert ledger.publish(receipt(4, parameters="old"))
    compact(ledger, least=1)
    assert units(ledger) == {"u0", "u1", "u2", "u4"}


class Meddled(LocalStore):
    """A store in which somebody acts before each object is opened."""

    def __init__(self, root: Path, before: Callable[[], None]) -> None:
        super().__init__(root)
        self._before = before

    def open(self, key: str):  # type: ignore[no-untyped-def]
        self._before()
        return super().open(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(list(super().list(prefix)))


def test_a_reader_beside_it_reads_anew_and_misses_nothing(ledger: Ledger, tmp_path: Path) -> None:
    compact(ledger, least=1)

    def meddle() -> None:
        prune(ledger, version=2, parameters="new")

    found = Ledger(Meddled(tmp_path, meddle), "volumes").outcomes()
    assert set(found) == {f"f{n}" for n in range(6)}


def test_a_ledger_that_changes_without_end_is_said_to(ledger: Ledger, tmp_path: Path) -> None:
    compact(ledger, least=1)
    number = 0

    def change() -> None:
        nonlocal number
        number += 1
        for key in ledger.segments():
            ledger.store.delete(key)
        ledger.publish(replace(receipt(number), unit_id=f"x{number}"))
        compact(ledger, least=1)

    with pytest.raises(Unavailable, match="changes faster"):
        Ledger(Meddled(tmp_path, change), "volumes").outcomes()
