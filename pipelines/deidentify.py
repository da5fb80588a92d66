"""A folder from a hospital becomes de-identified files: list, de-identify every file alone, settle by receipts.

An item is a file. What a file became lies under the digest of its bytes in the private zone until ``handover.py`` makes
the output of what the receipts say; so a run that was stopped leaves no half output, and one with other marks leaves
nothing of the earlier one behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydicom import dcmread
from pydicom.uid import UID

from cluster.attempt import settle_without_work
from cluster.executors import Executor
from cluster.executors.compacting import Compacting
from cluster.job import Done, Job
from cluster.ledger import Ledger, compact
from cluster.outcomes import ItemOutcome
from cluster.units import Item, separate_too_large
from curate.compiled import warm_up
from curate.deid import Deidentified, Identifier, Keyed, deidentify_bytes
from curate.deid.leaks import LeakScanner
from curate.deid.options import CLEAN_PIXELS
from curate.deid.review.decisions import noting
from curate.dicom import BadFile, Limits, SourceReader, list_archive
from curate.dicom.archives import Kind, kind_of
from curate.errors import Misconfigured, Rejected
from curate.identity import Json, canonical_json, digest_json, fingerprint
from curate.manifests import read_table, sort_rows, table_bytes
from curate.reasons import REASONS, Reason
from curate.storage import Store, sha256_bytes
from pipelines.catalogue import LISTING, PROCESS_MEMORY, file_ref, listed_row
from pipelines.known import IDENTIFIERS, identifiers_bytes
from pipelines.packing import cut, lane_bytes, without_settled
from pipelines.publishing import publish, refuse_leaks
from pipelines.spec import Runtime, private_zone_of
from pipelines.watch import Watch
from pipelines.workspace import Workspace, digest_of_decisions, restore_workspace

STAGE = "deidentify"
VERSION = 1
IMAGES, AUDIT, REPORTS = "dicom", "audit.parquet", ("report.html", "report.json", "verification.json")  # of the output
_PACKED = (".zip", ".tar", ".tar.gz", ".tgz")
_MEMORY_OF_A_FILE = 8  # times its size: read, parsed, decoded, written, searched
_PLACE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_OF_ONE_FILE = frozenset(("uid", "date"))  # kinds of identifiers that differ from file to file of one patient


@dataclass(frozen=True)
class Request:
    """What a person asks for. ``sources``: folders, zip, tar and tar.gz files; ``out``: a folder of this command's."""

    sources: tuple[Path, ...]
    out: Path
    key: str
    profile: str = "mira"
    site: str = ""
    options: tuple[str, ...] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    decisions: Path | None = None

    @property
    def private(self) -> Path:
        """The folder for what identifies, beside the output."""
        return private_zone_of(self.out.absolute())

    def describe(self) -> dict[str, Json]:
        """As ``restore_workspace`` takes it. The store is in the private zone: the output holds what is handed on."""
        kind, _, name = self.key.partition(":")
        return {
            "store": str(self.private / "work"),
            "private": str(self.private),
            "profile": {
                "profile": self.profile,
                "options": None if self.options is None else list(self.options),
                "overrides": dict(self.overrides),
                "allow": list(self.allow),
            },
            "site_overrides": {},
            "decisions": None if self.decisions is None else str(self.decisions.absolute()),
            "key": f"file:{Path(name).expanduser().absolute()}" if kind == "file" else self.key,
        }


@dataclass(frozen=True)
class Plan:
    """Everything that was found, and the job that settles it."""

    request: Request
    workspace: Workspace
    archives: tuple[Path, ...]  # the sources, and the archives that lie in their folders
    listing: pa.Table  # LISTING, by file key
    job: Job
    items: tuple[Item, ...]  # one a file, by file key


def make_plan(request: Request) -> Plan:
    """Check what was asked for and list every file; nothing is written but the private listing.

    Raises Misconfigured for a source that is missing or empty, an output that is not this command's or lies in a
    source, a key, profile or decisions that cannot be used.
    """
    _check_places(request)
    workspace = restore_workspace(request.describe())
    if not isinstance(workspace.pseudonyms, Keyed):
        raise Misconfigured("--profile public keeps names and dates: it is for archives that were published, see spec")
    archives = tuple(archives_in(request.sources))
    rows = list(_list(request, archives, workspace.pseudonyms))
    listing = sort_rows(pa.Table.from_pylist(rows, schema=LISTING), ("file_key",))
    content = table_bytes(listing)
    key = f"listings/{workspace.pseudonyms.digest(content)[:16]}.parquet"
    workspace.private.put_new(key, content)
    parameters = digest_json(
        {
            "profile": workspace.profile.digest,
            "site": request.site,
            "decisions": digest_of_decisions(workspace),
            "key": workspace.pseudonyms.fingerprint,
        }
    )
    config: dict[str, Json] = {"workspace": request.describe(), "listing": key, "site": request.site}
    job = Job(STAGE, VERSION, open_deidentifier, config, parameters, ("pydicom",))
    return Plan(request, workspace, archives, listing, job, tuple(_items(job, listing, workspace)))


