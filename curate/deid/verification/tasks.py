"""What the processes of a verification do: compare objects, judge those without a source, search every file.

Each task yields one result an item, so that ``crew`` knows which item a process died of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from curate.deid.keys import load_key
from curate.deid.verification.claims import Marks, Overrides
from curate.deid.verification.derive import Rename, renames
from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.judge import Judgement
from curate.deid.verification.pair import Checked, check_output, check_pair, leaks_in
from curate.deid.verification.parsing import instance_in, parse_contents
from curate.deid.verification.reading import instance_uid, named
from curate.deid.verification.search import Search
from curate.deid.verification.texts import is_opaque, read_texts
from curate.deid.verification.words import Known
from curate.dicom import SourceReader
from curate.dicom.sources import FileRef
from curate.errors import Rejected

Compared = tuple[str, str | None, list[Checked]]
"""The archive, the SOP Instance UID (None: no object that can be read), checks of the outputs that it became."""


@dataclass(frozen=True, slots=True)
class PairTask:
    """Compares source files with what became of them. ``by_uid``: SOP Instance UID -> names in the output."""

    key: str | None
    output: str
    by_uid: Mapping[str, tuple[str, ...]]
    overrides: Overrides
    marks: Marks = field(default_factory=dict, repr=False)

    def __call__(self, items: Sequence[tuple[str, FileRef]]) -> Iterator[Compared]:
        """Of each (archive, file in it)."""
        rename = renames(None if self.key is None else load_key(self.key))
        crossed: set[str] = set()  # series of which GDCM has read a file in this batch
        with SourceReader() as reader:
            for archive, ref in items:
                yield self._one(archive, ref, reader, rename, crossed)

    def names_of(self, ref: FileRef) -> list[str]:
        """Outputs that a source file became, found without GDCM."""
        rename = renames(None if self.key is None else load_key(self.key))
        with SourceReader() as reader:
            try:
                return self._names(instance_in(reader.read(ref)), rename)
            except Rejected:
                return []

    def _names(self, uid: str, rename: Rename) -> list[str]:
        if not uid:
            return []
        return list(dict.fromkeys([*self.by_uid.get(rename(uid), ()), *self.by_uid.get(uid, ())]))

    def _one(self, archive: str, ref: FileRef, reader: SourceReader, rename: Rename, crossed: set[str]) -> Compared:
        try:
            source = reader.read(ref)
        except Rejected:
            return archive, None, []
        uid = instance_in(source) or _by_gdcm(source)
        if not uid:
            return archive, None, []
        checks = []
        for name in self._names(uid, rename):
            content = Path(self.output, name).read_bytes()
            one = check_pair(
                source, content, name, rename=rename, overrides=self.overrides, marks=self.marks, crossed=crossed
            )
            checks.append(replace(one, source_instance=uid))
        return archive, uid, checks


@dataclass(frozen=True, slots=True)
class AloneTask:
    """Judges outputs that have no source."""

    overrides: Overrides

    def __call__(self, items: Sequence[tuple[str, str]]) -> Iterator[tuple[Finding, ...]]:
        """Findings of each (name, path)."""
        for name, path in items:
            yield check_output(Path(path).read_bytes(), name, self.overrides).findings


def check_alone(items: Sequence[tuple[bytes, str, Overrides]]) -> Iterator[Checked]:
    """The check of each (content, name, what the site overrides) that has no source; without what relates files."""
    for content, name, overrides in items:
        yield replace(check_output(content, name, overrides), judgement=Judgement())


class SearchTask:
    """Searches whole files for everything known; compiled once a process."""

    def __init__(self, known: frozenset[Known]) -> None:
        self._known = known
        self._search: Search | None = None

    def __getstate__(self) -> frozenset[Known]:
        return self._known

    def __setstate__(self, known: frozenset[Known]) -> None:
        self._known, self._search = known, None

    def __call__(self, items: Sequence[tuple[str, str, bool]]) -> Iterator[list[Finding]]:
        """Findings of each (name, path, is an object)."""
        if self._search is None:
            self._search = Search(self._known)
        for name, path, is_object in items:
            in_name = [Finding(name, Rule.NAME)] if self._search.text(name) else []
            content = Path(path).read_bytes()
            yield in_name + (_in_object if is_object else _in_other)(self._search, name, content)


def _in_object(search: Search, name: str, content: bytes) -> list[Finding]:
    try:
        return leaks_in(search, name, content, parse_contents(content))
    except Rejected:  # a finding already; its bytes are searched all the same
        return _in_other(search, name, content)


def _in_other(search: Search, name: str, content: bytes) -> list[Finding]:
    opaque = (0, len(content)) if is_opaque(name, content) else (0, 0)
    hits = search.bytes(content, opaque=opaque)
    found = [Finding(name, Rule.LEAK, "", f"{kind} ({count}) in bytes") for kind, count in sorted(hits.items())]
    decoded: Counter[str] = Counter()
    try:
        for text in read_texts(name, content):
            decoded.update(search.text(text))
    except ValueError as error:
        found.append(Finding(name, Rule.UNREADABLE, "", str(error)))
    details = (f"{kind} ({count}) in decoded text" for kind, count in sorted(decoded.items()))
    return found + [Finding(name, Rule.LEAK, "", detail) for detail in details]


def _by_gdcm(source: bytes) -> str | None:
    with named(source) as path:
        return instance_uid(path)
