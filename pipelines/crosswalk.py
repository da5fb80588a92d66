"""The crosswalk of a run, for the data owner: from what the run met and removed, encrypted under the project key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa

from curate.deid import Identifier, Keyed, load_key
from curate.deid.records.crosswalk import crosswalk_rows, decrypt_crosswalk, encrypt_crosswalk, require_outside
from curate.errors import Misconfigured
from curate.manifests import read_table
from curate.storage.store import unavailable
from pipelines.known import IDENTIFIERS
from pipelines.spec import Spec
from pipelines.workspace import Workspace


def write_crosswalk(spec: Spec, workspace: Workspace, destination: Path) -> int:
    """Write the crosswalk of every series that was done and return its number of rows; what was there is replaced.

    Raises ``Misconfigured`` under a profile without a key, before a run has finished, and for a place in the store.
    """
    if not isinstance(workspace.pseudonyms, Keyed):
        raise Misconfigured("crosswalk: the profile keeps ids, so there is nothing to look up")
    require_outside(destination, [spec.store])
    rows = {tuple(row.items()): row for row in _rows(workspace, workspace.pseudonyms)}
    _write(destination, encrypt_crosswalk(rows.values(), workspace.pseudonyms))
    return len(rows)


def write_folder_crosswalk(
    workspace: Workspace, patients: Collection[str], destination: Path, *, site: str, outside: Path
) -> int:
    """The same for the patients of a de-identified folder (``pipelines/deidentify.py``): ids, accessions and offsets.

    Raises ``Misconfigured`` for a place in ``outside``, the folder that is handed on.
    """
    assert isinstance(workspace.pseudonyms, Keyed)
    require_outside(destination, [outside])
    rows: list[dict[str, str]] = []
    for key in workspace.private.list(IDENTIFIERS):
        patient_key = PurePosixPath(key).parts[-2]  # PATIENT/NAME.parquet
        if patient_key in patients:
            found = [Identifier(row["kind"], row["value"]) for row in read_table(workspace.private, key).to_pylist()]
            rows += crosswalk_rows(found, patient_key=patient_key, site=site, pseudonyms=workspace.pseudonyms)
    distinct = {tuple(row.items()): row for row in rows}
    _write(destination, encrypt_crosswalk(distinct.values(), workspace.pseudonyms))
    return len(distinct)


def read_crosswalk(path: Path, key: str) -> pa.Table:
    """The table of CROSSWALK. Raises ``Misconfigured`` for another key or a file that is none or was changed."""
    try:
        content = path.read_bytes()
    except OSError:
        raise Misconfigured("crosswalk: the file cannot be read") from None
    return decrypt_crosswalk(content, Keyed(load_key(key)))


def _rows(workspace: Workspace, pseudonyms: Keyed) -> Iterator[dict[str, str]]:
    try:
        series = read_table(workspace.store, "manifests/series.parquet").to_pylist()
    except FileNotFoundError:
        raise Misconfigured("crosswalk: the store holds no manifests yet: `curate run` first") from None
    owner = {row["series_key"]: (row["patient_key"], row["site"]) for row in series if row["status"] == "done"}
    for key in workspace.private.list(IDENTIFIERS):
        patient_key, site = owner.get(PurePosixPath(key).parts[-2], (None, None))  # STUDY/SERIES/NAME.parquet
        if patient_key is not None and site is not None:
            found = [Identifier(row["kind"], row["value"]) for row in read_table(workspace.private, key).to_pylist()]
            yield from crosswalk_rows(found, patient_key=patient_key, site=site, pseudonyms=pseudonyms)


def _write(destination: Path, content: bytes) -> None:
    """Whole or not at all, for its owner alone."""
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, destination)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise Misconfigured("crosswalk: there is no such folder, or it is one itself") from None
    except OSError as error:
        raise unavailable("write the crosswalk", error) from None
    finally:
        temporary.unlink(missing_ok=True)
