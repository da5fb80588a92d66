"""Phantoms and the store that a run makes of them, for tests of the pipelines."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from cluster.executors import open_executor
from curate.phantoms import neck_study
from pipelines.run import Balance, run
from pipelines.spec import Spec, read_spec
from pipelines.watch import Watch
from pipelines.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Curated:
    """An archive of phantoms and the store that a run made of it."""

    folder: Path
    spec: Spec
    workspace: Workspace
    balance: Balance

    def truth(self, name: str) -> list[dict[str, Any]]:
        """Rows of a table of the planted truth."""
        rows: list[dict[str, Any]] = pq.read_table(self.folder / "truth" / f"{name}.parquet").to_pylist()
        return rows

    def manifest(self, name: str) -> pa.Table:
        """A manifest of the store."""
        return pq.read_table(Path(self.workspace.store.url, "manifests", f"{name}.parquet"))

    def by_series(self, name: str) -> dict[str, dict[str, Any]]:
        """Rows of a manifest by series key."""
        return {row["series_key"]: row for row in self.manifest(name).to_pylist()}


@contextmanager
def few_slices() -> Iterator[None]:
    """Necks that are made within have half the slices: they say as much in half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neck_study, "SLICE_MM", 2 * neck_study.SLICE_MM)
        yield


def curate(folder: Path, *, executor: str = "inline", workers: int | None = None) -> Curated:
    """Run the spec of a folder of phantoms."""
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    with open_executor(executor, workspace.store.url, workers=workers) as opened:
        balance = run(spec, workspace, opened, Watch(Console(quiet=True)))
    return Curated(folder, spec, workspace, balance)


def digests(store: Path) -> Mapping[str, str]:
    """SHA-256 of every object whose bytes must not depend on how a run went, by key."""
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.relative_to(store).parts[0] not in ("ledger", "events", "release")
    }


def copy_archive(source: Path, destination: Path) -> Path:
    """The archive, labels, key and spec of phantoms, with their times, without stores."""
    return shutil.copytree(source, destination, ignore=shutil.ignore_patterns("store*", "truth"))
