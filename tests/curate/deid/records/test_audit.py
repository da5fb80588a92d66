"""The record of an audit is JSON."""

from __future__ import annotations

import json

from curate.deid.records.audit import FileAudit
from curate.identity import canonical_json


def test_an_audit_is_written_as_json_with_its_counts_by_name() -> None:
    audit = FileAudit("basic", "d" * 64, "2026d", "f" * 16, "1.2", "a" * 64, "b" * 64, (("kept", 3), ("removed", 2)))
    record = json.loads(canonical_json(audit.record()))
    assert record["counts"] == {"kept": 3, "removed": 2}
    assert record["edition"] == "2026d"
    assert set(record) == set(FileAudit.__slots__)
