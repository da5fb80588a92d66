"""k-anonymity of tables: among how many patients the one in a row hides, by what others may know of a person.

Counted in patients, not rows: k of a row is the number of distinct patients who share its quasi-identifiers (age
band, sex, site, scanner, year, as far as the table has them), k of a table the smallest of its rows (Sweeney 2002).
Too small groups lose one quasi-identifier after the other until they are large enough; what was suppressed is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

ENOUGH = 5
QUASI_IDENTIFIERS = (
    "manufacturer_model_name",
    "manufacturer",
    "year",
    "age_band",
    "patient_age",
    "patient_sex",
    "site",
)
"""Columns of any of our tables that others may know of a person, in the order in which they are suppressed."""

FIXED = ("site",)  # splits, folders and counts of a release name it, so it cannot be blanked in one table
_PATIENT = "patient_key"


@dataclass(frozen=True, slots=True)
class Anonymity:
    """The figure of one table; ``k`` is 0 for one without rows. ``suppressed``: column -> cells that were blanked."""

    table: str
    quasi_identifiers: tuple[str, ...]
    patients: int
    k: int
    patients_below: int  # who hide among fewer than ENOUGH
    suppressed: tuple[tuple[str, int], ...] = ()

    @property
    def is_enough(self) -> bool:
        """Whether everybody hides among enough others."""
        return self.k >= ENOUGH or self.patients == 0


def measure(
    name: str,
    table: pa.Table,
    patient_of: Mapping[str, str] | None = None,
    *,
    suppressed: tuple[tuple[str, int], ...] = (),
) -> Anonymity:
    """The figure of a table as it stands; ``suppressed``: what was blanked in it before.

    A table without a patient column is joined to patients by ``patient_of``, study or series key -> patient key.
    """
    columns = [column for column in QUASI_IDENTIFIERS if column in table.column_names]
    patients = _patients(table, patient_of or {})
    groups = _groups(table, columns, patients)
    sizes = {key: len(members) for key, members in groups.items()}
    below = {patient for key, members in groups.items() if sizes[key] < ENOUGH for patient in members}
    smallest = min(sizes.values(), default=0)
    return Anonymity(name, tuple(columns), len(set(patients)), smallest, len(below), suppressed)


def suppress(name: str, table: pa.Table, *, enough: int = ENOUGH) -> tuple[pa.Table, Anonymity]:
    """The table with null where a quasi-identifier would single out too few patients, and its figure.

    Columns are blanked one after the other, in all rows of every group that is still too small. Sites are not: where
    they alone make a group small, the figure says so.
    """
    counts: dict[str, int] = {}
    present = [column for column in QUASI_IDENTIFIERS if column in table.column_names]
    patients = _patients(table, {})
    for column in (name for name in present if name not in FIXED):
        groups = _groups(table, present, patients)
        keys = list(zip(*(table[each].to_pylist() for each in present), strict=True))
        small = [len(groups[key]) < enough for key in keys]
        values = table[column].to_pylist()
        blanked = sum(is_small and value is not None for is_small, value in zip(small, values, strict=True))
        if blanked:
            kept = [None if is_small else value for is_small, value in zip(small, values, strict=True)]
            place = table.schema.get_field_index(column)
            table = table.set_column(place, table.schema.field(place), pa.array(kept, table.schema.field(place).type))
            counts[column] = blanked
    return table, measure(name, table, suppressed=tuple(counts.items()))


def age_band(age: str | None) -> str | None:
    """Five years of a DICOM age string (AS): ``060-064``; ``090+``; below a year ``000-004``; None for what is none."""
    if age is None or len(age) != 4 or not age[:3].isdigit() or age[3] not in "DWMY":
        return None
    years = int(age[:3]) // {"D": 365, "W": 52, "M": 12, "Y": 1}[age[3]]
    return "090+" if years >= 90 else f"{years - years % 5:03d}-{years - years % 5 + 4:03d}"


def _patients(table: pa.Table, patient_of: Mapping[str, str]) -> list[str]:
    """Whose each row is; a row of nobody known counts as a patient of its own."""
    if _PATIENT in table.column_names:
        return [str(patient) for patient in table[_PATIENT].to_pylist()]
    for column in ("study_key", "series_key"):
        if column in table.column_names:
            return [patient_of.get(key, f"?{key}") for key in table[column].to_pylist()]
    return [f"?{number}" for number in range(table.num_rows)]


def _groups(table: pa.Table, columns: Sequence[str], patients: Sequence[str]) -> dict[tuple[object, ...], set[str]]:
    groups: dict[tuple[object, ...], set[str]] = defaultdict(set)
    cells = [table[column].to_pylist() for column in columns]
    for number, patient in enumerate(patients):
        groups[tuple(column[number] for column in cells)].add(patient)
    return groups
