"""Verify a folder of de-identified files against the archives that they were made from.

Every file of the output is read: objects by the verifier's parser and some by GDCM too, everything else as bytes and
as text. Work is spread over processes, because GDCM is C++ and a file that crashes it must be a finding, not the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from curate.deid.keys import load_key
from curate.deid.review.decisions import Decisions
from curate.deid.verification.claims import Overrides, marks_of
from curate.deid.verification.crew import run_apart
from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.notes import make_notes
from curate.deid.verification.pair import Checked, without_common
from curate.deid.verification.parsing import instance_in
from curate.deid.verification.relations import check_relations
from curate.deid.verification.report import Report
from curate.deid.verification.tasks import AloneTask, Compared, PairTask, SearchTask
from curate.deid.verification.validity import check_validity, find_program
from curate.dicom.sources import BadFile, FileRef, list_archive
from curate.errors import Misconfigured

_BEGINNING = 1 << 16  # bytes of a file in which its SOP Instance UID is found

Progress = Callable[[str, int, int], None]  # what, done, in all


def verify_tree(
    sources: Sequence[Path],
    output: Path,
    *,
    key: str | None,
    codes: frozenset[str] | None = None,
    overrides: Overrides | None = None,
    decisions: Decisions | None = None,
    workers: int = 2,
    validity: bool = True,
    progress: Progress | None = None,
) -> Report:
    """``sources``: folders and archives; of a folder, archives that are sources themselves are not read as files.

    ``key``: its source (``env:NAME``, ``file:PATH``); None where ids were public. ``codes``: the CID 7050 codes that
    every object must state, where they are known. ``overrides``, ``decisions``: what a site and a person decided
    otherwise, as the run was told. ``workers``: 0 works in this process.

    Raises Misconfigured when a folder is missing or a key is, Unavailable when an archive cannot be read.
    """
    if not output.is_dir():
        raise Misconfigured("the output is not a folder")
    if key is not None:
        load_key(key)  # wrong keys are told before work starts
    files = sorted(path for path in output.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(output).as_posix(): path for path in files}
    objects = {name: path for name, path in names.items() if _is_object(path)}
    refs = list(_listed(sources))
    readable = [(archive, ref) for archive, ref in refs if isinstance(ref, FileRef)]
    told = progress or (lambda what, done, total: None)
    task = PairTask(key, str(output), _by_instance(objects), overrides or {}, marks_of(decisions))
    results, killers = run_apart(task, readable, workers, lambda done, total: told("comparing", done, total))
    pairs, uids, unreadable = _best(results)
    crashed = {name for _, ref in killers for name in task.names_of(ref)} - pairs.keys()
    checked = [one for _, one in pairs.values()]
    findings = [finding for one in checked for finding in one.findings]
    findings += _judge_alone(objects, set(objects) - pairs.keys() - crashed, crashed, task.overrides, workers)
    findings += check_relations(list(pairs.values()), frozenset(uids))
    findings += _check_codes(checked, codes, is_keyed=key is not None)
    leaks, unsearched = _search_all(names, objects, checked, workers, told)
    findings += leaks
    findings += [Finding(name, Rule.CRASHED) for name in crashed | set(unsearched)]
    program = find_program() if validity else None
    validated, faults = 0, list[Finding]()
    if program is not None:
        wanted = _one_a_series(pairs, {finding.file for finding in findings})
        validated, faults = check_validity(program, [ref for _, ref in readable], wanted, objects)
    counts = {
        "files in the source": len(refs),
        "of them no object that can be read": unreadable + len(refs) - len(readable) + len(killers),
        "objects in the output": len(objects),
        "objects compared with their source": len(pairs),
        "of them read by GDCM too": sum(one.is_crossed for one in checked),
        "source objects not in the output": len(uids - {one.source_instance for one in checked}),
        "other files in the output": len(names) - len(objects),
        "elements judged": sum(one.judgement.elements for one in checked),
        "objects checked by dciodvfy": validated,
    }
    stated = sorted({code for one in checked for code in one.stated})
    notes = make_notes(checked, was_valid=program is not None or not validity)
    return Report(counts, _shown(findings + faults, leaks), notes, tuple(stated))


def _listed(sources: Sequence[Path]) -> Iterator[tuple[str, FileRef | BadFile]]:
    """Every file with the source that it came from; archives that are sources themselves are no files of a folder."""
    opened = {os.path.abspath(source) for source in sources if not source.is_dir()}
    for source in sources:
        for found in list_archive(source):
            member = found.ref.member if isinstance(found, BadFile) else found.member
            if not (opened and source.is_dir() and os.path.abspath(source / member) in opened):
                yield str(source), found


def _by_instance(objects: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Names of the output by SOP Instance UID."""
    found: dict[str, tuple[str, ...]] = {}
    for name, path in objects.items():
        with path.open("rb") as stream:
            uid = instance_in(stream.read(_BEGINNING))
        found[uid] = (*found.get(uid, ()), name)
    return found


def _is_object(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM" or path.suffix == ".dcm"


def _best(
    results: Iterable[Compared],
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


def _judge_alone(
    objects: Mapping[str, Path], orphans: set[str], crashed: set[str], overrides: Overrides, workers: int
) -> list[Finding]:
    """Findings of objects without a source; those that a process dies of are added to ``crashed``."""
    items = [(name, str(objects[name])) for name in sorted(orphans)]
    results, killers = run_apart(AloneTask(overrides), items, workers)
    crashed |= {name for name, _ in killers}
    return [Finding(name, Rule.ORPHAN) for name, _ in items] + [finding for found in results for finding in found]


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


def _one_a_series(pairs: Mapping[str, tuple[str, Checked]], flagged: set[str]) -> dict[str, str]:
    """SOP Instance UID of the source -> name in the output, of one object a series and every one that is flagged."""
    series: dict[str, str] = {}
    for name, (_, one) in pairs.items():
        series.setdefault(one.series, name)
    return {
        one.source_instance: name for name, (_, one) in pairs.items() if name in flagged or series[one.series] == name
    }


def _shown(findings: Iterable[Finding], leaks: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted, each once, and no path that itself identifies."""
    hidden = {finding.file for finding in leaks if finding.rule is Rule.NAME}
    numbers = {name: f"?{number}" for number, name in enumerate(sorted(hidden), start=1)}
    return tuple(sorted({replace(one, file=numbers.get(one.file, one.file)) for one in findings}))