def settled_before(plan: Plan) -> dict[str, ItemOutcome]:
    """Outcomes of earlier runs that still hold. Results that are damaged are taken away: they are made again."""
    store = plan.workspace.store
    wanted = {item.fingerprint for item in plan.items}
    known = Ledger(store, STAGE).settled().items()
    return {mark: outcome for mark, outcome in known if mark in wanted and _still_holds(store, outcome)}


def execute(plan: Plan, settled: Mapping[str, ItemOutcome], executor: Executor, watch: Watch) -> list[ItemOutcome]:
    """Settle what is not settled; the outcome of every item, in their order."""
    runtime = Runtime()
    lanes = lane_bytes(runtime, executor.memory)
    fitting, too_large = separate_too_large(plan.items, lanes)
    store = plan.workspace.store
    if too_large:
        detail = f"more than the largest lane of {max(lanes)} bytes"
        settle_without_work(plan.job, too_large, Reason.TOO_LARGE, detail, store.url)
    left = without_settled(cut(STAGE, fitting, runtime, lanes), settled)
    watch.run(Compacting(executor, store), plan.job, left)
    compact(Ledger(store, STAGE))
    outcomes = Ledger(store, STAGE).outcomes()
    return [outcomes[item.fingerprint] for item in plan.items]


def open_deidentifier(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """What a worker runs: the key of a listed file -> its de-identified object."""
    description = config["workspace"]
    assert isinstance(description, dict)
    workspace = restore_workspace(description)
    table = read_table(workspace.private, str(config["listing"]))
    numbers = {key: number for number, key in enumerate(table["file_key"].to_pylist())}
    reader = SourceReader(Limits(), indexes=f"{workspace.private.url}/indexes")
    if workspace.profile.has(CLEAN_PIXELS):
        warm_up()  # what decodes, not on the first item's time
    return Deidentifier(workspace, str(config["site"]), table, numbers, reader).work


@dataclass(frozen=True, slots=True)
class Deidentifier:
    """What de-identifying any file of a run needs; archives stay open from file to file."""

    workspace: Workspace
    site: str
    listing: pa.Table
    numbers: Mapping[str, int]
    reader: SourceReader

    def work(self, item: Item) -> Done:
        """Raises Rejected, Quarantined or Unavailable; then nothing of this file is handed on."""
        row = self.listing.slice(self.numbers[item.key], 1).to_pylist()[0]
        if row["reason"] is not None:
            raise Rejected(REASONS[row["reason"]], row["detail"] or "")
        raw = self.reader.read(file_ref(row))
        decisions = None if self.workspace.decisions is None else noting(self.workspace.decisions)
        try:
            clean = deidentify_bytes(
                raw, self.workspace.profile, self.workspace.pseudonyms, site=self.site, decisions=decisions
            )
        except Rejected as rejection:
            raise type(rejection)(rejection.reason, rejection.detail or class_of(raw)) from None
        check_for_leaks(clean)
        place = place_of(clean.content)
        digest = clean.audit.output_sha256
        written = publish(self.workspace.store, f"objects/{digest[:2]}/{digest}.dcm", clean.content)
        self._keep_identifiers(clean, place)
        record: dict[str, Json] = {
            "place": place,
            "audit": clean.audit.record(),
            "marks": [] if decisions is None else sorted(decisions.met),
        }
        return Done((written,), record)

    def _keep_identifiers(self, clean: Deidentified, place: str) -> None:
        """Those that files of one patient share are written once."""
        content = identifiers_bytes(one for one in clean.identifiers if one.kind not in _OF_ONE_FILE)
        name = self.workspace.pseudonyms.digest(content, "identifiers")[:20]
        self.workspace.private.put_new(f"{IDENTIFIERS}/{place.split('/')[0]}/{name}.parquet", content)


def place_of(content: bytes) -> str:
    """``patient/study/series/instance`` of a de-identified object: all of them pseudonyms."""
    header = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=list(_PLACE))
    return "/".join(str(header[name].value) for name in _PLACE)


