"""Change a copy of a release, and optionally seal it again, so that its list of digests agrees with what was done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def reseal(root: Path) -> None:
    """Write SHA256SUMS anew over what lies there, as a forger would."""
    lines = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    (root / "SHA256SUMS").write_text("".join(f"{lines[path]}  {path}\n" for path in sorted(lines)))


def edit_rows(root: Path, table: str, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of ``manifests/<table>.parquet`` in place."""
    path = root / "manifests" / f"{table}.parquet"
    old = pq.read_table(path)
    rows = old.to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, old.schema), path, compression="gzip", write_statistics=False)


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
