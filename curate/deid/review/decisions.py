"""What a person decided about values: one row a distinct value, keep, clean or remove.

The values page (``review_page.py``) writes such a file and the run takes it (``[deid] decisions``). A decision speaks
of one value at one place, never of a tag as a whole: for that there are the profile's options and the site overrides.
Nobody can decide to keep what stands for a person, such as a name, an id, a UID or a date: these are always replaced.
The file holds text of the archive, so it belongs into the private zone; no message quotes it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]

from curate.deid.identifiers import kind_of
from curate.deid.vrs import KIND_OF_VR, Kind
from curate.errors import Misconfigured, Unavailable

Mark: TypeAlias = Literal["keep", "clean", "remove"]
MARKS: tuple[Mark, ...] = ("keep", "clean", "remove")
FORMAT = "spine-curate decisions 1"
COLUMNS = ("tag_path", "vr", "value", "decision")
SEPARATOR = "/"

_LARGEST_FILE = 64 << 20
_STANDARD_STEP = re.compile(r"\(([0-9a-f]{4}),([0-9a-f]{4})\)")
_PRIVATE_STEP = re.compile(r"\([0-9a-f]{3}[13579bdf],xx[0-9a-f]{2},.*\)", re.DOTALL)
_STEP_START = re.compile(r"(?:^|/)(?=\([0-9a-f]{4},)")
_PERSONAL = (Kind.PERSON, Kind.UID, Kind.TIME)
_Key: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Marks by (tag path, VR, value); ``repr`` shows how many there are and nothing else."""

    rows: Mapping[_Key, Mark] = field(repr=False)
    tags: frozenset[str] = field(repr=False)  # last steps of all paths: a quick way to ask about none

    def action(self, tag_path: str, vr: str, value: str) -> Mark | None:
        """The mark of a value, None when nobody decided. ``value``: decoded, without padding, as ``decode_text`` does.

        An element of one value representation is another row than one of another.
        """
        return self.rows.get((tag_path, vr, value))

    def concern(self, tag: int, creator: str = "") -> bool:
        """Whether any decision speaks of the tag, at any depth."""
        return path_step(tag, creator) in self.tags

    def content(self) -> bytes:
        """Bytes of the same decisions in any order of rows, to digest with the key; they hold text of the archive."""
        return json.dumps(sorted((*key, mark) for key, mark in self.rows.items()), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Decisions({len(self.rows)} rows)"


@dataclass(frozen=True, slots=True)
class Noting(Decisions):
    """Decisions that note which of their rows were asked for, by their number in ``content()``: 0 is the first."""

    numbers: Mapping[_Key, int] = field(repr=False)
    met: set[int] = field(default_factory=set, repr=False)

    def action(self, tag_path: str, vr: str, value: str) -> Mark | None:
        """The mark of a value, as of ``Decisions``."""
        number = self.numbers.get((tag_path, vr, value))
        if number is None:
            return None
        self.met.add(number)
        return self.rows[tag_path, vr, value]


def noting(decisions: Decisions) -> Noting:
    """The same decisions, with nothing noted yet."""
    return Noting(decisions.rows, decisions.tags, {key: number for number, key in enumerate(sorted(decisions.rows))})


def path_step(tag: int, creator: str = "") -> str:
    """One step of a tag path: ``(0008,103e)``, and ``(0019,xx0c,SIEMENS MR HEADER)`` for a private element.

    Private blocks move from file to file (PS3.5 7.8.1), so a private element is named by its creator and last byte.
    """
    group, number = tag >> 16, tag & 0xFFFF
    if group & 1 and number > 0xFF:
        return f"({group:04x},xx{number & 0xFF:02x},{creator})"
    return f"({group:04x},{number:04x})"


def join_path(parent: str, tag: int, creator: str = "") -> str:
    """The path of an element below ``parent``, which is empty at the top level."""
    step = path_step(tag, creator)
    return f"{parent}{SEPARATOR}{step}" if parent else step


def name_path(tag_path: str) -> str:
    """Names of the attributes of a path, for people; a private one goes by its creator."""
    starts = [match.end() for match in _STEP_START.finditer(tag_path)]
    ends = [start - len(SEPARATOR) for start in starts[1:]] + [len(tag_path)]
    return " > ".join(_name(tag_path[start:end]) for start, end in zip(starts, ends, strict=True))


def is_personal(tag_path: str, vr: str) -> bool:
    """Whether the element stands for a person by its tag or VR: nobody is asked about it."""
    kind = KIND_OF_VR.get(vr.encode("latin-1", "replace"), Kind.UNKNOWN)
    if kind in _PERSONAL:
        return True
    match = _STANDARD_STEP.fullmatch(last_step(tag_path))
    return match is not None and kind_of(int(match[1] + match[2], 16), kind) is not None


def creator_of(tag_path: str) -> str | None:
    """The creator of a private element, which may be empty; None for a standard element."""
    step = last_step(tag_path)
    return step[11:-1] if _PRIVATE_STEP.fullmatch(step) else None


def last_step(path: str) -> str:
    """The last step of a path; private creators may hold any sign, so not simply what follows the last separator."""
    starts = [match.end() for match in _STEP_START.finditer(path)]
    return path[starts[-1] :] if starts else path


def read_decisions(path: Path) -> Decisions:
    """Read the JSON or CSV file that the values page saved. Raises Misconfigured naming the row, never its text."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise Misconfigured("deid.decisions: there is no such file") from None
    except OSError:
        raise Unavailable("the decisions cannot be read") from None
    return parse_decisions(content)


def parse_decisions(content: bytes) -> Decisions:
    """Decisions from bytes: JSON when they begin with a brace, else CSV with a header line.

    Raises Misconfigured for another format, a missing column, an unknown mark, a path that is none, a value decided
    twice in different ways, or one that nobody may keep.
    """
    if len(content) > _LARGEST_FILE:
        raise _refusal("the file is too large for decisions")
    try:
        text = content.decode("utf-8-sig")
        rows = _json_rows(text) if text.lstrip().startswith("{") else _csv_rows(text)
        return make_decisions(rows)
    except (UnicodeDecodeError, csv.Error, ValueError, RecursionError):
        raise _refusal("neither the JSON nor the CSV file that the values page saves") from None


def make_decisions(rows: Iterable[Mapping[str, Any]]) -> Decisions:
    """Decisions from rows with the columns of ``COLUMNS``; others are ignored. Raises Misconfigured."""
    decided: dict[_Key, Mark] = {}
    for number, row in enumerate(rows, start=1):
        key, mark = _checked(number, row)
        if decided.setdefault(key, mark) != mark:
            raise _refusal(f"row {number}: the same value is decided in two ways")
    return Decisions(MappingProxyType(decided), frozenset(last_step(path) for path, _, _ in decided))


def _checked(number: int, row: Mapping[str, Any]) -> tuple[_Key, Mark]:
    path, vr, value = (row.get(name) for name in COLUMNS[:3])
    if not (isinstance(path, str) and isinstance(vr, str) and isinstance(value, str)):
        raise _refusal(f"row {number}: tag_path, vr and value must be there")
    mark = row.get("decision")
    if mark not in MARKS:
        raise _refusal(f"row {number}: the decision must be {', '.join(MARKS[:-1])} or {MARKS[-1]}")
    if vr.encode("latin-1", "replace") not in KIND_OF_VR or not _is_path(path):
        raise _refusal(f"row {number}: not a tag path and VR of the values table")
    if mark != "remove" and is_personal(path, vr):
        raise _refusal(f"row {number}: what stands for a person is always replaced")
    return (path, vr, value), mark


def _is_path(path: str) -> bool:
    last = last_step(path)
    return _STANDARD_STEP.fullmatch(last) is not None or _PRIVATE_STEP.fullmatch(last) is not None


def _name(step: str) -> str:
    match = _STANDARD_STEP.fullmatch(step)
    if match is None:
        return f"private, {creator_of(step) or 'no creator'}"
    entry = DicomDictionary.get(int(match[1] + match[2], 16))
    if entry is None:
        return "private creator" if int(match[1], 16) & 1 else "unknown attribute"
    return entry[2]


def _json_rows(text: str) -> list[Mapping[str, Any]]:
    content = json.loads(text)
    rows = content.get("decisions")
    if content.get("format") != FORMAT or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("format")
    return rows


def _csv_rows(text: str) -> list[Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError("columns")
    return list(reader)


def _refusal(detail: str) -> Misconfigured:
    return Misconfigured(f"deid.decisions: {detail}")
