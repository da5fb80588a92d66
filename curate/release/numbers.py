"""Whether one number is the same wherever it stands: tables, release.json, the card, the CSV files, the folders."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from curate.release.card import number_blocks
from curate.release.counts import Counts, count
from curate.release.description import SPLITS
from curate.release.findings import Finding, Kind
from curate.release.references import Files
from curate.release.splits import split_of_path, study_of_path
from curate.release.tables import render_csvs


def check_numbers(
    tables: Mapping[str, pa.Table], files: Files, texts: Mapping[str, bytes], about: Mapping[str, Any]
) -> list[Finding]:
    """``texts``: the CSV files and the card by path; ``about``: the content of release.json.

    Raises ``ValueError`` when the tables cannot be counted.
    """
    task = str(about.get("task"))
    counts = count(
        tables,
        task=task,
        image_bytes=sum(size for path, (_, size) in files.items() if path.endswith(".dcm")),
        volume_bytes=sum(size for path, (_, size) in files.items() if path.startswith("volumes/")),
    )
    return [
        *_check_about(counts, about),
        *_check_card(counts, texts.get("README.md", b""), task),
        *_check_folders(counts, files),
        *check_csvs(render_csvs(tables, task), texts),
    ]


def check_csvs(expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> Iterator[Finding]:
    """Each CSV file holds the rows that the Parquet tables hold, in any order, under the same header."""
    for path, content in expected.items():
        if path not in found:
            yield Finding(path, Kind.MISSING, "the challenge's schema has this file")
            continue
        try:
            rows, wanted = _rows(found[path]), _rows(content)
        except (UnicodeDecodeError, csv.Error):
            yield Finding(path, Kind.UNREADABLE, "not a CSV file in UTF-8")
            continue
        if rows[:1] != wanted[:1]:
            yield Finding(path, Kind.UNREADABLE, "its header is not the challenge's")
            continue
        lost, added = Counter(wanted) - Counter(rows), Counter(rows) - Counter(wanted)
        if len(rows) != len(wanted):
            yield Finding(path, Kind.NUMBER, f"{len(rows) - 1} rows; the tables make {len(wanted) - 1}")
        if lost or added:
            detail = (
                f"{lost.total()} rows of the tables are not in it, {added.total()} rows of it are not in the tables"
            )
            yield Finding(path, Kind.REFERENCE, detail)


def _rows(content: bytes) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(content.decode(), newline=""), strict=True)]


def _check_about(counts: Counts, about: Mapping[str, Any]) -> Iterator[Finding]:
    true = dict(_leaves(json.loads(json.dumps(counts.as_json()))))
    stated = dict(_leaves(about.get("counts")))
    for place in sorted(set(true) | set(stated)):
        if true.get(place) != stated.get(place):
            yield Finding(
                "release.json", Kind.NUMBER, f"counts{place}: {stated.get(place)}; there are {true.get(place)}"
            )


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key], f"{place}.{key}")
    else:
        yield place, value


def _check_card(counts: Counts, card: bytes, task: str) -> Iterator[Finding]:
    text = card.decode("utf-8", "replace")
    for block in number_blocks(counts, task):
        if f"\n{block}\n\n" not in text:
            yield Finding(
                "README.md", Kind.NUMBER, f"'{block.splitlines()[0].lstrip('# ')}' is not what is in the release"
            )


def _check_folders(counts: Counts, files: Files) -> Iterator[Finding]:
    images: Counter[str | None] = Counter()
    studies: dict[str | None, set[str]] = defaultdict(set)
    for path in files:
        if path.endswith(".dcm"):
            images[split_of_path(path)] += 1
            studies[split_of_path(path)].add(study_of_path(path))
    volumes = {path.split(".zarr/")[0] for path in files if ".zarr/" in path}
    if len(volumes) != counts.total("volumes"):
        yield Finding("volumes", Kind.NUMBER, f"{len(volumes)} volumes; the tables have {counts.total('volumes')}")
    for split in SPLITS:
        for unit, number in (("images", images[split]), ("studies", len(studies[split]))):
            if number != counts.splits[split][unit]:
                detail = f"{number} {unit}; the tables have {counts.splits[split][unit]}"
                yield Finding(f"{split}_images", Kind.NUMBER, detail)
