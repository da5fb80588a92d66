"""Receipts scanned by Arrow say what receipts parsed one by one say, or nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from cluster.ledger.scanning import COLUMNS, scan_receipts
from cluster.ledger.segments import SEGMENT, receipts_table
from cluster.outcomes import ItemOutcome, Output, Receipt, Status
from curate.identity import canonical_json
from curate.reasons import Reason

ALL = [name for name in SEGMENT.names if name in COLUMNS]


def outcome(draw: random.Random) -> ItemOutcome:
    status = draw.choice(list(Status))
    outputs = tuple(Output(f"volumes/{n}", f"{n:064x}", draw.randrange(2**40)) for n in range(draw.randrange(4)))
    detail = draw.choice(["", "between 3 and 4", 'quoted "\\\\" and\\nlines', "größer, 大", "\\u0000 \\u2028"])
    record = draw.choice([{}, {"shape": [1, None, {"outcomes": [{"key": 3}]}]}, {"status": 4}])
    reason = None if status is Status.DONE else draw.choice(list(Reason))
    return ItemOutcome(f"k{draw.random()}", f"{draw.random()}", status, reason, detail, outputs, record)


def receipts(count: int = 40) -> dict[str, Receipt]:
    draw = random.Random(5)
    found = {}
    for _ in range(count):
        unit = f"u{draw.random()}"
        outcomes = tuple(outcome(draw) for _ in range(draw.randrange(5)))
        found[f"{unit}.x"] = Receipt("volumes", draw.randrange(9), unit, "p", outcomes, draw.randrange(2**40), "0.1")
    return found


def written(found: dict[str, Receipt]) -> dict[str, bytes]:
    return {name: receipt.to_json() for name, receipt in found.items()}


def test_every_column_is_that_of_receipts_parsed_one_by_one() -> None:
    found = receipts()
    scanned = scan_receipts(written(found), ALL)
    assert scanned is not None
    assert scanned.equals(receipts_table(sorted(found.items())).select(ALL).combine_chunks())
    assert scanned.num_rows > 60


@pytest.mark.parametrize("columns", [["bytes"], ["reason", "key"], ["receipt", "position"]])
def test_columns_come_as_they_are_asked_for(columns: list[str]) -> None:
    scanned = scan_receipts(written(receipts(3)), columns)
    assert scanned is not None
    assert scanned.schema == pa.schema([SEGMENT.field(name) for name in columns])


def test_a_unit_of_nothing_has_no_row() -> None:
    scanned = scan_receipts({"u": Receipt("volumes", 1, "u", "p", ()).to_json()}, ALL)
    assert scanned is not None
    assert scanned.num_rows == 0


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edited(content: bytes) -> bytes:
        fields = json.loads(content)
        change(fields)
        return canonical_json(fields)

    return edited


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[:-5],
    "empty": lambda content: b"",
    "two in one": lambda content: content + b"\n" + content,
    "no text": lambda content: content.replace(b"volumes", b"vol\xffmes"),
    "a list": lambda content: b"[]",
    "another format": edit(lambda fields: fields.update(format=2)),
    "no unit": edit(lambda fields: fields.pop("unit_id")),
    "no outcomes": edit(lambda fields: fields.pop("outcomes")),
    "a word for a number": edit(lambda fields: fields.update(version="one")),
    "an unknown status": edit(lambda fields: fields["outcomes"][0].update(status="fine")),
    "an unknown reason": edit(lambda fields: fields["outcomes"][0].update(status="rejected", reason="mood")),
    "done for a reason": edit(lambda fields: fields["outcomes"][0].update(status="done", reason="slice_gap")),
    "rejected for none": edit(lambda fields: fields["outcomes"][0].update(status="rejected", reason=None)),
    "no fingerprint": edit(lambda fields: fields["outcomes"][0].pop("fingerprint")),
    "an outcome of nothing": edit(lambda fields: fields["outcomes"].__setitem__(0, None)),
    "an output without size": edit(lambda fields: fields["outcomes"][0].update(outputs=[{"key": "a", "sha256": "b"}])),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_not_plainly_a_receipt_is_left_to_the_parser(damage: Callable[[bytes], bytes]) -> None:
    contents = written(receipts())
    name = next(name for name in sorted(contents)[20:] if b'"fingerprint"' in contents[name])
    assert scan_receipts(contents, ALL) is not None
    assert scan_receipts(contents | {name: damage(contents[name])}, ALL) is None
