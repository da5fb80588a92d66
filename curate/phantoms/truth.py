"""What is true of an archive of phantoms, as tables beside it: for tests and onboarding, no part of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TRIPLE = pa.list_(pa.float64(), 3)

STUDIES = pa.schema(  # one row a study, as its headers or its path name it
    [("study", pa.string()), ("patient", pa.string()), ("site", pa.string()), ("archive", pa.string())]
)
SERIES = pa.schema(  # one row a stack of a sound series
    [
        ("study", pa.string()),
        ("series", pa.string()),
        ("stack", pa.int32()),
        ("site", pa.string()),
        ("modality", pa.string()),
        ("series_type", pa.string()),
        ("transfer_syntax_uid", pa.string()),
        ("shape", pa.list_(pa.int64(), 3)),  # slices along row x column, rows, columns
        ("affine", pa.list_(pa.float64(), 16)),  # (k, j, i, 1) -> LPS millimetres
        ("pixel_sha256", pa.string()),  # of the modality values (HU or stored), little endian int16/uint16, C order
    ]
)
LANDMARKS = pa.schema(
    [
        ("study", pa.string()),
        ("series", pa.string()),
        ("instance_number", pa.int64()),  # null: not tied to a slice
        ("kind", pa.string()),  # vertebra | disc | fracture | box | point
        ("name", pa.string()),  # C4; C4 low-low ..; spinal_canal_stenosis_l4_l5
        ("column", pa.float64()),
        ("row", pa.float64()),
        ("point_mm", TRIPLE),  # LPS, of the labelled pixel, on the plane of its slice
        ("anatomy_mm", TRIPLE),  # LPS, of the structure itself
    ]
)
EXPECTED = pa.schema(  # what curation should say
    [
        ("study", pa.string()),
        ("series", pa.string()),  # null: a file that belongs to no series
        ("site", pa.string()),
        ("member", pa.string()),  # path in the archive, where one file is meant
        ("outcome", pa.string()),  # done | rejected | quarantined | set apart (the series goes on) | label issue
        ("reason", pa.string()),  # null when done
        ("accepted_reasons", pa.list_(pa.string())),  # codes that say it as truly, the first one best
        ("defect", pa.string()),  # what was planted; null: nothing
        ("flag", pa.string()),  # what a volume of the series says of itself
    ]
)
PLANTED = pa.schema(
    [
        ("study", pa.string()),
        ("place", pa.string()),  # (gggg,eeee), with > into sequences; or preamble, path
        ("kind", pa.string()),  # name | id | date | uid | accession | text | phone | address | institution | path
        ("value", pa.string()),
    ]
)
TABLES: Mapping[str, pa.Schema] = {
    "studies": STUDIES,
    "series": SERIES,
    "landmarks": LANDMARKS,
    "expected": EXPECTED,
    "planted": PLANTED,
}


class Truth:
    """Collects rows by table while an archive is made."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}

    def note(self, table: str, **row: object) -> None:
        """Add a row; a column that is not named is null."""
        self._rows[table].append(row)

    def rows(self, table: str) -> Sequence[Mapping[str, object]]:
        """What was noted so far."""
        return self._rows[table]

    def write(self, folder: Path) -> None:
        """One Parquet file a table, rows in the order in which they were noted."""
        folder.mkdir(parents=True)
        for name, schema in TABLES.items():
            pq.write_table(pa.Table.from_pylist(self._rows[name], schema=schema), folder / f"{name}.parquet")
