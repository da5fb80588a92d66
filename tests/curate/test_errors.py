"""Errors carry a code that can be counted, and survive a trip between processes."""

from __future__ import annotations

import pickle

from curate.errors import CurateError, Quarantined, Rejected
from curate.reasons import Reason


def test_a_rejection_survives_the_way_from_a_worker_to_the_driver() -> None:
    back = pickle.loads(pickle.dumps(Quarantined(Reason.LEAK_FOUND, "2 places")))  # noqa: S301 - our own bytes
    assert type(back) is Quarantined
    assert isinstance(back, Rejected)
    assert isinstance(back, CurateError)
    assert (back.reason, back.detail) == (Reason.LEAK_FOUND, "2 places")


def test_its_text_starts_with_the_code() -> None:
    assert str(Rejected(Reason.SLICE_GAP, "after slice 4")) == "slice_gap: after slice 4"
    assert str(Rejected(Reason.SLICE_GAP)) == "slice_gap"


def test_every_reason_has_one_line_of_english() -> None:
    for reason in Reason:
        assert reason.value == reason.name.lower()
        assert reason.text.endswith(".")
        assert "\n" not in reason.text
    assert len({reason.text for reason in Reason}) == len(Reason)
