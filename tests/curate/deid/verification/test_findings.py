"""Every kind of finding in a whole folder: one spoiled file makes it, the folder as it was written makes none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence as Items

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.verification import Report, Rule, crew, tree, verify_tree
from curate.deid.verification.tasks import AloneTask, Compared, PairTask, SearchTask
from curate.deid.verification.workers import warm
from curate.dicom.sources import FileRef
from tests.support.deid_files import KEY, PLANTS, STUDY, encode, item, make_ct

Spoil = Callable[[Path, Path], None]  # folder of the source, folder of the output
FILES = 3


def source_file(number: int) -> bytes:
    related = item(StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.99", PurposeOfReferenceCodeSequence=Items([]))
    return encode(
        make_ct(SOPInstanceUID=f"{STUDY}.{number}", InstanceNumber=str(number), RelatedSeriesSequence=Items([related]))
    )


@pytest.fixture(scope="module")
def written() -> list[bytes]:
    return [deidentify_bytes(source_file(n), load_profile("basic"), Keyed(KEY)).content for n in range(FILES)]


@pytest.fixture
def folders(tmp_path: Path, written: list[bytes]) -> tuple[Path, Path]:
    source, output = tmp_path / "source", tmp_path / "output"
    for folder, contents in ((source, map(source_file, range(FILES))), (output, written)):
        folder.mkdir()
        for number, content in enumerate(contents):
            (folder / f"{number}.dcm").write_bytes(content)
    key = tmp_path / "curate.key"
    key.write_text(KEY.hex())
    key.chmod(0o600)
    return source, output


def verify(folders: tuple[Path, Path], *, workers: int = 0, validity: bool = False) -> Report:
    source, output = folders
    key = f"file:{source.parent / 'curate.key'}"
    return verify_tree([source], output, key=key, workers=workers, validity=validity)


def header(change: Callable[[FileDataset], None], number: int = 1) -> Spoil:
    """Change one file of the output by pydicom."""

    def spoil(source: Path, output: Path) -> None:
        path = output / f"{number}.dcm"
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)

    return spoil


def bytes_of(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(source: Path, output: Path) -> None:
        path = output / "1.dcm"
        before = path.read_bytes()
        path.write_bytes(change(before))
        assert path.read_bytes() != before

    return spoil


def put(keyword: str, value: object) -> Spoil:
    return header(lambda dataset: setattr(dataset, keyword, value))


def rename_patient(dataset: FileDataset) -> None:
    dataset.PatientID = dataset.PatientName = "ABCDEFGH2345ABCD"


def add_content(dataset: FileDataset) -> None:
    concept = item(CodeValue="121022", CodingSchemeDesignator="DCM", CodeMeaning="Accession Number")
    dataset.ContentSequence = Items([item(ValueType="TEXT", ConceptNameCodeSequence=Items([concept]), TextValue="A")])


def refer_to_another(source: Path, output: Path) -> None:
    """To an object of the output that the source did not refer to."""
    uid = pydicom.dcmread(output / "2.dcm").SOPInstanceUID

    def refer(dataset: FileDataset) -> None:
        dataset.RelatedSeriesSequence[0].SeriesInstanceUID = uid

    header(refer)(source, output)


def add_private(dataset: FileDataset) -> None:
    dataset.private_block(0x0029, "SECRETAPP 1.0", create=True).add_new(0x10, "LO", "note")


KILOVOLTS = b"\x18\x00\x60\x00DS\x04\x00120 "

SPOILS: dict[Rule, Spoil] = {
    Rule.UNREADABLE: bytes_of(lambda raw: raw[:-10]),
    Rule.READERS: bytes_of(lambda raw: raw.replace(KILOVOLTS, KILOVOLTS * 2)),
    Rule.PREAMBLE: bytes_of(lambda raw: b"II*\0" + raw[4:]),
    Rule.FILE_META: header(lambda d: setattr(d.file_meta, "SourceApplicationEntityTitle", "WS")),
    Rule.TRAILING: header(lambda d: d.add_new(0xFFFCFFFC, "OB", b"\0\0")),
    Rule.STATEMENT: put("PatientIdentityRemoved", "NO"),
    Rule.MUST_GO: put("InstitutionAddress", "Oakstreet 4"),
    Rule.NOT_EMPTIED: put("AccessionNumber", "77-1"),
    Rule.KEPT_UID: put("SeriesInstanceUID", "1.2.3.4.5.6"),
    Rule.WRONG_UID: put("SeriesInstanceUID", "2.25.123456789"),
    Rule.DATE: put("ContentTime", "12"),
    Rule.AGE: put("PatientAge", "095Y"),
    Rule.PERSON: put("OperatorsName", "Any^One"),
    Rule.PRIVATE: header(add_private),
    Rule.GRAPHICS: header(lambda d: d.add_new(0x60003000, "OW", b"\0\0")),
    Rule.CONTENT_ITEM: header(add_content),
    Rule.CHANGED: put("RescaleIntercept", "-1000"),
    Rule.INVENTED: put("ExposureTime", "12"),
    Rule.NUMBER: bytes_of(lambda raw: raw.replace(KILOVOLTS, KILOVOLTS[:-4] + b"abc ")),
    Rule.TEXT: put("SoftwareVersions", "call 555-123-4567"),
    Rule.LEAK: put("ConvolutionKernel", "QUIXOTOVA"),
    Rule.PIXELS: put("PixelData", bytes(48)),
    Rule.PATIENT: header(rename_patient),
    Rule.UID_MAP: put("StudyInstanceUID", "2.25.123456789"),
    Rule.REFERENCE: refer_to_another,
    Rule.ORPHAN: lambda source, output: (source / "1.dcm").unlink(),
    Rule.REPEATED: lambda source, output: (output / "x.dcm").write_bytes((output / "1.dcm").read_bytes()) and None,
    Rule.VALIDITY: header(lambda d: d.__delitem__("ImagePositionPatient"), 0),  # the first of its series
    Rule.NAME: lambda source, output: (output / "1.dcm").rename(output / "MRN-554477.dcm") and None,
}


def test_what_was_written_has_no_finding_of_any_kind(folders: tuple[Path, Path]) -> None:
    report = verify(folders, validity=True)
    assert report.findings == ()
    assert report.counts["objects compared with their source"] == FILES
    assert report.counts["objects checked by dciodvfy"] == 1


def test_every_kind_but_the_crash_is_provoked_here() -> None:
    assert SPOILS.keys() | {Rule.CRASHED} == set(Rule)


@pytest.mark.parametrize("rule", SPOILS, ids=lambda rule: rule.value)
def test_a_spoiled_file_is_found_and_named_and_no_other(folders: tuple[Path, Path], rule: Rule) -> None:
    SPOILS[rule](*folders)
    report = verify(folders, validity=rule is Rule.VALIDITY)
    assert not report.passed
    guilty = {finding.file for finding in report.findings if finding.rule is rule}
    assert guilty == {{Rule.REPEATED: "x.dcm", Rule.NAME: "?1", Rule.VALIDITY: "0.dcm"}.get(rule, "1.dcm")}, (
        report.findings
    )
    said = "\n".join(report.lines()) + str(report.record())
    assert not any(plant in said for plant in (*PLANTS, "QUIXOTOVA", "Oakstreet", "555-123", "Any^One"))


# a reader that dies: pickled by name, so these stand at the top level


class _DiesComparing(PairTask):
    __slots__ = ()

    def __call__(self, items: Sequence[tuple[str, FileRef]]) -> Iterator[Compared]:
        for one in items:
            if one[1].member == "1.dcm":
                os.kill(os.getpid(), 11)  # as a fault in C++ does
            yield from PairTask.__call__(self, [one])


class _DiesAlone(AloneTask):
    __slots__ = ()

    def __call__(self, items: Sequence[tuple[str, str]]) -> Iterator[tuple]:  # type: ignore[type-arg]
        os.kill(os.getpid(), 11)
        yield from AloneTask.__call__(self, items)


class _DiesSearching(SearchTask):
    def __call__(self, items: Sequence[tuple[str, str, bool]]) -> Iterator[list]:  # type: ignore[type-arg]
        for one in items:
            if one[0] == "1.dcm":
                os._exit(1)
            yield from SearchTask.__call__(self, [one])


@pytest.mark.parametrize(
    ("name", "task"), [("PairTask", _DiesComparing), ("AloneTask", _DiesAlone), ("SearchTask", _DiesSearching)]
)
def test_a_reader_that_crashes_costs_that_file_and_says_so(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, name: str, task: type
) -> None:
    monkeypatch.setattr(tree, name, task)
    monkeypatch.setattr(crew, "cold", warm)  # how the processes start is not what is tested
    if name == "AloneTask":
        SPOILS[Rule.ORPHAN](*folders)
    report = verify(folders, workers=1)
    crashed = [finding for finding in report.findings if finding.rule is Rule.CRASHED]
    assert [finding.file for finding in crashed] == ["1.dcm"]
    assert {finding.rule for finding in report.findings} <= {Rule.CRASHED, Rule.ORPHAN}
    assert report.counts["objects compared with their source"] == FILES - (name != "SearchTask")
