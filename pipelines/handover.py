"""What is handed on, made from receipts: the tree of files, the audit, and for the hospital alone what was set aside.

The tree is a view: files that no receipt names any more are taken out of it, so that what a later decision removed
does not stay. Files are hard links to the objects in the private zone; an object that nothing names goes too.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.outcomes import ItemOutcome, Status
from curate.deid import FileAudit
from curate.deid.records.audit_chain import audit_row, chain_audit
from curate.deid.review.decisions import COLUMNS
from curate.deid.review.report import next_step
from curate.errors import Misconfigured
from curate.manifests import read_table, sort_rows, table_bytes
from curate.manifests.schemas import FILE_AUDIT
from curate.reasons import Reason
from curate.release.description import CODE_VERSION
from curate.storage import LocalStore, Store
from curate.storage.store import unavailable
from pipelines.deidentify import AUDIT, IMAGES, REPORTS, Plan
from pipelines.known import IDENTIFIER, IDENTIFIERS

SET_ASIDE, UNUSED_MARKS, KNOWN = "quarantined.csv", "unused-marks.csv", "identifiers.parquet"  # private


@dataclass(frozen=True)
class HandedOver:
    """``outcomes``: of every file, copies settled. The counts say what changed in the tree since the last run."""

    outcomes: tuple[ItemOutcome, ...]
    audit: pa.Table  # AUDIT
    added: int
    replaced: int
    removed: int
    unchanged: int


def hand_over(plan: Plan, outcomes: Sequence[ItemOutcome]) -> HandedOver:
    """Make the output of what the receipts say. An earlier report is taken away first: it tells of another output."""
    out, work = LocalStore(plan.request.out), _in_folder(plan.workspace.store)
    for name in (*REPORTS, AUDIT):
        out.path(name).unlink(missing_ok=True)
    settled = settle_copies(outcomes)
    done = [outcome for outcome in settled if outcome.status is Status.DONE]
    wanted = {f"{IMAGES}/{outcome.record['place']}.dcm": outcome.outputs[0].key for outcome in done}
    removed = _remove_others(out, IMAGES, wanted)
    changes = [_link(work.path(key), out.path(name)) for name, key in sorted(wanted.items())]
    _remove_others(work, "objects", {output.key for outcome in outcomes for output in outcome.outputs})
    options = [code for code, _ in plan.workspace.profile.codes]
    rows = [_audit_row(outcome, options) for outcome in done]
    audit = chain_audit(pa.Table.from_pylist(rows, schema=FILE_AUDIT))
    out.put(AUDIT, table_bytes(audit))
    _write_private(plan, settled)
    return HandedOver(tuple(settled), audit, changes.count("new"), changes.count("other"), removed, changes.count(""))


@contextmanager
def alone(plan: Plan) -> Iterator[None]:
    """Nobody else works on the same output meanwhile. Raises Misconfigured when somebody does."""
    private = _in_folder(plan.workspace.private)
    private.put_new("lock", b"")
    with private.path("lock").open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured("--out: another run is at work on this folder; wait until it ends") from None
        yield


def settle_copies(outcomes: Sequence[ItemOutcome]) -> list[ItemOutcome]:
    """One file an instance: of equal copies the first stays, in the order of keys; of unequal ones none does."""
    copies: dict[str, list[ItemOutcome]] = {}
    for outcome in outcomes:
        if outcome.status is Status.DONE:
            copies.setdefault(str(outcome.record["place"]).rsplit("/", 1)[-1], []).append(outcome)
    return [_settle_copy(outcome, copies) if outcome.status is Status.DONE else outcome for outcome in outcomes]


def _settle_copy(outcome: ItemOutcome, copies: Mapping[str, Sequence[ItemOutcome]]) -> ItemOutcome:
    same = copies[str(outcome.record["place"]).rsplit("/", 1)[-1]]
    if len({(one.record["place"], one.outputs[0].sha256) for one in same}) > 1:
        status, reason = Status.QUARANTINED, Reason.CONFLICTING_INSTANCE
    elif outcome.key != min(one.key for one in same):
        status, reason = Status.REJECTED, Reason.DUPLICATE_INSTANCE
    else:
        return outcome
    return replace(outcome, status=status, reason=reason, outputs=(), record={})


def _in_folder(store: Store) -> LocalStore:
    assert isinstance(store, LocalStore)  # as ``Request.describe`` says: both lie beside the output
    return store


def _link(source: Path, target: Path) -> str:
    """Make ``target`` the object; what was there: ``new`` for nothing, ``other`` for another file, empty for itself."""
    before = "" if target.exists() and target.samefile(source) else "other" if target.exists() else "new"
    if before:
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise unavailable("write the output", error) from None
    return before


def _remove_others(store: LocalStore, folder: str, wanted: Iterable[str]) -> int:
    """Take every other file, and folders that become empty, out of a folder of the store."""
    kept = set(wanted)
    top = store.path(folder)
    others = [store.path(key) for key in (store.list(folder) if top.is_dir() else ()) if key not in kept]
    for path in others:
        path.unlink()
        while path.parent != store.root and not any(path.parent.iterdir()):
            path = path.parent
            path.rmdir()
    return len(others)


def _audit_row(outcome: ItemOutcome, options: Iterable[str]) -> dict[str, Any]:
    said: Any = outcome.record["audit"]
    audit = FileAudit(
        **said
        | {
            "counts": tuple(sorted(said["counts"].items())),
            "flags": tuple(said["flags"]),
            "blanked": tuple(tuple(box) for box in said["blanked"]),
        }
    )
    _, _, series, instance = str(outcome.record["place"]).split("/")
    return audit_row(audit, series_key=series, instance_key=instance, options=options, code_version=CODE_VERSION)


def _write_private(plan: Plan, outcomes: Sequence[ItemOutcome]) -> None:
    private, decisions = plan.workspace.private, plan.workspace.decisions
    places = {row["file_key"]: row for row in plan.listing.to_pylist()}
    apart = [_told(outcome, places[outcome.key]) for outcome in outcomes if outcome.reason is not None]
    columns = ("file", "inside", "what became of it", "reason", "what it means", "detail", "what to do next")
    private.put(SET_ASIDE, _csv(columns, sorted(apart)))
    used = used_marks(outcomes)
    rows = sorted(decisions.rows.items()) if decisions is not None else []
    private.put(UNUSED_MARKS, _csv(COLUMNS, ((*key, mark) for n, (key, mark) in enumerate(rows) if n not in used)))
    tables = [read_table(private, key) for key in private.list(IDENTIFIERS)]
    known = pa.concat_tables(tables).group_by(IDENTIFIER.names).aggregate([]) if tables else IDENTIFIER.empty_table()
    private.put(KNOWN, table_bytes(sort_rows(known, IDENTIFIER.names)))


def used_marks(outcomes: Iterable[ItemOutcome]) -> frozenset[int]:
    """Numbers of the decisions that some file asked for, whatever became of it in the end."""
    return frozenset(int(str(n)) for outcome in outcomes for n in _listed(outcome.record.get("marks")))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) else ()


def _told(outcome: ItemOutcome, row: Mapping[str, Any]) -> tuple[str, ...]:
    assert outcome.reason is not None
    archive, member = Path(row["archive"]), row["member"]
    file, inside = (str(archive / member), "") if archive.is_dir() else (str(archive), member)
    reason = outcome.reason
    return file, inside, outcome.status.value, reason.value, reason.text, outcome.detail, next_step(reason)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8", "surrogatepass")
