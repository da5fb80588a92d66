"""Verify a release: every byte, every row, every number, and nobody's identity.

Trusts nothing but the list of digests, and that only if the caller knows its digest. Every file is opened once, never
through a link, and its bytes are digested, searched and decoded from that one reading (``reading``); images go on from
here to processes that judge their headers. Linear in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from curate.deid.identifiers import Identifier
from curate.deid.leaks import LeakScanner
from curate.errors import Misconfigured
from curate.release.contents import schema_of, table_names
from curate.release.description import TASKS
from curate.release.findings import Finding, Kind
from curate.release.inspection import ABOUT, CARD, Inspector, is_image, start_readers
from curate.release.leakage import LeakCheck, ReportedNames
from curate.release.numbers import check_csvs, check_numbers
from curate.release.privacy import STATEMENT, check_privacy
from curate.release.references import check_references
from curate.release.splits import check_splits, split_of_path
from curate.release.sums import SUMS, parse_sums
from curate.release.tables import SOLUTION, render_solution
from curate.release.tree import compare_digests, list_objects, list_tree
from curate.release.vocabulary import searchable
from curate.storage import Store, is_url, open_store, sha256_bytes
from curate.storage.opening import as_path

Progress = Callable[[int, int, int], None]  # files done, files in all, bytes done


def verify_release(
    place: Path | str,
    *,
    identifiers: Iterable[Identifier] | None = None,
    digest: str | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Everything that is wrong with a release, sorted; empty when nothing is.

    ``place``: the folder or URL of a version, public or private. ``identifiers``: what must occur nowhere (None:
    headers are checked, but nothing is searched). ``digest``: that of SHA256SUMS as the build gave it; without it, a
    forged list over forged files cannot be told.

    Raises ``Misconfigured`` when there is no such folder, ``OSError`` or ``Unavailable`` when it cannot be read.
    """
    release, sizes, findings = _open(place)
    leaks = LeakCheck(None if identifiers is None else LeakScanner(searchable(identifiers)))
    with start_readers(needed=any(map(is_image, sizes))) as readers:
        inspector = Inspector(release, leaks, readers)
        done = 0
        for number, name in enumerate(sorted(sizes, key=Inspector.order), start=1):
            inspector.inspect(name)
            done += sizes[name]
            if progress:
                progress(number, len(sizes), done)
        readers.finish()
    listed, broken = _read_list(inspector, digest)
    names = ReportedNames(leaks, [*sizes, *(listed or ()), *(finding.path for finding in findings)])
    findings += [*inspector.findings, *broken, *names.findings]
    if listed is not None:
        found = {name: sha256 for name, (sha256, _) in inspector.files.items() if name != SUMS}
        findings += compare_digests(listed, found, names.show)
    findings += _check_private(inspector) if "split" in inspector.about else _check_public(inspector)
    return sorted({replace(finding, path=names.show(finding.path)) for finding in findings})


def _open(place: Path | str) -> tuple[Path | Store, dict[str, int], list[Finding]]:
    """What an inspector reads, the bytes of each of its files, and findings about what is no file."""
    if is_url(place):
        store = open_store(place)
        sizes = list_objects(store)
        if not sizes:
            raise Misconfigured("release: there is nothing at this URL")
        return store, sizes, []
    folder = as_path(place)
    if not folder.is_dir():
        raise Misconfigured("release: there is no such folder")
    return folder, *list_tree(folder)


def _read_list(inspector: Inspector, digest: str | None) -> tuple[dict[str, str] | None, list[Finding]]:
    """SHA256SUMS as path -> digest, None when it cannot be read, and what is wrong with the list itself."""
    if SUMS not in inspector.texts:
        return None, [Finding(SUMS, Kind.NOT_FROZEN, "there is no list of digests: the build was not finished")]
    content = inspector.texts[SUMS]
    findings = []
    if digest is not None and sha256_bytes(content) != digest:
        findings.append(Finding(SUMS, Kind.NOT_FROZEN, "it is not the list that was expected"))
    try:
        return parse_sums(content), findings
    except ValueError as error:
        return None, [*findings, Finding(SUMS, Kind.UNREADABLE, str(error))]


def _check_public(inspector: Inspector) -> list[Finding]:
    task = str(inspector.about.get("task"))
    if task not in TASKS:
        return [Finding(ABOUT, Kind.UNREADABLE, "it names no known task")]
    findings, tables = _usable_tables(inspector, table_names(task), task)
    expected = {f"manifests/{name}.parquet" for name in table_names(task)} | {ABOUT, CARD, STATEMENT, SUMS}
    csvs = {path for path in inspector.texts if path.endswith(".csv") and "/" not in path}
    findings.extend(_check_kinds(inspector, expected | csvs))
    if tables is None:
        return findings
    return [
        *findings,
        *check_references(tables, inspector.files),
        *check_splits(tables, inspector.instances, inspector.files),
        *_check_numbers(tables, inspector),
        *_check_privacy(tables, inspector),
    ]


def _check_numbers(tables: Mapping[str, pa.Table], inspector: Inspector) -> list[Finding]:
    try:
        return check_numbers(tables, inspector.files, inspector.texts, inspector.about)
    except (ValueError, IndexError, TypeError) as error:  # cells that no label can have
        return [Finding("manifests", Kind.UNREADABLE, f"the tables cannot be counted ({type(error).__name__})")]


def _check_privacy(tables: Mapping[str, pa.Table], inspector: Inspector) -> list[Finding]:
    try:
        return list(check_privacy(tables, inspector.about, inspector.texts))
    except (KeyError, ValueError, TypeError):  # what no build writes
        return [Finding(ABOUT, Kind.UNREADABLE, "what it says about privacy cannot be read")]


def _check_private(inspector: Inspector) -> list[Finding]:
    """The answer key says what its samples say."""
    task = str(inspector.about.get("task"))
    if task not in TASKS:
        return [Finding(ABOUT, Kind.UNREADABLE, "it names no known task")]
    findings, tables = _usable_tables(inspector, ("samples",), task)
    if tables is not None:
        findings.extend(check_csvs({SOLUTION: render_solution(tables["samples"], task)}, inspector.texts))
    return findings


def _usable_tables(
    inspector: Inspector, names: Iterable[str], task: str
) -> tuple[list[Finding], dict[str, pa.Table] | None]:
    """The tables in their schemas, or None and why not."""
    findings: list[Finding] = []
    tables: dict[str, pa.Table] = {}
    for name in names:
        path = f"manifests/{name}.parquet"
        if path not in inspector.files:
            findings.append(Finding(path, Kind.MISSING, "every release has this table"))
        elif name in inspector.tables:
            try:
                schema = schema_of(name, task)
                tables[name] = inspector.tables[name].select(schema.names).cast(schema)
                continue
            except (KeyError, pa.ArrowException):
                findings.append(Finding(path, Kind.UNREADABLE, "its columns are not those of its schema"))
    return findings, tables if len(tables) == len(tuple(names)) else None


def _check_kinds(inspector: Inspector, expected: set[str]) -> Iterator[Finding]:
    """Files that no release has, listed or not."""
    for path in inspector.files:
        is_image = path.endswith(".dcm") and split_of_path(path) is not None
        if path not in expected and not is_image and not path.startswith("volumes/"):
            yield Finding(path, Kind.REFERENCE, "not a file that a release has")
