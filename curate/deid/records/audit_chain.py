"""The audit of a release: one row a file, each holding the digest of the row before it.

A row says what was done (counts a rule, digests, profile, key fingerprint, versions) and nothing of what stood there.
Its ``entry`` is SHA-256 over the row and the entry before, so a row that is changed, moved, added or taken out breaks
every entry after it; the last entry, the head of the chain, stands in ``release.json`` and so under SHA256SUMS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from curate.deid.records.audit import FileAudit
from curate.identity import Json, digest_json
from curate.manifests.schemas import AUDIT, FILE_AUDIT

GENESIS = "0" * 64
"""What stands before the first row."""


def audit_row(
    audit: FileAudit, *, series_key: str, instance_key: str, options: Iterable[str], code_version: str
) -> dict[str, Any]:
    """The row of FILE_AUDIT for one file."""
    return {
        "series_key": series_key,
        "instance_key": instance_key,
        "profile": audit.profile,
        "profile_digest": audit.profile_digest,
        "edition": audit.edition,
        "options": list(options),
        "key_fingerprint": audit.key_fingerprint,
        "code_version": code_version,
        "sop_class_uid": audit.sop_class_uid,
        "source_digest": audit.source_digest,
        "output_sha256": audit.output_sha256,
        "counts": [{"what": what, "elements": elements} for what, elements in sorted(audit.counts)],
        "flags": list(audit.flags),
        "blanked": [dict(zip(("cause", "top", "left", "bottom", "right"), box, strict=True)) for box in audit.blanked],
    }


def chain_audit(rows: pa.Table) -> pa.Table:
    """Rows of FILE_AUDIT in the order of series and instance key, numbered and chained: a table of AUDIT."""
    chained = []
    previous = GENESIS
    ordered = sorted(rows.to_pylist(), key=lambda row: (row["series_key"], row["instance_key"]))
    for number, row in enumerate(ordered):
        previous = _entry(number, row, previous)
        chained.append({"number": number, **row, "entry": previous})
    return pa.Table.from_pylist(chained, schema=AUDIT)


def chain_head(table: pa.Table) -> str:
    """The last entry, which stands for all of them."""
    return str(table["entry"][-1].as_py()) if table.num_rows else GENESIS


def check_chain(table: pa.Table, *, head: str | None = None) -> list[str]:
    """What is wrong with a chain, one line each, empty when nothing is. ``head``: the last entry as known elsewhere.

    After a broken row the check goes on from the entry that stands there, so that one change is one line.
    """
    return list(_faults(table.to_pylist(), head))


def _faults(rows: list[dict[str, Any]], head: str | None) -> Iterator[str]:
    previous = GENESIS
    for number, row in enumerate(rows):
        if row["number"] != number:
            yield f"row {number}: its number is another"
        if row["entry"] != _entry(number, row, previous):
            yield f"row {number}: it is not what was chained here"
        previous = str(row["entry"])
    if head is not None and previous != head:
        yield "the last row is not the head of the chain"


def _entry(number: int, row: Mapping[str, Any], previous: str) -> str:
    said: dict[str, Json] = {name: row[name] for name in FILE_AUDIT.names}
    return digest_json({"number": number, "previous": previous, "row": said})
