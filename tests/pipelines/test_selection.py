"""What a run tries: some series alone, or what was quarantined before."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.ledger import AGAIN, Ledger
from cluster.outcomes import Status
from cluster.units import Item, make_unit
from curate.errors import Misconfigured
from curate.reasons import Reason
from pipelines.join import read_manifests
from pipelines.selection import EVERYTHING, Selection, select
from tests.support.copies import copy_all, forget, quarantine, run_again
from tests.support.curated import Curated, digests

UNITS = (
    make_unit("volumes", [Item("2.25.1111", "a"), Item("2.25.2222", "b")], 7),
    make_unit("volumes", [Item("2.25.3333", "c")], 9),
)


def test_without_a_choice_every_unit_stays_as_it_is() -> None:
    assert EVERYTHING.of(UNITS) == UNITS
    assert select(retry=False, reasons=(), only=()) == EVERYTHING


def test_only_some_series_leave_the_others_out_of_their_units() -> None:
    (unit,) = Selection(only=("2.25.2",)).of(UNITS)
    assert [item.key for item in unit.items] == ["2.25.2222"]
    assert (unit.memory, unit.stage) == (7, "volumes")
    assert Selection(only=("2.25.3", "2.25.1", "2.25.2")).of(UNITS) == UNITS


def test_a_series_that_is_not_there_is_refused() -> None:
    Selection(only=("2.25.1", "2.25.3")).check(item.key for unit in UNITS for item in unit.items)
    with pytest.raises(Misconfigured, match=r"begins with 2\.25\.4"):
        Selection(only=("2.25.1", "2.25.4")).check(item.key for unit in UNITS for item in unit.items)


def test_a_retry_is_for_all_reasons_or_for_those_named_and_for_what_is_tried_again_anyway() -> None:
    assert select(retry=True, reasons=(), only=()).again == frozenset(Reason)
    assert select(retry=True, reasons=["leak_found"], only=()).again == AGAIN | {Reason.LEAK_FOUND}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"retry": False, "reasons": ["leak_found"], "only": ()}, "goes with --retry-quarantined"),
        ({"retry": True, "reasons": ["no_such_reason"], "only": ()}, "there is no reason no_such_reason"),
        ({"retry": False, "reasons": (), "only": ["2.25"]}, "first 6 characters"),
    ],
)
def test_a_wrong_choice_is_refused(words: dict[str, object], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        select(**words)  # type: ignore[arg-type]


def test_one_series_alone_is_run_and_the_rest_is_counted_as_untried(cervical: Curated, tmp_path: Path) -> None:
    own = copy_all(cervical, tmp_path / "copy")
    gone = forget(own)
    done = [one for one in gone if one.status is Status.DONE]
    workspace, balance = run_again(own, Selection(only=(done[0].key,)))
    assert (balance.done, balance.untried) == (1, len(gone) - 1)
    assert balance.series == cervical.balance.series
    assert balance.series == 1 + sum(balance.rejected.values()) + sum(balance.quarantined.values()) + balance.untried
    assert set(Ledger(workspace.store, "volumes").outcomes()) == {done[0].fingerprint}
    assert {row["series_key"] for row in own.manifest("volumes").to_pylist()} == {done[0].key}
    with pytest.raises(Misconfigured, match=f"left {len(gone) - 1} series untried"):
        read_manifests(own.spec, workspace)

    _, finished = run_again(own)
    assert finished == cervical.balance
    assert digests(own.spec.store) == digests(cervical.spec.store)
    read_manifests(own.spec, workspace)


def test_one_series_of_a_finished_store_leaves_it_finished(cervical: Curated, tmp_path: Path) -> None:
    own = copy_all(cervical, tmp_path / "copy")
    key = own.manifest("volumes")["series_key"][0].as_py()
    before = list(own.workspace.store.list("ledger"))
    _, balance = run_again(own, Selection(only=(key,)))
    assert balance == cervical.balance
    assert list(own.workspace.store.list("ledger")) == before


def test_what_was_quarantined_is_tried_again_when_asked_and_the_best_outcome_counts(
    cervical: Curated, tmp_path: Path
) -> None:
    own = copy_all(cervical, tmp_path / "copy")
    gone = forget(own)
    done = [one for one in gone if one.status is Status.DONE]
    crashed, leaked, rest = done[:1], done[1:2], done[2:]
    quarantine(own, crashed, Reason.WORKER_CRASHED)
    quarantine(own, leaked, Reason.LEAK_FOUND, unit="e" * 32)
    first = list(own.workspace.store.list("ledger/volumes"))
    _, balance = run_again(own)
    assert balance.done == len(rest)
    assert balance.quarantined["worker_crashed"] == 1

    _, balance = run_again(own, select(retry=True, reasons=["worker_crashed"], only=()))
    assert balance.done == len(rest) + 1
    assert "worker_crashed" not in balance.quarantined
    assert balance.quarantined["leak_found"] == 1
    assert set(first) < set(own.workspace.store.list("ledger/volumes"))  # never replaced

    _, balance = run_again(own, select(retry=True, reasons=(), only=()))
    assert balance == cervical.balance
    assert digests(own.spec.store) == digests(cervical.spec.store)
