from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from curate.dicom import elements, headers, pixels
from curate.dicom.archives import FileRef
from curate.dicom.header_columns import HeaderBatch
from curate.dicom.headers import HEADER_SCHEMA, read_source_header, read_source_headers, scan_headers
from curate.dicom.sources import SourceReader, list_archive
from curate.errors import Unavailable
from tests.bench.volumes.fuzz import _check_frames, _compare_rows, corpus, main, mutated, run_batch
from tests.bench.volumes.scan import make_header
from tests.support.dicom_files import encode, make_file

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def write(folder: Path, contents: list[bytes]) -> list[FileRef]:
    for n, content in enumerate(contents):
        (folder / f"{n:04d}.dcm").write_bytes(content)
    return [found for found in list_archive(folder) if isinstance(found, FileRef)]


@pytest.fixture
def by_pydicom(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The rows that the reader without kernels gives."""

    def rows(refs: list[FileRef]) -> list[tuple[dict[str, object], bytes]]:
        with monkeypatch.context() as patch, SourceReader() as reader:
            patch.setattr(headers, "read_elements", elements._read_odd)
            return [read_source_header(reader, ref) for ref in refs]

    return rows


def test_scanned_rows_and_header_bytes_equal_those_of_the_plain_reader(tmp_path: Path, by_pydicom: Any) -> None:
    refs = write(tmp_path, [*corpus(), encode(make_header(1)), *(mutated(n) for n in range(400))])
    with SourceReader() as reader:
        found = list(read_source_headers(reader, refs))
    plain = by_pydicom(refs)
    assert repr([row for row, _ in found]) == repr([row for row, _ in plain])
    assert [head for _, head in found] == [head for _, head in plain]
    table = scan_headers([tmp_path], threads=2)
    assert table.schema == HEADER_SCHEMA
    assert repr(table.to_pylist()) == repr([row for row, _ in plain])


def test_plain_files_go_through_the_kernel_and_odd_ones_do_not(tmp_path: Path) -> None:
    odd = [make_file(PIXELS, syntax=s) for s in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)]
    refs = write(tmp_path, [encode(make_header(1)), *odd, make_file(PIXELS, PatientComments="x" * 20_000), b""])
    assert HeaderBatch().read(refs).tolist() == [0]


@pytest.mark.parametrize(
    ("name", "value", "is_settled"),
    [
        ("RescaleSlope", "0.1", True),
        ("RescaleSlope", "-1.25E-3 ", True),
        ("RescaleSlope", "0.30000001192092896 ", False),  # more digits than one rounding settles
        ("RescaleSlope", "1_0", False),
        ("RescaleSlope", "nan", False),
        ("RescaleSlope", "1e400", False),
        ("InstanceNumber", "12", True),
        ("InstanceNumber", "", True),
        ("PatientID", "Mu\u0308ller".encode().decode("latin-1"), False),
    ],
)
def test_values_that_need_thought_are_left_to_the_other_reader(
    name: str, value: str, is_settled: bool, tmp_path: Path, by_pydicom: Any
) -> None:
    changed = value.encode("latin-1").ljust(max(10, len(value) // 2 * 2))
    raw = make_file(PIXELS, **{name: "1" * len(changed)})
    held = b"1" * len(changed)
    assert held in raw
    raw = raw.replace(held, changed, 1)
    refs = write(tmp_path, [raw])
    batch = HeaderBatch()
    assert len(batch.read(refs)) == is_settled
    if is_settled:
        assert repr(batch.table(refs).to_pylist()[0]) == repr(by_pydicom(refs)[0][0])


def test_a_file_that_is_not_what_was_listed_is_never_read_by_the_scanner(tmp_path: Path) -> None:
    refs = write(tmp_path, [make_file(PIXELS)] * 4)
    (tmp_path / "0000.dcm").write_bytes(make_file(PIXELS, InstanceNumber=77))
    (tmp_path / "0001.dcm").unlink()
    (tmp_path / "0001.dcm").symlink_to("0003.dcm")
    (tmp_path / "0002.dcm").unlink()
    os.mkfifo(tmp_path / "0002.dcm")
    assert HeaderBatch().read(refs).tolist() == [3]
    with SourceReader() as reader, pytest.raises(Unavailable):
        list(read_source_headers(reader, refs))


def test_a_name_that_leaves_the_folder_is_not_opened(tmp_path: Path) -> None:
    (inside := tmp_path / "inside").mkdir()
    (ref,) = write(tmp_path, [make_file(PIXELS)])
    leaving = FileRef(str(inside), f"../{ref.member}", ref.size, ref.offset, ref.modified_ns)
    assert HeaderBatch().read([leaving]).size == 0


def test_hundreds_of_mutated_files_find_no_fault() -> None:
    """The bench looks at 200,000."""
    outcomes, faults = run_batch(1_000_000, 600)
    assert faults == []
    assert outcomes["decoded"] > 40


def test_no_kernel_leaves_its_arrays_on_mutated_files() -> None:
    assert main(["--bounds", "--cases", "150", "--first", "2000000"]) == 0


def test_a_frame_that_gets_the_pixels_of_another_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the mutated files are looked through for is seen when it is there."""
    right = pixels.decode_instance
    monkeypatch.setattr(pixels, "decode_instance", lambda *given: right(*given)[::-1])
    found = []
    for content in corpus():
        row, _ = _compare_rows(content)
        if row is not None and row["reason"] is None:
            found.append(_check_frames(content, row))
    assert sum(any("not its own" in fault for fault in faults) for _, faults in found) == 8
