"""The account: inputs = done + rejected + quarantined, or it is no account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.ledger import Unaccounted, make_account
from cluster.outcomes import ItemOutcome, Output, Status
from cluster.units import Item
from curate.reasons import Reason

STATUSES = st.sampled_from(list(Status))


def outcome(item: Item, status: Status, reason: Reason = Reason.SLICE_GAP) -> ItemOutcome:
    if status is Status.DONE:
        return ItemOutcome(item.key, item.fingerprint, status, outputs=(Output("o", "", 7),))
    return ItemOutcome(item.key, item.fingerprint, status, reason)


def items(count: int) -> list[Item]:
    return [Item(f"k{number}", f"f{number}", 10) for number in range(count)]


def test_an_account_counts_by_reason() -> None:
    plan = items(6)
    ends = [
        outcome(plan[0], Status.DONE),
        outcome(plan[1], Status.DONE),
        outcome(plan[2], Status.REJECTED, Reason.SLICE_GAP),
        outcome(plan[3], Status.REJECTED, Reason.GANTRY_TILT),
        outcome(plan[4], Status.REJECTED, Reason.GANTRY_TILT),
        outcome(plan[5], Status.QUARANTINED, Reason.LEAK_FOUND),
    ]
    account = make_account(plan, {end.fingerprint: end for end in ends})
    assert (account.inputs, account.done) == (6, 2)
    assert list(account.rejected.items()) == [("gantry_tilt", 2), ("slice_gap", 1)]
    assert account.quarantined == {"leak_found": 1}
    assert (account.bytes_in, account.bytes_out) == (60, 14)


@given(st.lists(STATUSES, max_size=30))
def test_inputs_are_done_and_rejected_and_quarantined(statuses: list[Status]) -> None:
    plan = items(len(statuses))
    ends = {item.fingerprint: outcome(item, status) for item, status in zip(plan, statuses, strict=True)}
    account = make_account(plan, ends)
    assert account.inputs == account.done + sum(account.rejected.values()) + sum(account.quarantined.values())


def test_an_item_without_outcome_is_named() -> None:
    plan = items(5)
    with pytest.raises(Unaccounted, match="2 of 5 items have no outcome, first: k1, k4"):
        make_account(plan, {plan[n].fingerprint: outcome(plan[n], Status.DONE) for n in (0, 2, 3)})


def test_outcomes_of_earlier_inputs_are_not_counted() -> None:
    plan = items(1)
    old = outcome(Item("k0", "old"), Status.DONE)
    new = outcome(plan[0], Status.REJECTED)
    assert make_account(plan, {"old": old, "f0": new}).done == 0


def test_an_empty_plan_has_an_empty_account() -> None:
    account = make_account([], {})
    assert (account.inputs, account.done, account.rejected, account.quarantined) == (0, 0, {}, {})


@given(st.lists(STATUSES, max_size=30), st.integers(0, 30))
def test_accounts_of_two_parts_add_up_to_the_account_of_the_whole(statuses: list[Status], cut: int) -> None:
    plan = items(len(statuses))
    ends = {item.fingerprint: outcome(item, status) for item, status in zip(plan, statuses, strict=True)}
    whole = make_account(plan, ends)
    assert make_account(plan[:cut], ends) + make_account(plan[cut:], ends) == whole
    assert whole + make_account([], {}) == whole
