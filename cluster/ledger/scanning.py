"""Many loose receipts at once, for the columns that counting needs: Arrow parses them, none becomes a Python object.

What is not plainly a receipt is left to ``Receipt.from_json``, which has the last word and names what is damaged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from cluster.ledger.segments import OF_RECEIPT, SEGMENT
from cluster.outcomes import RECEIPT_FORMAT, Status
from curate.reasons import REASONS

COLUMNS = frozenset(SEGMENT.names) - {"outputs", "record", "header"}
_PLAIN = ("fingerprint", "key", "status", "reason", "detail")
_OUTPUT = pa.struct([("key", pa.string()), ("sha256", pa.string()), ("size", pa.int64())])
_OUTCOME = pa.struct([*((name, pa.string()) for name in _PLAIN), ("outputs", pa.list_(_OUTPUT))])
_RECEIPT = pa.schema(
    [
        ("format", pa.int64()),
        ("stage", pa.string()),
        *((field, SEGMENT.field(column).type) for field, column in OF_RECEIPT.items()),
        ("outcomes", pa.list_(_OUTCOME)),
    ]
)
# made into arrays where they are needed: the first ``pa.array`` of a process imports pandas, which workers do not need
_STATUSES = [status.value for status in Status]
_REASONS = sorted(REASONS)


def scan_receipts(contents: Mapping[str, bytes], columns: Sequence[str]) -> pa.Table | None:
    """Some of COLUMNS of the SEGMENT rows of receipts, given as their JSON by name; sorted by name.

    None when one of them is not plainly a receipt.
    """
    names = sorted(contents)
    text = b"\n".join(contents[name] for name in names)
    if not names or text.count(b"\n") != len(names) - 1:
        return None
    try:
        text.decode()
        receipts = arrow_json.read_json(
            pa.BufferReader(text),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=arrow_json.ParseOptions(explicit_schema=_RECEIPT, unexpected_field_behavior="ignore"),
        ).combine_chunks()
    except (pa.ArrowException, UnicodeDecodeError, OverflowError):
        return None
    if len(receipts) != len(names) or any(receipts[name].null_count for name in _RECEIPT.names):
        return None
    listed = receipts["outcomes"].combine_chunks()
    outcomes = listed.flatten()
    if not _is_plain(receipts, outcomes):
        return None
    return _rows(names, receipts, listed, outcomes, columns)


def _is_plain(receipts: pa.Table, outcomes: pa.StructArray) -> bool:
    """Whether every field has a value of those that it may have."""
    found = {name: outcomes.field(name) for name in _OUTCOME.names}
    sizes = found["outputs"].flatten()
    is_done = pc.equal(found["status"], Status.DONE.value)
    return (
        pc.all(pc.equal(receipts["format"], RECEIPT_FORMAT)).as_py()
        and not outcomes.null_count
        and not any(found[name].null_count for name in found if name != "reason")
        and not sizes.null_count
        and not any(sizes.field(name).null_count for name in _OUTPUT.names)
        and pc.all(pc.is_in(found["status"], value_set=pa.array(_STATUSES)), min_count=0).as_py()
        and pc.all(pc.is_in(found["reason"].drop_null(), value_set=pa.array(_REASONS)), min_count=0).as_py()
        and pc.all(pc.equal(is_done, pc.is_null(found["reason"])), min_count=0).as_py()
    )


def _rows(
    names: Sequence[str], receipts: pa.Table, listed: pa.ListArray, outcomes: pa.StructArray, columns: Collection[str]
) -> pa.Table:
    parents = pc.list_parent_indices(listed)
    of_receipt = {column: receipts[field].combine_chunks() for field, column in OF_RECEIPT.items()}
    of_receipt["receipt"] = pa.array(names, pa.string())
    found = {}
    for column in columns:
        if column in of_receipt:
            found[column] = of_receipt[column].take(parents)
        elif column == "position":
            begins = listed.offsets.to_numpy()[:-1]
            found[column] = pa.array(np.arange(len(outcomes)) - begins[parents.to_numpy()], pa.int32())
        elif column == "bytes":
            found[column] = _sums(outcomes.field("outputs"))
        else:
            found[column] = outcomes.field(column)
    return pa.table(found, schema=pa.schema([SEGMENT.field(column) for column in columns]))


def _sums(outputs: pa.ListArray) -> pa.Array:
    """The sizes of each outcome's outputs together."""
    totals = np.concatenate([[0], np.cumsum(outputs.flatten().field("size").to_numpy(), dtype=np.int64)])
    bounds = np.concatenate([[0], np.cumsum(pc.list_value_length(outputs).to_numpy())])
    return pa.array(np.diff(totals[bounds]), pa.int64())
