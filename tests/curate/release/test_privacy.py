"""What a release says about privacy holds when everything is counted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.deid.records.audit_chain import chain_audit, check_chain
from curate.manifests.schemas import FILE_AUDIT
from curate.release import build_release
from curate.release.findings import Kind
from curate.release.privacy import STATEMENT, check_privacy, state_privacy
from tests.support.release_store import Made


@pytest.fixture(scope="module")
def built(made_cervical: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_release(
        made_cervical.store,
        tmp_path_factory.mktemp("release"),
        description=made_cervical.description,
        deidentification=made_cervical.statement,
        manifests=made_cervical.manifests,
    ).path


def read(built: Path) -> tuple[dict[str, pa.Table], dict[str, Any], dict[str, bytes]]:
    tables = {path.stem: pq.read_table(path) for path in (built / "manifests").iterdir()}
    about = json.loads((built / "release.json").read_text())
    return tables, about, {STATEMENT: (built / STATEMENT).read_bytes()}


def test_a_release_as_built_has_nothing_wrong(built: Path) -> None:
    assert list(check_privacy(*read(built))) == []


def test_the_audit_has_a_chained_row_for_each_image(built: Path) -> None:
    tables, about, _ = read(built)
    assert tables["audit"].num_rows == len(list(built.rglob("*.dcm")))
    assert check_chain(tables["audit"], head=about["privacy"]["audit_head"]) == []


def test_every_table_has_its_figure(built: Path) -> None:
    tables, about, _ = read(built)
    figures = {figure["table"]: figure for figure in about["privacy"]["anonymity"]}
    assert set(figures) == set(tables)
    assert figures["samples"]["patients"] == 6
    assert figures["samples"]["k"] == 2  # the second site has two patients
    assert figures["slices"]["k"] == 6  # nothing in it that others know of a person


def test_a_row_of_the_audit_that_was_changed_is_found(built: Path) -> None:
    tables, about, texts = read(built)
    rows = tables["audit"].to_pylist()
    rows[1]["profile"] = "public"
    tables["audit"] = pa.Table.from_pylist(rows, schema=tables["audit"].schema)
    found = list(check_privacy(tables, about, texts))
    assert [(one.kind, one.path) for one in found] == [(Kind.CHANGED, "manifests/audit.parquet")]
    assert "row 1" in found[0].detail


def test_an_audit_chained_anew_is_told_by_its_head(built: Path) -> None:
    tables, about, texts = read(built)
    tables["audit"] = chain_audit(tables["audit"].select(FILE_AUDIT.names).slice(1))
    kinds = [one.kind for one in check_privacy(tables, about, texts)]
    assert Kind.CHANGED in kinds
    assert Kind.REFERENCE in kinds
    assert Kind.NUMBER in kinds


@pytest.mark.parametrize(
    ("change", "detail"),
    [({"output_sha256": "0" * 64}, "another digest"), ({"instance_key": "2.25.7"}, "no image of the release")],
)
def test_an_audit_of_other_images_is_found(built: Path, change: dict[str, str], detail: str) -> None:
    tables, about, texts = read(built)
    rows = tables["audit"].select(FILE_AUDIT.names).to_pylist()
    rows[0] |= change
    tables["audit"] = chain_audit(pa.Table.from_pylist(rows, schema=FILE_AUDIT))
    assert any(detail in one.detail for one in check_privacy(tables, about, texts))


def test_a_prettier_statement_is_found(built: Path) -> None:
    tables, about, texts = read(built)
    prettier = {STATEMENT: texts[STATEMENT].replace(b"| samples | 2 |", b"| samples | 9 |")}
    assert prettier != texts
    assert [one.path for one in check_privacy(tables, about, prettier)] == [STATEMENT]


def test_a_prettier_number_for_machines_is_found(built: Path) -> None:
    tables, about, texts = read(built)
    about["privacy"]["anonymity"][0]["k"] += 1
    assert [one.path for one in check_privacy(tables, about, texts)] == ["release.json"]


def test_what_was_blanked_is_carried_from_the_build(built: Path) -> None:
    tables, about, _ = read(built)
    stated = state_privacy(tables, about["deidentification"], {"series": {"patient_sex": 7}})
    (figure,) = [figure for figure in stated.anonymity if figure.table == "series"]
    assert figure.suppressed == (("patient_sex", 7),)
