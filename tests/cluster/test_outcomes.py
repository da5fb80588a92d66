"""Receipts as bytes: equal outcomes are equal bytes, and what is not a receipt is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.outcomes import DamagedReceipt, ItemOutcome, Output, Receipt, Status
from curate.reasons import Reason

DONE = ItemOutcome("k1", "f1", Status.DONE, outputs=(Output("volumes/a", "0" * 64, 12),), record={"shape": [1, 2, 3]})
REJECTED = ItemOutcome("k2", "f2", Status.REJECTED, Reason.SLICE_GAP, "between slices 4 and 5")
RECEIPT = Receipt("volumes", 3, "u1", "p1", (DONE, REJECTED), 1 << 30, "0.1.0", {"zarr": "3.1.6", "numpy": "2.3"})

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
outcomes = st.one_of(
    st.builds(
        ItemOutcome,
        st.text(),
        st.text(),
        st.just(Status.DONE),
        outputs=st.lists(st.builds(Output, st.text(), st.text(), st.integers(0, 2**50)), max_size=3).map(tuple),
        record=st.dictionaries(st.text(), json_values, max_size=3),
    ),
    st.builds(
        ItemOutcome,
        st.text(),
        st.text(),
        st.sampled_from([Status.REJECTED, Status.QUARANTINED]),
        st.sampled_from(list(Reason)),
        st.text(),
    ),
)


@given(st.lists(outcomes, max_size=4).map(tuple))
def test_a_receipt_comes_back_as_it_went(entries: tuple[ItemOutcome, ...]) -> None:
    receipt = replace(RECEIPT, outcomes=entries)
    assert Receipt.from_json(receipt.to_json()) == receipt


def test_equal_receipts_are_equal_bytes_whatever_the_order_of_their_mappings() -> None:
    turned = replace(
        RECEIPT,
        libraries=dict(reversed(list(RECEIPT.libraries.items()))),
        outcomes=(replace(DONE, record=dict(DONE.record)), REJECTED),
    )
    assert turned.to_json() == RECEIPT.to_json()


def test_a_receipt_is_plain_json_that_other_programs_read() -> None:
    fields = json.loads(RECEIPT.to_json())
    assert fields["format"] == 1
    assert [entry["status"] for entry in fields["outcomes"]] == ["done", "rejected"]
    assert fields["outcomes"][1]["reason"] == "slice_gap"
    assert fields["outcomes"][0]["outputs"] == [{"key": "volumes/a", "sha256": "0" * 64, "size": 12}]


def test_a_receipt_has_no_place_for_clock_host_or_process() -> None:
    assert sorted(json.loads(RECEIPT.to_json())) == [
        "code_version",
        "format",
        "libraries",
        "outcomes",
        "parameters",
        "peak_memory_bytes",
        "stage",
        "unit_id",
        "version",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'{"format": 1}',
        RECEIPT.to_json()[:-10],
        RECEIPT.to_json().replace(b'"slice_gap"', b'"no_such_reason"'),
        RECEIPT.to_json().replace(b'"rejected"', b'"lost"'),
        RECEIPT.to_json().replace(b'"reason":null', b'"reason":"slice_gap"'),
        RECEIPT.to_json().replace(b'"unit_id"', b'"unit"'),
    ],
)
def test_what_is_not_a_receipt_is_refused_without_repeating_it(content: bytes) -> None:
    with pytest.raises(DamagedReceipt) as caught:
        Receipt.from_json(content)
    assert str(caught.value) == "the receipt cannot be read"


def test_a_receipt_of_another_format_is_not_guessed_at() -> None:
    with pytest.raises(DamagedReceipt, match="another format"):
        Receipt.from_json(RECEIPT.to_json().replace(b'"format":1', b'"format":2'))


def test_only_what_is_not_done_has_a_reason() -> None:
    with pytest.raises(ValueError, match="a reason exactly when"):
        ItemOutcome("k", "f", Status.DONE, Reason.SLICE_GAP)
    with pytest.raises(ValueError, match="a reason exactly when"):
        ItemOutcome("k", "f", Status.REJECTED)


def test_the_bytes_of_an_item_are_those_of_its_outputs() -> None:
    assert replace(DONE, outputs=(Output("a", "", 3), Output("b", "", 4))).size == 7
    assert REJECTED.size == 0


def test_done_ranks_before_rejected_before_quarantined() -> None:
    assert sorted(Status, key=lambda status: status.rank) == [Status.DONE, Status.REJECTED, Status.QUARANTINED]
