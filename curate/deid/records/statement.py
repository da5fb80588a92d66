"""The de-identification statement of a release: what was done, what was dropped, what risk is left, in plain words.

For a privacy officer who reads one page. Every number comes from tables of the release (the audit, the exclusions) and
can be counted again from them; ``verify`` does so. Nothing here is secret and no value of the source stands in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.deid.options import (
    CHARACTERISTICS,
    CLEAN_DESCRIPTORS,
    CLEAN_FEATURES,
    CLEAN_PIXELS,
    DEVICE,
    FULL_DATES,
    INSTITUTION,
    MODIFIED_DATES,
    OPTIONS,
    SAFE_PRIVATE,
    UIDS,
)
from curate.deid.records.anonymity import ENOUGH, Anonymity
from curate.deid.records.audit_chain import chain_head

PRIVATE_REMOVED = "private removed: "  # in the counts of an audit, before the name of a known creator
_QUARANTINED = "quarantined"
_BASIC_CODE = "113100"

_RISKS = {  # option -> what remains when it is chosen
    CLEAN_PIXELS: "Text in pixels was looked for only where a header gave cause, by a detector that can miss what is "
    "faint, tilted or handwritten.",
    CLEAN_DESCRIPTORS: "Descriptions were kept. Names, numbers, dates and contacts were taken out of them, but a name "
    "that stands nowhere else in its file looks like any other word.",
    FULL_DATES: "Dates are the true ones: who knows when a person was examined can look for that day.",
    MODIFIED_DATES: "Dates were moved by one secret number of days for each patient. Intervals and times of day are "
    "true: who knows several examinations of a person can recognise their pattern.",
    CHARACTERISTICS: "Age (at most 90), sex, size and weight were kept where the files have them.",
    DEVICE: "Makes, models and serial numbers of devices were kept: they can tell which hospital made an image.",
    UIDS: "UIDs are the true ones: whoever has access to the source archive finds the patient by them.",
    SAFE_PRIVATE: "Private attributes that the standard lists as safe were kept after a check of type and value.",
    INSTITUTION: "The names and addresses of institutions were kept.",
}
_WITHOUT = {  # option -> what remains when it is not chosen
    CLEAN_PIXELS: "Pixels were not searched for text. Objects whose header says that text is burned in were refused.",
    CLEAN_FEATURES: "Faces were not altered. Images of the head or neck can show skin, ears and teeth, from which a "
    "face can be rebuilt.",
}
_ALWAYS = (
    "Pixels show the body. Rare anatomy, implants and injuries can be recognised by those who know them.",
    "Whoever holds the project key and the source can tell who is who. The key is not part of this release.",
)
_PUBLIC_SOURCE = "The source was public before with these ids and dates; they were kept as published."


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything that the page says. ``private_dropped``: known creator -> elements; others are one line."""

    profile: str
    edition: str
    options: tuple[tuple[str, str], ...]  # CID 7050 code, meaning
    overrides: tuple[tuple[str, str], ...]  # tag, what the site wants
    key_fingerprint: str  # "" for a public source
    files: int
    actions: tuple[tuple[str, int], ...]  # what was done -> elements in all files
    private_dropped: tuple[tuple[str, int], ...]
    blanked_files: int  # with rectangles made black
    quarantined: tuple[tuple[str, int], ...]  # reason -> series
    anonymity: tuple[Anonymity, ...]
    audit_head: str  # last entry of the audit chain

    def record(self) -> dict[str, Any]:
        """As JSON values, for ``release.json``."""
        return {
            "files": self.files,
            "overrides": [list(pair) for pair in self.overrides],
            "actions": dict(self.actions),
            "private_dropped": dict(self.private_dropped),
            "blanked_files": self.blanked_files,
            "quarantined_series": dict(self.quarantined),
            "anonymity": [anonymity_record(figure) for figure in self.anonymity],
            "audit_head": self.audit_head,
            "residual_risk": list(residual_risk(code for code, _ in self.options)),
        }


def make_statement(
    audit: pa.Table,
    *,
    profile: str,
    edition: str,
    options: Iterable[tuple[str, str]],
    overrides: Iterable[tuple[str, str]],
    key_fingerprint: str,
    exclusions: Iterable[Mapping[str, Any]],
    anonymity: Iterable[Anonymity],
) -> Statement:
    """Count a chained audit (schema AUDIT) and the rows of the exclusions table."""
    actions: Counter[str] = Counter()
    blanked = 0
    for row in audit.select(["counts", "blanked"]).to_pylist():
        actions.update({each["what"]: each["elements"] for each in row["counts"]})
        blanked += bool(row["blanked"])
    dropped = {what.removeprefix(PRIVATE_REMOVED): n for what, n in actions.items() if what.startswith(PRIVATE_REMOVED)}
    kept_apart = Counter(row["reason"] for row in exclusions if row["status"] == _QUARANTINED)
    return Statement(
        profile=profile,
        edition=edition,
        options=tuple((code, meaning) for code, meaning in options),
        overrides=tuple((tag, choice) for tag, choice in overrides),
        key_fingerprint=key_fingerprint,
        files=audit.num_rows,
        actions=tuple(sorted((what, n) for what, n in actions.items() if not what.startswith(PRIVATE_REMOVED))),
        private_dropped=tuple(sorted(dropped.items())),
        blanked_files=blanked,
        quarantined=tuple(sorted(kept_apart.items())),
        anonymity=tuple(anonymity),
        audit_head=chain_head(audit),
    )


