"""The catalogue stage: list every site's archives, read every header, write keyed rows.

A listing (private) is cut into chunks; a chunk is an item. A worker reads the headers of its chunk and writes two kinds
of rows: keyed ones for the store, and where each file lies for the private zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.job import Done, Job
from cluster.outcomes import Output
from cluster.units import Item
from curate.compiled import warm_up
from curate.deid import Pseudonyms
from curate.dicom import BadFile, FileRef, Limits, SourceReader, list_archive
from curate.dicom.functional_groups import read_frames
from curate.dicom.headers import read_source_headers
from curate.errors import Misconfigured, Rejected, Unavailable
from curate.identity import Json, canonical_json, digest_json, fingerprint
from curate.manifests import read_table, sort_rows, table_bytes
from curate.manifests.schemas import FILES, INSTANCES
from curate.reasons import Reason
from curate.storage import sha256_bytes
from pipelines.keying import keyed_instance
from pipelines.spec import Site, Spec
from pipelines.workspace import Workspace, describe_workspace, restore_workspace

STAGE = "catalogue"
VERSION = 2
HEADER_COST = 32 * 2**10  # bytes read of a file for its header, to measure work
PROCESS_MEMORY = 416 * 2**20  # of a worker with its libraries, before it reads anything

_PLACE = [
    ("site", pa.string()),
    ("file_key", pa.string()),
    ("archive", pa.string()),
    ("member", pa.string()),
    ("size", pa.int64()),
    ("offset", pa.int64()),
    ("modified_ns", pa.int64()),
]
LISTING = pa.schema(  # private: every file of every archive
    [("chunk", pa.string()), *_PLACE, ("reason", pa.string()), ("detail", pa.string())]
)
SOURCES = pa.schema(  # private: where the file behind a key lies
    [*_PLACE, ("series_key", pa.string()), ("header_bytes", pa.int64())]
)
HEADERS = (
    pa.schema(  # private: what a chunk's scan knows of a file; where it lies is said by the listing, which may move
        [("file_key", pa.string()), ("series_key", pa.string()), ("header_bytes", pa.int64())]
    )
)
_IDS = ("study_key", "series_key", "instance_key")


@dataclass(frozen=True)
class Listing:
    """What the archives hold, in chunks: an item a chunk, its rows of LISTING in the private zone."""

    chunks: tuple[Item, ...]
    digest: str  # keyed, of every row: also of where the files lie, so it stays in the private zone


def catalogue_job(spec: Spec, workspace: Workspace) -> Job:
    """The job that reads the headers of listed chunks."""
    layouts: dict[str, Json] = {site.name: site.layout for site in spec.sites}
    config: dict[str, Json] = {
        "workspace": dict(describe_workspace(spec)),
        "layouts": layouts,
        "file_bytes": file_bytes(spec),
    }
    parameters: dict[str, Json] = {
        "layouts": layouts,
        "key": workspace.pseudonyms.fingerprint,
        "file_bytes": file_bytes(spec),
    }
    return Job(
        STAGE,
        VERSION,
        open_cataloguer,
        config,
        digest_json(parameters),
        ("pydicom", "pyarrow"),
        least_seconds=spec.runtime.deadline_seconds,
    )


def list_sites(spec: Spec, workspace: Workspace) -> Listing:
    """List all archives into the private zone, chunk by chunk; what is in memory are the items, one a chunk.

    Raises ``Misconfigured``, with the path of the key in the spec, for an archive that is missing or holds no file.
    """
    job = catalogue_job(spec, workspace)
    items = []
    digests: list[Json] = []
    for site in spec.sites:
        for rows in _list_site(site, spec, workspace.pseudonyms):
            item = _item(job, rows, workspace.pseudonyms)
            content = table_bytes(sort_rows(pa.Table.from_pylist(rows, schema=LISTING), ("file_key",)))
            workspace.private.put(listing_key(item.fingerprint), content)  # the same chunk may have moved
            items.append(item)
            digests.append(workspace.pseudonyms.digest(content))
    return Listing(tuple(items), digest_json(digests))


def open_cataloguer(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """What a worker runs: an item's chunk of the listing -> two tables of rows."""
    description, layouts = config["workspace"], config["layouts"]
    assert isinstance(description, dict)
    assert isinstance(layouts, dict)
    workspace = restore_workspace(description)
    limits = Limits(file_bytes=int(str(config["file_bytes"])))
    warm_up()  # not on the first item's time

    def work(item: Item) -> Done:
        listed = read_table(workspace.private, listing_key(item.fingerprint)).to_pylist()
        instances: list[dict[str, Any]] = []
        files: list[dict[str, Any]] = []
        headers: list[dict[str, Any]] = []
        with SourceReader(limits, indexes=f"{workspace.private.url}/indexes") as reader:
            for row, keyed, header_bytes in read_keyed(reader, listed, layouts, workspace):
                if keyed["reason"] is None:
                    instances.append(keyed)
                    headers.append(
                        {"file_key": row["file_key"], "series_key": keyed["series_key"], "header_bytes": header_bytes}
                    )
                else:
                    files.append(keyed)
        instances_key, files_key = part_keys(item.fingerprint)
        outputs = (
            _publish(workspace, instances_key, instances, INSTANCES),
            _publish(workspace, files_key, files, FILES),
        )
        table = pa.Table.from_pylist(headers, schema=HEADERS)
        workspace.private.put_new(headers_key(item.fingerprint), table_bytes(sort_rows(table, ("file_key",))))
        return Done(outputs, {"instances": len(instances), "files": len(files)})

    return work


