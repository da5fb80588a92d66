"""The distinct values of an archive: what a person looks at instead of a million files.

One row for each (tag path, VR, value), with what kind of text it is, in how many files and of how many patients it
stands, from which equipment, and what the profile is about to do with it. What stands for a person (names, ids, UIDs,
dates) and plain numbers are counted, not listed: no decision changes what becomes of them. The table holds text of
the archive and belongs into the private zone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path

import pyarrow as pa

from curate.deid.cleaning import clean_text
from curate.deid.elements import PIXEL_TAGS, Element, Syntax, read_elements, read_private_items
from curate.deid.filemeta import OpenedFile, open_file
from curate.deid.header import Header
from curate.deid.identifiers import Guard, Identifier, kind_of
from curate.deid.options import FULL_DATES
from curate.deid.overrides import PrivateName
from curate.deid.private import rule_of
from curate.deid.profile import Action, Profile, Rule
from curate.deid.pseudonyms import canonical_id
from curate.deid.review.decisions import is_personal, join_path, name_path
from curate.deid.review.value_classes import NAMES_ITS_PATIENT, NOT_LISTED, classify, rank
from curate.deid.rules import Rules, rules_for
from curate.deid.text import decode_text, encodings_of, is_code, is_number, is_uid
from curate.deid.vrs import KIND_OF_VR, Kind
from curate.dicom.archives import BadFile, FileRef, Limits
from curate.dicom.headers import read_source_header
from curate.dicom.sources import SourceReader, list_archive
from curate.errors import Rejected
from curate.reasons import Reason

KEPT, CLEANED, REMOVED, REPLACED, MOVED = (
    "kept",
    "cleaned",
    "removed",
    "replaced",
    "moved with the patient's other dates",
)
NAMED = "kept, but removed where it names a person of the file"
MOST_VALUES = 5000  # listed for one place; a tag with more is no matter for row by row review
MOST_PATIENTS = 10  # counted for one value
LONGEST_VALUE = 2000  # characters

VALUES = pa.schema(
    [
        ("tag_path", pa.string()),
        ("name", pa.string()),  # of the attribute, sequences first
        ("vr", pa.string()),
        ("value", pa.string()),  # null: values of this place are counted and not listed
        ("value_class", pa.string()),
        ("planned", pa.string()),  # what the profile does without a decision
        ("becomes", pa.string()),  # what cleaning leaves of it, in the first file that holds it
        ("count", pa.int64()),  # files that hold it
        ("patients", pa.int32()),  # whom it stands with, at most MOST_PATIENTS
        ("equipment", pa.list_(pa.string())),  # modality, manufacturer, model, software
    ]
)

_CHARACTER_SET = 0x00080005
_SIGNATURE = (0x00080060, 0x00080070, 0x00081090, 0x00181020)
_PLANS = {
    Action.KEEP: KEPT,
    Action.CLEAN: CLEANED,
    Action.REMOVE: REMOVED,
    Action.EMPTY: "emptied",
    Action.ENTER: "entered",
    Action.DUMMY_ITEMS: "its texts replaced",
    Action.SHIFT: MOVED,
    Action.AGE: "kept, at most 90 years",
    Action.UID: "replaced; the standard's own stay",
}
_OF_KIND = {Kind.UID: "uid", Kind.TIME: "time"}

Progress = Callable[[int], None]  # files read


@dataclass(frozen=True, slots=True)
class Values:
    """``table``: of schema VALUES, the rows that most need a look first; ``unread``: reason -> files not looked at."""

    table: pa.Table
    files: int
    unread: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One element of one file. ``text`` is None for what is not listed."""

    path: str
    vr: str
    text: str | None
    kind: str  # why it is not listed; empty for listed ones
    planned: str


@dataclass(slots=True)
class _Tally:
    planned: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    equipment: set[str] = field(default_factory=set)
    becomes: str | None = None
    count: int = 0
    is_named: bool = False