def residual_risk(codes: Iterable[str]) -> tuple[str, ...]:
    """What a profile of these CID 7050 codes leaves, a sentence or two each; none for a source that keeps its ids."""
    given = set(codes)
    if not given:
        return (_PUBLIC_SOURCE, _WITHOUT[CLEAN_PIXELS], _WITHOUT[CLEAN_FEATURES], _ALWAYS[0])
    chosen = {name for name, option in OPTIONS.items() if option.code in given}
    kept = [risk for option, risk in _RISKS.items() if option in chosen]
    undone = [risk for option, risk in _WITHOUT.items() if option not in chosen]
    return (*kept, *undone, *_ALWAYS)


def render_statement(statement: Statement, *, title: str) -> bytes:
    """The page as Markdown, UTF-8."""
    key = statement.key_fingerprint or "none: the ids of the public source are kept"
    sections = [
        f"# De-identification of {title}",
        f"Profile `{statement.profile}`: the Basic Application Level Confidentiality Profile of DICOM PS3.15, Table "
        f"E.1-1 of edition {statement.edition}, with the options below. Fingerprint of the project key: {key}.",
        _table(("code (CID 7050)", "what it stands for", "in plain words"), map(_explained, statement.options)),
        *_overrides(statement.overrides),
        "## What was done",
        f"{statement.files} files were de-identified. `manifests/audit.parquet` has a row for each; the rows are "
        f"chained, and the last entry is `{statement.audit_head}`.",
        _table(("what was done", "elements"), statement.actions),
        f"Rectangles of pixels were made black in {statement.blanked_files} files.",
        "## Private attributes dropped",
        _table(("creator", "elements"), statement.private_dropped),
        "## Kept apart for privacy",
        "Series that could not be shown to be clean are not in this release.",
        _table(("reason", "series"), statement.quarantined),
        "## Risk that remains",
        "\n".join(f"- {risk}" for risk in residual_risk(code for code, _ in statement.options)),
        "## How many others each patient hides among",
        f"k is the smallest number of patients who share what a table says of them; {ENOUGH} and more is the aim. "
        "Cells that singled people out were blanked. The images say more than the tables (see above).",
        _table(
            ("table", "k", "patients", f"among fewer than {ENOUGH}", "by", "blanked"), map(_figure, statement.anonymity)
        ),
        *_too_small(statement.anonymity),
    ]
    return ("\n\n".join(sections) + "\n").encode()


def anonymity_record(figure: Anonymity) -> dict[str, Any]:
    """One figure as JSON values."""
    return {
        "table": figure.table,
        "quasi_identifiers": list(figure.quasi_identifiers),
        "patients": figure.patients,
        "k": figure.k,
        "patients_below": figure.patients_below,
        "suppressed": dict(figure.suppressed),
    }


def _explained(option: tuple[str, str]) -> tuple[str, str, str]:
    code, meaning = option
    effect = next((each.effect for each in OPTIONS.values() if each.code == code), "")
    return code, meaning, "what the table lists is removed or replaced" if code == _BASIC_CODE else effect


def _overrides(overrides: Sequence[tuple[str, str]]) -> list[str]:
    if not overrides:
        return []
    return ["Sites decided otherwise about these attributes:", _table(("attribute", "decision"), overrides)]


def _too_small(figures: Sequence[Anonymity]) -> list[str]:
    names = [figure.table for figure in figures if not figure.is_enough]
    if not names:
        return [f"In every table each patient hides among {ENOUGH} or more."]
    return [
        f"k is below {ENOUGH} in {', '.join(names)}: a site is named that gave too few patients. Blanking other "
        "columns does not help; joining sites under one name does."
    ]


def _figure(figure: Anonymity) -> tuple[object, ...]:
    blanked = ", ".join(f"{column} {cells} times" for column, cells in figure.suppressed) or "nothing"
    by = ", ".join(figure.quasi_identifiers) or "nothing that others know"
    return figure.table, figure.k, figure.patients, figure.patients_below, by, blanked


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    if not lines:
        return "None."
    return "\n".join([f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines])
