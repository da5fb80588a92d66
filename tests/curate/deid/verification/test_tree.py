"""A whole folder: a clean one passes, and one planted thing anywhere in it does not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.verification import Report, Rule, verify_tree
from curate.errors import Misconfigured
from tests.support.deid_files import KEY, SERIES, STUDY, encode, make_ct


def uid(number: int) -> str:
    return f"{STUDY}.{number}"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    source, output = tmp_path / "source", tmp_path / "output"
    for number in range(3):
        raw = encode(make_ct(SOPInstanceUID=uid(number), InstanceNumber=str(number), SeriesInstanceUID=SERIES))
        done = deidentify_bytes(raw, load_profile("basic"), Keyed(KEY)).content
        for folder, content in ((source, raw), (output, done)):
            folder.mkdir(exist_ok=True)
            (folder / f"{number}.dcm").write_bytes(content)
    (source / "notes.txt").write_text("no object")
    (source / "withheld.dcm").write_bytes(encode(make_ct(SOPInstanceUID=uid(9))))
    key = tmp_path / "curate.key"
    key.write_text(KEY.hex())
    key.chmod(0o600)
    return source, output


def verify(folders: tuple[Path, Path], **options: object) -> Report:
    source, output = folders
    key = f"file:{source.parent / 'curate.key'}"
    return verify_tree([source], output, key=key, **{"workers": 0, "validity": False, **options})  # type: ignore[arg-type]


def rules(report: Report) -> set[Rule]:
    return {finding.rule for finding in report.findings}


def test_a_clean_folder_passes_and_everything_is_counted(folders: tuple[Path, Path]) -> None:
    report = verify(folders, validity=True, workers=2)
    assert report.passed, report.lines()
    assert report.counts["objects compared with their source"] == 3
    assert report.counts["source objects not in the output"] == 1
    assert report.counts["of them no object that can be read"] == 1
    assert "113100" in report.options
    assert report.lines()[0] == "Nothing is wrong."


def test_an_object_without_a_source_is_found(folders: tuple[Path, Path]) -> None:
    other = deidentify_bytes(encode(make_ct(SOPInstanceUID="1.2.3.4")), load_profile("basic"), Keyed(KEY)).content
    (folders[1] / "other.dcm").write_bytes(other)
    assert rules(verify(folders)) == {Rule.ORPHAN}


def test_another_key_makes_orphans(folders: tuple[Path, Path]) -> None:
    key = folders[0].parent / "curate.key"
    key.write_text(KEY[::-1].hex())
    assert rules(verify(folders)) == {Rule.ORPHAN}


def test_the_source_copied_through_is_found(folders: tuple[Path, Path]) -> None:
    (folders[1] / "0.dcm").write_bytes((folders[0] / "0.dcm").read_bytes())
    assert Rule.PREAMBLE in rules(verify(folders))


@pytest.mark.parametrize(
    ("name", "text"),
    [("card.html", "<p>thanks to Quixotova</p>"), ("log.txt", "MRN-554477 done"), ("zarr.json", '{"a": "Wunderlich"}')],
)
def test_a_leak_in_any_other_file_is_found(folders: tuple[Path, Path], name: str, text: str) -> None:
    (folders[1] / name).write_text(text)
    report = verify(folders)
    assert rules(report) == {Rule.LEAK}
    assert text not in str(report.record())


def test_a_leak_in_compressed_columns_is_found(folders: tuple[Path, Path]) -> None:
    pq.write_table(pa.table({"a": ["Almudena"] * 9}), folders[1] / "t.parquet", compression="zstd")
    assert rules(verify(folders)) == {Rule.LEAK}


def test_a_name_of_a_file_is_found_and_not_repeated(folders: tuple[Path, Path]) -> None:
    (folders[1] / "0.dcm").rename(folders[1] / "Quixotova.dcm")
    report = verify(folders)
    assert Rule.NAME in rules(report)
    assert "Quixotova" not in "\n".join(report.lines())


def test_a_report_that_states_other_options_is_found(folders: tuple[Path, Path]) -> None:
    codes = frozenset({"113100", "113106"})
    assert rules(verify(folders, codes=codes)) == {Rule.STATEMENT}


def test_an_object_that_calls_its_ids_public_beside_a_key_is_found(folders: tuple[Path, Path]) -> None:
    raw = (folders[0] / "0.dcm").read_bytes()
    image = pydicom.dcmread(BytesIO((folders[1] / "0.dcm").read_bytes()))
    image.DeidentificationMethod = "made up: public source, ids and dates kept"
    del image.DeidentificationMethodCodeSequence
    image.PatientID = image.PatientName = pydicom.dcmread(BytesIO(raw)).PatientID
    image.save_as(folders[1] / "0.dcm")
    report = verify(folders)
    assert any(finding.detail == "ids are said to be public" for finding in report.findings)


def test_the_same_instance_twice_is_found(folders: tuple[Path, Path]) -> None:
    (folders[1] / "again.dcm").write_bytes((folders[1] / "0.dcm").read_bytes())
    assert rules(verify(folders)) == {Rule.REPEATED}


def test_wrong_places_and_keys_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        verify((folders[0], tmp_path / "nowhere"))
    with pytest.raises(Misconfigured):
        verify_tree([folders[0]], folders[1], key="file:/nowhere")