def collect_values(
    archives: Iterable[str | Path], *, profile: Profile, limits: Limits | None = None, progress: Progress | None = None
) -> Values:
    """Read the headers of every file of folders, zip, tar and tar.gz archives.

    Files that cannot be read are counted under their reason. Raises Misconfigured when an archive is missing or holds
    no file, Unavailable when the storage refuses.
    """
    limits = limits or Limits()
    collector = ValueCollector(profile)
    unread: Counter[str] = Counter()
    files = 0
    with SourceReader(limits) as reader:
        for files, found in enumerate(chain.from_iterable(list_archive(path, limits) for path in archives), start=1):
            reason = _add(collector, reader, found)
            if reason is not None:
                unread[reason] += 1
            if progress:
                progress(files)
    return Values(collector.table(), files - unread.total(), dict(sorted(unread.items())))


class ValueCollector:
    """Adds up the values of one header after the other; memory grows with distinct values, up to a limit a place."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._tallies: dict[tuple[str, str], dict[tuple[str, str | None], _Tally]] = {}

    def add(self, header_bytes: bytes) -> None:
        """Take in one file, whole or cut before its pixel data. Raises Rejected when it cannot be read strictly."""
        file = open_file(header_bytes)
        elements = read_elements(file.content, file.start, file.syntax)
        header = Header(file, {element.tag: element for element in elements})
        reading = _Reading(file, rules_for(self._profile, header.sop_class_uid))
        seen = list(reading.dataset(elements, file.syntax))
        signature = ", ".join(header.text(tag) or "-" for tag in _SIGNATURE)
        patient = canonical_id(header.text(0x00100020)) or header.study_uid
        guard = _guard(frozenset(reading.identifiers))
        for one in dict.fromkeys(seen):
            tally = self._tally(one)
            tally.count += 1
            tally.planned.add(one.planned)
            tally.equipment.add(signature)
            if len(tally.patients) < MOST_PATIENTS:
                tally.patients.add(patient)
            if one.text and not tally.is_named:
                tally.is_named = guard.finds(one.text)
            if one.text and one.planned == CLEANED and tally.becomes is None:
                tally.becomes = "\\".join(clean_text(part, guard) for part in one.text.split("\\"))

    def table(self) -> pa.Table:
        """The rows so far, of schema VALUES: by need of a look, then by place and value."""
        rows = [_row(place, key, tally) for place, tallies in self._tallies.items() for key, tally in tallies.items()]
        rows.sort(key=lambda row: (rank(str(row["value_class"])), row["tag_path"], row["vr"], str(row["value"] or "")))
        return pa.Table.from_pylist(rows, schema=VALUES)

    def _tally(self, one: _Seen) -> _Tally:
        place = self._tallies.setdefault((one.path, one.vr), {})
        key = (one.kind, one.text)
        if key not in place and len(place) >= MOST_VALUES:
            key = (NOT_LISTED["many"], None)
        return place.setdefault(key, _Tally())


class _Reading:
    """One pass over one header."""

    def __init__(self, file: OpenedFile, rules: Rules) -> None:
        self.identifiers: set[Identifier] = set()
        self._content = file.content
        self._rules = rules
        self._encodings: Sequence[str] = ("iso8859",)

    def dataset(self, elements: Iterable[Element], syntax: Syntax, parent: str = "") -> Iterator[_Seen]:
        """Elements of a data set and of the sequences that the profile enters."""
        outer = self._encodings
        creators: dict[int, str] = {}  # stay or go with their elements, whose paths name them
        for element in elements:
            value = self._content[element.start : element.end]
            if element.tag == _CHARACTER_SET:
                self._encodings = encodings_of(value)
            if element.tag & 0x10000 and 0x10 <= element.tag & 0xFFFF <= 0xFF:
                creators[element.tag] = decode_text(value, self._encodings)
            elif element.tag not in PIXEL_TAGS and element.tag & 0xFFFF and element.start < element.end:
                creator = creators.get(element.tag & 0xFFFF0000 | element.tag >> 8 & 0xFF, "")
                rule = self._rule(element, creator, value)
                yield from self._element(element, rule, syntax, join_path(parent, element.tag, creator))
        self._encodings = outer

    def _rule(self, element: Element, creator: str, value: bytes) -> Rule | None:
        """The rule that a run would follow without decisions; None for removal."""
        if not element.tag & 0x10000:
            return self._rules.public.get(element.tag)
        known = self._rules.private.get(PrivateName(element.tag >> 16, creator, element.tag & 0xFF))
        return rule_of(known, element, value) if known is not None and creator else None

    def _element(self, element: Element, rule: Rule | None, syntax: Syntax, path: str) -> Iterator[_Seen]:
        vr, items = element.vr.decode(), element.items
        if vr == "SQ" or items is not None:
            if rule is not None and rule.action is Action.ENTER:
                if element.tag & 0x10000 and items is None:
                    items = read_private_items(self._content, element, syntax)
                for item in items or ():
                    yield from self.dataset(item.elements, item.syntax, path)
            else:
                yield _Seen(path, "SQ", None, NOT_LISTED["sequence"], _plan(rule, Kind.SEQUENCE, b""))
            return
        value = self._content[element.start : element.end]
        kind = rule.kind if rule is not None and vr == "UN" else KIND_OF_VR[element.vr]
        planned = _plan(rule, kind, value)
        if is_personal(path, vr) or (vr == "UN" and kind in (Kind.PERSON, Kind.UID, Kind.TIME)):
            self._note(element.tag, kind, value)
            if planned == MOVED and self._rules.profile.has(FULL_DATES):
                planned = KEPT
            yield _Seen(path, vr, None, NOT_LISTED[_OF_KIND.get(kind, "personal")], planned)
            return
        text = decode_text(value, self._encodings)
        if reason := _not_listed(kind, value, text):
            yield _Seen(path, vr, None, reason, planned)
        elif text:
            yield _Seen(path, vr, text, "", planned)

    def _note(self, tag: int, kind: Kind, value: bytes) -> None:
        wanted = kind_of(tag, kind)
        if wanted not in (None, "uid", "date"):
            parts = decode_text(value, self._encodings).split("\\")
            self.identifiers.update(Identifier(wanted, part.strip()) for part in parts if part.strip())


@lru_cache(maxsize=256)
def _guard(identifiers: frozenset[Identifier]) -> Guard:
    """Files of one patient follow each other and share their identifiers."""
    return Guard(sorted(identifiers))


def _add(collector: ValueCollector, reader: SourceReader, found: FileRef | BadFile) -> str | None:
    if isinstance(found, BadFile):
        return found.reason.value
    header, head = read_source_header(reader, found)
    if header["reason"] not in (None, Reason.NOT_AN_IMAGE.value):  # reports and the like have text to look at too
        return str(header["reason"])
    try:
        collector.add(head)
    except Rejected as rejection:
        return rejection.reason.value
    return None


def _plan(rule: Rule | None, kind: Kind, value: bytes) -> str:
    """What happens to a value, in a word or two for people."""
    if rule is None:
        return REMOVED
    action = rule.action
    fits = {Action.CHECK_CODE: is_code, Action.CHECK_NUMBER: is_number, Action.CHECK_UID: is_uid}.get(action)
    if (fits is not None and not fits(value)) or (kind is Kind.UNKNOWN and action is not Action.CLEAN):
        action = rule.fallback
    if action.name.startswith("CHECK"):
        return KEPT
    return _PLANS.get(action, REPLACED)


def _not_listed(kind: Kind, value: bytes, text: str) -> str:
    """Why a value is counted and not listed; empty for one that is listed."""
    if kind is Kind.NUMBERS or (kind is Kind.DECIMALS and is_number(value)):
        return NOT_LISTED["number"]
    if kind is Kind.AGE:
        return NOT_LISTED["age"]
    if kind is Kind.BULK or (kind is Kind.UNKNOWN and not (value.isascii() and text.isprintable())):
        return NOT_LISTED["bytes"]
    return NOT_LISTED["long"] if len(text) > LONGEST_VALUE else ""


def _row(place: tuple[str, str], key: tuple[str, str | None], tally: _Tally) -> dict[str, object]:
    kind, text = key
    if text is not None:
        kind = NAMES_ITS_PATIENT if tally.is_named else classify(text, is_code=place[1] == "CS")
    planned = {NAMED if tally.is_named and plan == KEPT else plan for plan in tally.planned}
    return {
        "tag_path": place[0],
        "name": name_path(place[0]),
        "vr": place[1],
        "value": text,
        "value_class": kind,
        "planned": " or ".join(sorted(planned)),
        "becomes": tally.becomes,
        "count": tally.count,
        "patients": len(tally.patients),
        "equipment": sorted(tally.equipment),
    }
