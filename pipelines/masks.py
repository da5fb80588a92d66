"""Where the vertebra masks of a cervical spec lie, by study key. Private: a mask's file name is a study's own id."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from curate.deid import Pseudonyms
from curate.errors import Misconfigured
from curate.manifests import read_table, table_bytes
from pipelines.spec import CervicalSpec, Spec
from pipelines.workspace import Workspace

MASKS = pa.schema([("study_key", pa.string()), ("path", pa.string()), ("stamp", pa.string())])
_SUFFIXES = (".nii.gz", ".nii")


def list_masks(spec: Spec, workspace: Workspace) -> tuple[str | None, dict[str, str]]:
    """Write the private list of masks; return its key, and the stamp (keyed, of size and time) of each study's mask.

    Raises ``Misconfigured`` when the folder is not there.
    """
    if not isinstance(spec, CervicalSpec) or spec.labels is None or spec.labels.segmentations is None:
        return None, {}
    folder = spec.labels.segmentations
    if not folder.is_dir():
        raise Misconfigured(f"labels.segmentations: {folder} is not a folder")
    rows = [row for path in sorted(folder.iterdir()) if (row := _row(path, workspace.pseudonyms))]
    content = table_bytes(pa.Table.from_pylist(rows, schema=MASKS))
    key = f"masks/{workspace.pseudonyms.digest(content)[:16]}.parquet"
    workspace.private.put_new(key, content)
    return key, {row["study_key"]: row["stamp"] for row in rows}


def masks_by_study(workspace: Workspace, key: str | None) -> dict[str, Path]:
    """The list that ``list_masks`` wrote, as paths by study key."""
    if key is None:
        return {}
    return {row["study_key"]: Path(row["path"]) for row in read_table(workspace.private, key).to_pylist()}


def stamps_by_study(workspace: Workspace, key: str | None) -> dict[str, str]:
    """The stamps of the same list by study key, as ``list_masks`` gave them."""
    if key is None:
        return {}
    return {row["study_key"]: row["stamp"] for row in read_table(workspace.private, key).to_pylist()}


def _row(path: Path, pseudonyms: Pseudonyms) -> dict[str, str] | None:
    suffix = next((end for end in _SUFFIXES if path.name.endswith(end)), None)
    if suffix is None or not path.is_file():
        return None
    status = path.stat()
    stamp = pseudonyms.digest(f"{status.st_size}:{status.st_mtime_ns}".encode(), "stamp")
    return {"study_key": pseudonyms.uid(path.name.removesuffix(suffix)), "path": str(path), "stamp": stamp}