def class_of(raw: bytes) -> str:
    """The standard's name for the class of an object that was refused; empty if it is none of the standard's."""
    try:
        header = dcmread(BytesIO(raw), stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True)
        uid = UID(str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", "")))
    except Exception:  # noqa: BLE001 - refused bytes break the parser in any way; the reason of the refusal stands
        return ""
    return uid.name if uid.type == "SOP Class" else ""


def check_for_leaks(clean: Deidentified) -> None:
    """Raises Quarantined(LEAK_FOUND) when the object holds something that its source says of a person."""
    shared = frozenset(one for one in clean.identifiers if one.kind not in _OF_ONE_FILE)
    own = LeakScanner(one for one in clean.identifiers if one.kind == "uid")
    refuse_leaks([*_scanner(shared).scan(clean.content), *own.scan(clean.content)])


@lru_cache(maxsize=64)
def _scanner(identifiers: frozenset[Identifier]) -> LeakScanner:
    """Files of one patient follow each other and share their identifiers."""
    return LeakScanner(identifiers)


def _check_places(request: Request) -> None:
    out, private = request.out.resolve(), request.private.resolve()
    for source in request.sources:
        if not source.exists():
            raise Misconfigured(f"{source} does not exist: name folders, zip, tar or tar.gz files")
        for place in (out, private):
            if place.is_relative_to(source.resolve()) or source.resolve().is_relative_to(place):
                raise Misconfigured(
                    f"--out: {request.out} and {source} lie one inside the other; choose a folder apart"
                )
    if request.out.exists() and not request.out.is_dir():
        raise Misconfigured(f"--out: {request.out} is not a folder")
    there = {path.name for path in request.out.iterdir()} if request.out.is_dir() else set()
    if there - {IMAGES, AUDIT, *REPORTS} or (there and not (private / "work").is_dir()):
        raise Misconfigured(f"--out: {request.out} holds files of something else; choose a new folder, or move them")


def archives_in(sources: Sequence[Path]) -> Iterator[Path]:
    """The sources, each followed by the zip and tar files that lie in it, in a fixed order."""
    for source in sources:
        yield source
        if source.is_dir():
            inside = (path for path in source.rglob("*") if _is_packed(path.name))
            yield from sorted(path for path in inside if _is_archive(path))


def _is_packed(name: str) -> bool:
    return name.lower().endswith(_PACKED)


def _is_archive(path: Path) -> bool:
    """One that holds files; any other is a file that is not DICOM."""
    if path.is_symlink() or not path.is_file() or not os.access(path, os.R_OK) or kind_of(path) is Kind.FILE:
        return False
    try:
        return next(list_archive(path), None) is not None
    except Misconfigured:
        return False


def _list(request: Request, archives: tuple[Path, ...], pseudonyms: Keyed) -> Iterator[dict[str, Any]]:
    """Rows of LISTING; an archive that lies in a folder is listed by what it holds."""
    inside = {str(path.resolve()) for path in archives}
    for number, archive in enumerate(archives):
        try:
            for found in list_archive(archive, Limits()):
                name = found.ref.member if isinstance(found, BadFile) else found.member
                if archive.is_dir() and _is_packed(name) and str((archive / name).resolve()) in inside:
                    continue
                row = listed_row(found, f"{request.site}/{number}", pseudonyms)
                yield {**row, "chunk": "", "site": request.site}
        except Misconfigured as error:
            raise Misconfigured(f"{archive}: {error}") from None


def _items(job: Job, listing: pa.Table, workspace: Workspace) -> Iterator[Item]:
    for row in listing.to_pylist():
        listed: list[Json] = [row["file_key"], row["size"], row["modified_ns"], row["reason"]]
        made_of = [workspace.pseudonyms.digest(canonical_json(listed), "listing")]
        mark = fingerprint(job.stage, job.version, job.parameters, made_of)
        size = 0 if row["reason"] is not None else row["size"]
        yield Item(row["file_key"], mark, cost=size, memory=PROCESS_MEMORY + _MEMORY_OF_A_FILE * size)


def _still_holds(store: Store, outcome: ItemOutcome) -> bool:
    """Whether everything that the receipt names is there with these bytes."""
    damaged = [output.key for output in outcome.outputs if _digest(store, output.key) != output.sha256]
    for key in damaged:
        store.delete(key)
    return not damaged


def _digest(store: Store, key: str) -> str | None:
    try:
        return sha256_bytes(store.get(key))
    except FileNotFoundError:
        return None
