"""The values table as one HTML file that a person reads, marks and saves decisions from.

Self-contained: no network, no storage in the browser; a content security policy that names the digests of its own
script and style forbids everything else. Text of the archive stands in a JSON block and is set as text by the script,
so no value can become markup.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

from curate.deid.private import is_public
from curate.deid.profile import Profile
from curate.deid.review.decisions import COLUMNS, FORMAT, creator_of
from curate.deid.review.pages import count, fill_page, table
from curate.deid.review.value_classes import CLASSES, NAMES_ITS_PATIENT, SUSPICIOUS
from curate.deid.review.values import CLEANED, KEPT, MOST_PATIENTS, Values
from curate.reasons import REASONS


def render_page(values: Values, profile: Profile) -> bytes:
    """UTF-8 HTML; equal values and profile give equal bytes."""
    listed = [row for row in values.table.to_pylist() if row["value"] is not None]
    counted = [row for row in values.table.to_pylist() if row["value"] is None]
    parts = {
        "lede": html.escape(_lede(values.files, listed)),
        "counted": _counted(counted),
        "unread": _unread(values.unread),
        "about": html.escape(_about(profile)),
        "data": _data(listed),
    }
    return fill_page("values", parts, has_script=True)


def group_of(row: Mapping[str, Any]) -> str:
    """``first``: may name somebody and would stay as it is; ``stay``; ``go``."""
    if not any(word in row["planned"] for word in (KEPT, CLEANED)):
        return "go"
    changes = row["becomes"] is not None and row["becomes"] != row["value"]
    return "first" if row["value_class"] in SUSPICIOUS and not changes else "stay"


def _data(listed: Iterable[Mapping[str, Any]]) -> str:
    """JSON for a script element: ``<`` is escaped, so that no value can end the element."""
    order = {"first": 0, "stay": 1, "go": 2}
    # Attributes stay together, in the order in which their most pressing text comes.
    pressing: dict[tuple[str, str], int] = {}
    rows = sorted(listed, key=lambda row: order[group_of(row)])
    for row in rows:
        pressing.setdefault((row["tag_path"], row["vr"]), len(pressing))
    rows.sort(key=lambda row: pressing[row["tag_path"], row["vr"]])
    equipment = sorted({signature for row in rows for signature in row["equipment"]})
    numbers = {signature: number for number, signature in enumerate(equipment)}
    content = {
        "format": FORMAT,
        "columns": COLUMNS,
        "classes": CLASSES,
        "most_patients": MOST_PATIENTS,
        "equipment": equipment,
        "rows": [_compact(row, numbers) for row in rows],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _compact(row: Mapping[str, Any], numbers: Mapping[str, int]) -> list[Any]:
    """A row as the script takes it apart."""
    plain = [row[name] for name in ("tag_path", "name", "vr", "value", "value_class", "planned", "count", "patients")]
    creator = creator_of(row["tag_path"])
    keepable = row["value_class"] != NAMES_ITS_PATIENT and (creator is None or is_public(creator))
    return [*plain, [numbers[signature] for signature in row["equipment"]], group_of(row), keepable, row["becomes"]]


def _lede(files: int, listed: list[dict[str, Any]]) -> str:
    places = len({(row["tag_path"], row["vr"]) for row in listed})
    return (
        f"Read: {count(files, 'file')}. In {count(places, 'attribute')} they hold {count(len(listed), 'text')} "
        f"that a person can judge. Each stands here once, with what the profile will do with it. Names, ids, dates and "
        f"UIDs in their own attributes are always replaced and are not listed."
    )


def _about(profile: Profile) -> str:
    options = "; ".join(meaning for _, meaning in profile.codes) or "none"
    return f"Profile {profile.name}, DICOM PS3.15 Table E.1-1 edition {profile.edition}. Options: {options}."


def _counted(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    cells = [
        (row["name"], f"{row['tag_path']} {row['vr']}", row["value_class"], row["planned"], f"{row['count']:,}")
        for row in rows
    ]
    return table(("attribute", "tag", "what it is", "what happens", "files"), cells)


def _unread(unread: Mapping[str, int]) -> str:
    if not unread:
        return "<p>None: every file was read.</p>"
    return table(
        ("reason", "what it means", "files"),
        [(code, REASONS[code].text, f"{count:,}") for code, count in unread.items()],
    )
