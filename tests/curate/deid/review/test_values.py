"""The distinct values of an archive, each once, with what the run will do with it."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.review.decisions import make_decisions
from curate.deid.review.value_classes import NAMES_ITS_PATIENT, NOT_LISTED
from curate.deid.review.values import (
    CLEANED,
    KEPT,
    LONGEST_VALUE,
    MOST_PATIENTS,
    NAMED,
    REMOVED,
    VALUES,
    ValueCollector,
    Values,
    collect_values,
)
from curate.errors import Misconfigured
from tests.support.deid_files import KEY, PATIENT_ID, PATIENT_NAME, STUDY, encode, item, make_ct

BASIC, MIRA = load_profile("basic"), load_profile("mira")


def write(folder: Path, *changes: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, change in enumerate(changes):
        (folder / f"{number}.dcm").write_bytes(encode(make_ct(**change)))
    return folder


def rows_of(values: Values) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = values.table.to_pylist()
    return rows


def at(values: Values, path: str) -> list[dict[str, Any]]:
    return [row for row in rows_of(values) if row["tag_path"] == path]


def texts(table: pa.Table) -> Iterator[str]:
    for name in table.column_names:
        yield from (str(cell) for cell in table[name].to_pylist())


def test_each_value_stands_once_with_its_files_patients_and_equipment(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "archive",
        {"SeriesDescription": "SAG T2", "PatientID": "A"},
        {"SeriesDescription": "SAG T2", "PatientID": "A"},
        {"SeriesDescription": "SAG T2", "PatientID": "B", "Manufacturer": "Otherworks"},
        {"SeriesDescription": "AX T1", "PatientID": "B"},
    )
    values = collect_values([folder], profile=BASIC)
    assert values.table.schema == VALUES
    assert (values.files, dict(values.unread)) == (4, {})
    found = {row["value"]: row for row in at(values, "(0008,103e)")}
    assert set(found) == {"SAG T2", "AX T1"}
    assert (found["SAG T2"]["count"], found["SAG T2"]["patients"]) == (3, 2)
    assert found["SAG T2"]["equipment"] == ["CT, Otherworks, Model 9, v3", "CT, Phantomworks, Model 9, v3"]
    assert found["SAG T2"]["name"] == "Series Description"
    assert (found["AX T1"]["count"], found["AX T1"]["vr"]) == (1, "LO")


def test_a_text_that_names_a_person_of_its_own_file_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "archive", {"StationName": "WUNDERLICH_CT", "SeriesDescription": "bone, 1 mm"})
    values = collect_values([folder], profile=BASIC)
    (station,) = at(values, "(0008,1010)")
    assert (station["value_class"], station["planned"]) == (NAMES_ITS_PATIENT, NAMED)
    (series,) = at(values, "(0008,103e)")
    assert series["value_class"] != NAMES_ITS_PATIENT
    assert rows_of(values)[0]["value_class"] == NAMES_ITS_PATIENT


def test_what_stands_for_a_person_is_counted_and_never_quoted(tmp_path: Path) -> None:
    values = collect_values([write(tmp_path / "archive", {})], profile=BASIC)
    for path, kind, planned in (
        ("(0010,0010)", "personal", "replaced"),
        ("(0010,0020)", "personal", "replaced"),
        ("(0008,0050)", "personal", "replaced"),
        ("(0010,1040)", "personal", "removed"),
        ("(0020,000d)", "uid", "replaced; the standard's own stay"),
        ("(0008,0020)", "time", "moved with the patient's other dates"),
        ("(0010,0030)", "time", "emptied"),
    ):
        for row in at(values, path):
            assert (row["value"], row["value_class"], row["count"]) == (None, NOT_LISTED[kind], 1)
            assert row["planned"] == planned
    everything = "\n".join(texts(values.table))
    for secret in (PATIENT_NAME, PATIENT_ID, STUDY, "ACC-998877", "19590214", "20200229", "Elmstreet", "555-0142"):
        assert secret not in everything


def test_plain_numbers_are_counted_and_numbers_that_are_none_are_listed(tmp_path: Path) -> None:
    values = collect_values([write(tmp_path / "archive", {}, {})], profile=BASIC)
    (row,) = at(values, "(0018,0060)")
    assert (row["value"], row["value_class"], row["count"]) == (None, NOT_LISTED["number"], 2)
    collector = ValueCollector(BASIC)
    collector.add(encode(make_ct(KVP="120")).replace(b"DS\x04\x00120 ", b"DS\x04\x00Bob ", 1))
    (row,) = [row for row in collector.table().to_pylist() if row["tag_path"] == "(0018,0060)"]
    assert row["value"] == "Bob"
    assert KEPT not in row["planned"]


def test_sequences_that_are_entered_are_looked_into_and_others_go_as_a_whole(tmp_path: Path) -> None:
    inner = item(CodeValue="T-D1213", CodingSchemeDesignator="SRT", CodeMeaning="Spine")
    folder = write(tmp_path / "archive", {"AnatomicRegionSequence": Sequence([inner])})
    values = collect_values([folder], profile=BASIC)
    (row,) = at(values, "(0008,2218)/(0008,0104)")
    assert (row["value"], row["name"]) == ("Spine", "Anatomic Region Sequence > Code Meaning")
    (other,) = at(values, "(0010,1002)")  # OtherPatientIDsSequence
    assert (other["value"], other["value_class"]) == (None, NOT_LISTED["sequence"])
    assert at(values, "(0010,1002)/(0010,0020)") == []


def test_the_plan_follows_the_profile_and_shows_what_cleaning_leaves(tmp_path: Path) -> None:
    folder = write(tmp_path / "archive", {"StudyDescription": "CT spine for Quixotova"})
    (removed,) = at(collect_values([folder], profile=BASIC), "(0008,1030)")
    assert (removed["planned"], removed["becomes"]) == (REMOVED, None)
    (cleaned,) = at(collect_values([folder], profile=MIRA), "(0008,1030)")
    assert cleaned["planned"] == CLEANED
    assert cleaned["becomes"].startswith("CT spine")
    assert "Quixotova" not in cleaned["becomes"]


def test_what_cleaning_leaves_is_what_the_run_writes(tmp_path: Path) -> None:
    raw = encode(make_ct(StudyDescription="CT spine for Quixotova"))
    collector = ValueCollector(MIRA)
    collector.add(raw)
    (row,) = [row for row in collector.table().to_pylist() if row["tag_path"] == "(0008,1030)"]
    written = dcmread(BytesIO(deidentify_bytes(raw, MIRA, Keyed(KEY)).content))
    assert written.StudyDescription == row["becomes"]


@pytest.mark.parametrize("decision", ["keep", "clean", "remove"])
def test_a_decision_made_from_a_row_changes_that_value_in_the_run(decision: str) -> None:
    raw = encode(make_ct(SeriesDescription="SAG T2 for study 12"))
    collector = ValueCollector(BASIC)
    collector.add(raw)
    (row,) = [row for row in collector.table().to_pylist() if row["tag_path"] == "(0008,103e)"]
    decisions = make_decisions([{**row, "decision": decision}])
    plain = dcmread(BytesIO(deidentify_bytes(raw, BASIC, Keyed(KEY)).content))
    assert "SeriesDescription" not in plain
    marked = dcmread(BytesIO(deidentify_bytes(raw, BASIC, Keyed(KEY), decisions=decisions).content))
    assert ("SeriesDescription" in marked) is (decision != "remove")
    if decision == "keep":
        assert marked.SeriesDescription == "SAG T2 for study 12"


def test_keeping_a_text_does_not_keep_it_where_it_names_the_patient() -> None:
    decisions = make_decisions([{"tag_path": "(0008,103e)", "vr": "LO", "value": "HAND Quixotova", "decision": "keep"}])
    raw = encode(make_ct(SeriesDescription="HAND Quixotova"))
    assert b"Quixotova" not in deidentify_bytes(raw, BASIC, Keyed(KEY), decisions=decisions).content


def test_private_elements_are_named_by_their_creator(tmp_path: Path) -> None:
    for group in (0x10, 0x20):
        made = make_ct()
        made.add_new(0x00190000 | group, "LO", "ACME 1.0")
        made.add_new(0x00190000 | group << 8 | 0x0C, "LO", "tuned")
        collector = ValueCollector(BASIC)
        collector.add(encode(made))
        rows = [row for row in collector.table().to_pylist() if row["value"] == "tuned"]
        assert [(row["tag_path"], row["planned"]) for row in rows] == [("(0019,xx0c,ACME 1.0)", REMOVED)]


def test_files_that_cannot_be_read_are_counted_under_their_reason(tmp_path: Path) -> None:
    folder = write(tmp_path / "archive", {})
    (folder / "empty.dcm").touch()
    (folder / "notes.txt").write_text("Quixotova was here, and this is no DICOM file at all")
    (folder / "cut.dcm").write_bytes(encode(make_ct())[:700])
    values = collect_values([folder], profile=BASIC)
    assert values.files == 1
    assert dict(values.unread) == {"empty_file": 1, "not_dicom": 1, "truncated_file": 1}
    with pytest.raises(Misconfigured):
        collect_values([tmp_path / "nowhere"], profile=BASIC)


def test_memory_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.deid.review.values.MOST_VALUES", 3)
    collector = ValueCollector(BASIC)
    for number in range(MOST_PATIENTS + 10):
        collector.add(encode(make_ct(SeriesDescription=f"text {number}", PatientID=f"P{number}")))
    collector.add(encode(make_ct(ImageComments="x" * (LONGEST_VALUE + 1))))
    rows = collector.table().to_pylist()
    series = [row for row in rows if row["tag_path"] == "(0008,103e)"]
    assert sum(row["value"] is not None for row in series) == 3
    (rest,) = [row for row in series if row["value"] is None]
    assert (rest["value_class"], rest["patients"]) == (NOT_LISTED["many"], MOST_PATIENTS)
    (comments,) = [row for row in rows if row["tag_path"] == "(0020,4000)"]
    assert (comments["value"], comments["value_class"]) == (None, NOT_LISTED["long"])


def test_the_order_of_files_makes_no_difference_to_the_table() -> None:
    files = [encode(make_ct(SeriesDescription=f"text {n}", PatientID=f"P{n}")) for n in range(4)]
    first, second = ValueCollector(MIRA), ValueCollector(MIRA)
    for raw in files:
        first.add(raw)
    for raw in reversed(files):
        second.add(raw)
    assert first.table().equals(second.table())