def read_keyed(
    reader: SourceReader, listed: Sequence[Mapping[str, Any]], layouts: Mapping[str, Json], workspace: Workspace
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any], int]]:
    """(row of LISTING, its keyed row, size of its header) of every listed file, in order.

    A keyed row is one of INSTANCES if its ``reason`` is None, else of FILES. ``layouts``: by site.
    """
    scanned = read_source_headers(reader, [file_ref(row) for row in listed if row["reason"] is None])
    for row in listed:
        if row["reason"] is not None:
            yield row, {**_common(row), "reason": row["reason"], "detail": row["detail"]}, 0
            continue
        header, header_bytes = next(scanned)
        layout = layouts.get(row["site"])
        keyed = _keyed(row, header, header_bytes, None if layout is None else str(layout), workspace.pseudonyms)
        yield row, keyed, len(header_bytes) if keyed["reason"] is None else 0


def _common(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"site": row["site"], "file_key": row["file_key"], "size_bytes": row["size"]}


def _keyed(
    row: Mapping[str, Any], header: Mapping[str, Any], header_bytes: bytes, layout: str | None, pseudonyms: Pseudonyms
) -> dict[str, Any]:
    if header["reason"] is not None:
        return {**_common(row), "reason": header["reason"], "detail": header["detail"] or ""}
    try:
        frames = read_frames(header_bytes, header)
    except Rejected as rejection:
        return {**_common(row), "reason": rejection.reason.value, "detail": rejection.detail}
    instance = keyed_instance({**header, "frames": frames}, site=row["site"], layout=layout, pseudonyms=pseudonyms)
    if not all(instance[name] for name in _IDS):
        return {**_common(row), "reason": Reason.MISSING_IDENTIFIERS.value, "detail": ""}
    return instance | {
        **_common(row),
        "reason": None,
        "header_digest": pseudonyms.digest(header_bytes, "header"),
        "stamp": pseudonyms.digest(f"{row['size']}:{row['modified_ns']}".encode(), "stamp"),
    }


def part_keys(fingerprint: str) -> tuple[str, str]:
    """What a scanned chunk gave, in the store: its rows of INSTANCES and of FILES."""
    folder = f"catalogue/parts/{fingerprint[:16]}"
    return f"{folder}/instances.parquet", f"{folder}/files.parquet"


def listing_key(fingerprint: str) -> str:
    """The private list of a chunk's files."""
    return f"listings/{fingerprint[:16]}.parquet"


def headers_key(fingerprint: str) -> str:
    """The private part of a scanned chunk."""
    return f"parts/{fingerprint[:16]}.parquet"


def file_ref(row: Mapping[str, Any]) -> FileRef:
    """Where a file lies, from a row of LISTING or SOURCES."""
    return FileRef(row["archive"], row["member"], row["size"], row["offset"], row["modified_ns"])


def file_bytes(spec: Spec) -> int:
    """The largest file that is opened."""
    return spec.runtime.maximum_file_megabytes * 2**20


def _list_site(site: Site, spec: Spec, pseudonyms: Pseudonyms) -> Iterator[list[dict[str, Any]]]:
    """Rows of LISTING, a chunk at a time.

    A chunk never spans two archives, and a file's key does not depend on where the archive lies.
    """
    limits = Limits(file_bytes=file_bytes(spec))
    for number, archive in enumerate(site.archives):
        try:
            found = list_archive(archive, limits)
            for chunk in range(2**31):
                batch = list(islice(found, spec.runtime.files_per_chunk))
                if not batch:
                    break
                place = {"chunk": f"{site.name}.{number}.{chunk:06d}", "site": site.name}
                yield [listed_row(each, f"{site.name}/{number}", pseudonyms) | place for each in batch]
        except (Misconfigured, Unavailable) as error:
            raise type(error)(f"sites.{site.name}.archives.{number}: {archive}: {error}") from None


def listed_row(found: FileRef | BadFile, archive: str, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """A row of LISTING without its chunk and site. ``archive``: what the archive is called, wherever it lies."""
    ref = found.ref if isinstance(found, BadFile) else found
    name = f"{archive}/{ref.member}/{ref.offset}"
    return {
        "file_key": pseudonyms.digest(name.encode("utf-8", "surrogatepass"), "file")[:20],
        "archive": str(Path(ref.archive).absolute()),
        "member": ref.member,
        "size": ref.size,
        "offset": ref.offset,
        "modified_ns": ref.modified_ns,
        "reason": found.reason.value if isinstance(found, BadFile) else None,
        "detail": found.detail if isinstance(found, BadFile) else None,
    }


def _item(job: Job, rows: Sequence[Mapping[str, Any]], pseudonyms: Pseudonyms) -> Item:
    listed: list[Json] = [[row["file_key"], row["size"], row["modified_ns"], row["reason"]] for row in rows]
    mark = fingerprint(job.stage, job.version, job.parameters, [pseudonyms.digest(canonical_json(listed), "listing")])
    cost = sum(min(row["size"], HEADER_COST) for row in rows)
    return Item(rows[0]["chunk"], mark, cost=cost, memory=PROCESS_MEMORY)


def _publish(workspace: Workspace, key: str, rows: list[dict[str, Any]], schema: pa.Schema) -> Output:
    content = table_bytes(sort_rows(pa.Table.from_pylist(rows, schema=schema), ("file_key",)))
    workspace.store.put_new(key, content)
    return Output(key, sha256_bytes(content), len(content))
