"""Rows of a label CSV as text, with what is wrong with a row told apart from what is wrong with the file.

A file that is missing or lacks a column stops the run before it starts (``Misconfigured``, named by its key in the
spec); a row that cannot be read becomes an issue and the others go on.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from curate.errors import Misconfigured
from curate.labels.issues import Issue
from curate.reasons import Reason

LARGEST_WHOLE = 2**53  # a float64 holds every whole number up to here


class Uids(Protocol):
    """The part of ``curate.deid.Pseudonyms`` that label readers need."""

    def uid(self, value: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its number from 0 below the header (blank lines do not count) and its stripped cells."""

    number: int
    cells: Mapping[str, str]


class Keyed(Protocol):
    """A parsed row: it knows its line and its study."""

    @property
    def label_row(self) -> int: ...

    @property
    def study_key(self) -> str: ...


Parsed = TypeVar("Parsed", bound=Keyed)


class Malformed(ValueError):
    """A cell cannot be read. The text names the column and what was expected, never the cell."""


def read_rows(path: Path, table: str, columns: Sequence[str]) -> tuple[list[Row], list[Issue]]:
    """All rows that have as many cells as the header; other columns than ``columns`` may be there and are ignored.

    UTF-8, with or without a byte order mark. Raises ``Misconfigured`` when the file is missing or unreadable, is not
    UTF-8 text, or lacks a column or has it twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = [line for line in csv.reader(stream, strict=True) if line]
    except OSError:
        raise Misconfigured(f"labels.{table}: the file is missing or cannot be read") from None
    except (UnicodeDecodeError, csv.Error):
        raise Misconfigured(f"labels.{table}: the file is not a CSV table in UTF-8") from None
    header = [name.strip() for name in lines[0]] if lines else []
    wrong = [name for name in columns if header.count(name) != 1]
    if wrong:
        raise Misconfigured(f"labels.{table}: expected column '{wrong[0]}' once, found {header.count(wrong[0])}")

    rows, issues = [], []
    for number, line in enumerate(lines[1:]):
        if len(line) == len(header):
            rows.append(Row(number, {name: cell.strip() for name, cell in zip(header, line, strict=True)}))
        else:
            detail = f"{len(line)} cells where the header has {len(header)}"
            issues.append(Issue(table, number, None, Reason.LABEL_MALFORMED, detail))
    return rows, issues


def parse_rows(
    rows: Iterable[Row], table: str, parse: Callable[[Row], Parsed], study_key: Callable[[Row], str | None]
) -> tuple[list[Parsed], list[Issue]]:
    """Rows that ``parse`` reads, and an issue for each row on which it raises ``Malformed``."""
    parsed, issues = [], []
    for row in rows:
        try:
            parsed.append(parse(row))
        except Malformed as error:
            issues.append(Issue(table, row.number, study_key(row), Reason.LABEL_MALFORMED, str(error)))
    return parsed, issues


def drop_repeats(
    rows: Sequence[Parsed],
    table: str,
    *,
    same: Callable[[Parsed], Hashable],
    value: Callable[[Parsed], Hashable],
    what: str,
) -> tuple[list[Parsed], list[Issue]]:
    """One row for each ``same``: repeats with an equal ``value`` are dropped; where values differ, none is believed."""
    groups: dict[Hashable, list[Parsed]] = defaultdict(list)
    for row in rows:
        groups[same(row)].append(row)
    kept, issues = [], []
    for group in groups.values():
        first, *others = group
        if len({value(row) for row in group}) > 1:
            detail = f"{len(group)} rows for one {what} that differ: none is used"
            issues += [Issue(table, r.label_row, r.study_key, Reason.LABEL_CONTRADICTION, detail) for r in group]
            continue
        kept.append(first)
        detail = f"the same as row {first.label_row}"
        issues += [Issue(table, r.label_row, r.study_key, Reason.LABEL_DUPLICATE, detail) for r in others]
    return kept, issues


def key_of(row: Row, column: str, uids: Uids) -> str:
    """Key of the study or series that a cell names. Raises ``Malformed`` for an empty cell."""
    if not row.cells[column]:
        raise Malformed(f"{column} is empty")
    return uids.uid(row.cells[column])


def number_in(row: Row, column: str) -> float:
    """A finite number. Raises ``Malformed``."""
    text = row.cells[column]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:  # float() reads 1_000
        raise Malformed(f"{column} is not a number")
    return value


def whole_in(row: Row, column: str) -> int:
    """A whole number, which may be written as 12.0. Raises ``Malformed``."""
    value = number_in(row, column)
    if value != int(value) or abs(value) > LARGEST_WHOLE:
        raise Malformed(f"{column} is not a whole number")
    return int(value)
