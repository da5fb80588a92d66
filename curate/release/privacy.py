"""What a release says about privacy: made from its tables when it is built, and made again when it is verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from curate.deid.records.anonymity import QUASI_IDENTIFIERS, Anonymity, measure
from curate.deid.records.audit_chain import check_chain
from curate.deid.records.statement import Statement, make_statement, render_statement
from curate.release.findings import Finding, Kind

STATEMENT = "DEIDENTIFICATION.md"
_ABOUT = "release.json"
_AUDIT = "manifests/audit.parquet"

Suppressed = Mapping[str, Mapping[str, int]]  # table -> column -> cells that were blanked


def state_privacy(
    tables: Mapping[str, pa.Table], deidentification: Mapping[str, Any], suppressed: Suppressed
) -> Statement:
    """The statement of a release with these tables. ``deidentification``: that part of ``release.json``."""
    return make_statement(
        tables["audit"],
        profile=deidentification["profile"],
        edition=deidentification["edition"],
        options=[(code, meaning) for code, meaning in deidentification["options"]],
        overrides=_decided_otherwise(deidentification),
        key_fingerprint=deidentification["key_fingerprint"],
        exclusions=tables["exclusions"].to_pylist(),
        anonymity=_figures(tables, suppressed),
    )


def check_privacy(
    tables: Mapping[str, pa.Table], about: Mapping[str, Any], texts: Mapping[str, bytes]
) -> Iterator[Finding]:
    """The audit is whole and speaks of the files that are there; the statement says what the tables say.

    Raises KeyError, TypeError or ValueError when ``about`` is not what a build writes.
    """
    stated = about["privacy"]
    for fault in check_chain(tables["audit"], head=str(stated["audit_head"])):
        yield Finding(_AUDIT, Kind.CHANGED, fault)
    yield from _check_files(tables)
    suppressed = {figure["table"]: figure["suppressed"] for figure in stated["anonymity"]}
    true = state_privacy(tables, about["deidentification"], suppressed)
    if stated != true.record():
        yield Finding(_ABOUT, Kind.NUMBER, "what it says about privacy is not what the tables say")
    if texts.get(STATEMENT) != render_statement(true, title=str(about["title"])):
        yield Finding(STATEMENT, Kind.NUMBER, "it does not say what the tables say")


def _decided_otherwise(deidentification: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what it is about, the decision), as the page lists them."""
    rows = [(tag, choice) for tag, choice in deidentification.get("overrides", ())]
    rows += [(f"{tag} at {site}", choice) for site, tag, choice in deidentification.get("site_overrides", ())]
    rows += [(f"single values of {tag}", choice) for tag, choice in deidentification.get("decided", ())]
    rows += [(f"objects of the kind {kind}", "let in") for kind in deidentification.get("allow", ())]
    if deidentification.get("decisions"):
        rows.append(("values that a person marked", f"decisions with the keyed digest {deidentification['decisions']}"))
    return rows


def _check_files(tables: Mapping[str, pa.Table]) -> Iterator[Finding]:
    """One row of the audit for each image, with its digest."""
    audited = dict(_pairs(tables["audit"], "output_sha256"))
    released = dict(_pairs(tables["slices"], "dicom_sha256"))
    strangers = len(audited.keys() - released.keys())
    missing = len(released.keys() - audited.keys())
    changed = sum(audited[key] != released[key] for key in audited.keys() & released.keys())
    for number, detail in (
        (strangers, "rows speak of no image of the release"),
        (missing, "images have no row"),
        (changed, "rows have another digest than the image"),
    ):
        if number:
            yield Finding(_AUDIT, Kind.REFERENCE, f"{number} {detail}")


def _pairs(table: pa.Table, digest: str) -> Iterator[tuple[tuple[str, str], str]]:
    columns = (table[name].to_pylist() for name in ("series_key", "instance_key", digest))
    for series, instance, value in zip(*columns, strict=True):
        yield (series, instance), value


def _figures(tables: Mapping[str, pa.Table], suppressed: Suppressed) -> Iterator[Anonymity]:
    """One figure for each table, all of them by name."""
    patient_of: dict[str, str] = {}
    for name in ("samples", "series"):
        for column in ("study_key", "series_key"):
            if column in tables[name].column_names:
                keys, patients = tables[name][column].to_pylist(), tables[name]["patient_key"].to_pylist()
                patient_of.update(zip(keys, patients, strict=True))
    for name in sorted(tables):
        blanked = suppressed.get(name, {})
        ordered = tuple((column, int(blanked[column])) for column in QUASI_IDENTIFIERS if column in blanked)
        yield measure(name, tables[name], patient_of, suppressed=ordered)
