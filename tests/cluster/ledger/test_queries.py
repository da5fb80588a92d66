"""Questions to a store, asked without any cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.ledger import Ledger, failures, stages, why
from cluster.outcomes import ItemOutcome, Receipt, Status
from curate.reasons import Reason
from curate.storage import LocalStore


def outcome(key: str, reason: Reason | None = None, *, fingerprint: str = "", detail: str = "") -> ItemOutcome:
    status = Status.REJECTED if reason else Status.DONE
    return ItemOutcome(key, fingerprint or f"f-{key}", status, reason, detail)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    catalogue = (outcome("site-a"), outcome("site-b", Reason.UNREADABLE_ARCHIVE))
    Ledger(store, "catalogue").publish(Receipt("catalogue", 1, "u1", "p", catalogue))
    volumes = (
        outcome("s3", Reason.SLICE_GAP, detail="between 3 and 4"),
        outcome("s1", Reason.SLICE_GAP),
        outcome("s2"),
    )
    Ledger(store, "volumes").publish(Receipt("volumes", 1, "u2", "p", volumes))
    Ledger(store, "volumes").publish(Receipt("volumes", 1, "u3", "p", (outcome("s4", Reason.GANTRY_TILT),)))
    return store


def test_stages_are_those_with_receipts(store: LocalStore) -> None:
    assert stages(store) == ("catalogue", "volumes")


def test_an_empty_store_has_no_stages_and_no_failures(tmp_path: Path) -> None:
    assert stages(LocalStore(tmp_path / "none")) == ()
    assert list(failures(LocalStore(tmp_path / "none"))) == []


def test_failures_come_by_stage_reason_and_key(store: LocalStore) -> None:
    assert [(verdict.stage, verdict.outcome.key) for verdict in failures(store)] == [
        ("catalogue", "site-b"),
        ("volumes", "s4"),
        ("volumes", "s1"),
        ("volumes", "s3"),
    ]


def test_failures_of_one_stage_can_be_asked_for(store: LocalStore) -> None:
    assert {verdict.outcome.key for verdict in failures(store, stage="catalogue")} == {"site-b"}


def test_why_says_what_became_of_a_key(store: LocalStore) -> None:
    (verdict,) = why(store, "s3")
    assert (verdict.stage, verdict.outcome.reason, verdict.outcome.detail) == (
        "volumes",
        Reason.SLICE_GAP,
        "between 3 and 4",
    )


def test_why_tells_done_items_too(store: LocalStore) -> None:
    (verdict,) = why(store, "s2")
    assert verdict.outcome.status is Status.DONE


def test_why_shows_every_version_of_the_input(store: LocalStore) -> None:
    Ledger(store, "volumes").publish(Receipt("volumes", 1, "u9", "p", (outcome("s3", fingerprint="new"),)))
    assert [verdict.outcome.fingerprint for verdict in why(store, "s3")] == ["new", "f-s3"]


def test_an_unknown_key_has_no_verdict(store: LocalStore) -> None:
    assert why(store, "nobody") == ()
