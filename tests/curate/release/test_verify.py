"""A release is built once and copied for each fault; the fault is made with other means than the build has."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest

from curate.deid.identifiers import Identifier
from curate.errors import Misconfigured
from curate.geometry import Grid
from curate.release import Finding, Kind, ReleaseSummary, reading, verify_release
from curate.release import inspection as inspection_module
from curate.volumes.write import write_volume
from tests.support.release_store import NAMES, Made
from tests.support.tampering import edit_json, edit_rows, edit_text, reseal

Edit = Callable[[Path], object]


@pytest.fixture
def cervical(built_cervical: ReleaseSummary, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built_cervical.path, tmp_path / "1.0.0"))


@pytest.fixture
def lumbar(built_lumbar: ReleaseSummary, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built_lumbar.path, tmp_path / "1.0.0"))


def kinds(findings: list[Finding]) -> set[Kind]:
    return {finding.kind for finding in findings}


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


ONE_OF_EACH = [
    "train_images/**/*.dcm",
    "volumes/**/0/c/0/0/0",
    "volumes/*/*/0.zarr/zarr.json",
    "manifests/slices.parquet",
    "manifests/label_issues.parquet",
    "train.csv",
    "sample_submission.csv",
    "README.md",
    "release.json",
]


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
@pytest.mark.parametrize("searched", [True, False])
def test_nothing_is_wrong_with_a_release_as_it_was_built(
    request: pytest.FixtureRequest, task: str, searched: bool
) -> None:
    made: Made = request.getfixturevalue(f"made_{task}")
    built: ReleaseSummary = request.getfixturevalue(f"built_{task}")
    identifiers = made.identifiers if searched else None
    assert verify_release(built.path, identifiers=identifiers, digest=built.digest) == []
    assert verify_release(built.private_path, identifiers=identifiers) == []


def test_a_release_may_be_moved_to_another_folder(cervical: Path) -> None:
    assert verify_release(cervical.rename(cervical.with_name("elsewhere"))) == []


def test_a_folder_that_is_not_there_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        verify_release(tmp_path / "nowhere")


# bytes and files


@pytest.mark.parametrize("pattern", ONE_OF_EACH)
@pytest.mark.parametrize("fault", ["flip", "truncate", "append", "empty"])
def test_any_changed_byte_of_any_kind_of_file_is_found_and_named(cervical: Path, pattern: str, fault: str) -> None:
    path = first(cervical, pattern)
    content = bytearray(path.read_bytes())
    if fault == "flip":
        content[random.Random(pattern).randrange(len(content))] ^= 1 << random.Random(pattern).randrange(8)
    path.write_bytes({"truncate": content[:-1], "append": content + b"\n", "empty": b""}.get(fault, content))
    found = verify_release(cervical)
    assert (path.relative_to(cervical).as_posix(), Kind.CHANGED) in {(f.path, f.kind) for f in found}


def test_every_single_byte_of_the_list_of_digests_matters(cervical: Path) -> None:
    sums = cervical / "SHA256SUMS"
    content = sums.read_bytes()
    positions = [0, 63, 64, 66, 80, len(content) // 2, len(content) - 2, len(content) - 1]
    for position in positions:
        changed = bytearray(content)
        changed[position] ^= 1
        sums.write_bytes(changed)
        assert verify_release(cervical), position


@pytest.mark.parametrize("pattern", ONE_OF_EACH)
def test_a_removed_file_is_missing(cervical: Path, pattern: str) -> None:
    path = first(cervical, pattern)
    path.unlink()
    assert Finding(path.relative_to(cervical).as_posix(), Kind.MISSING) in verify_release(cervical)


@pytest.mark.parametrize("pattern", ONE_OF_EACH)
def test_a_renamed_file_is_found_at_its_new_name(cervical: Path, pattern: str) -> None:
    path = first(cervical, pattern)
    path.rename(path.with_name("renamed"))
    old, new = (p.relative_to(cervical).as_posix() for p in (path, path.with_name("renamed")))
    assert Finding(old, Kind.RENAMED, f"its bytes lie at {new}") in verify_release(cervical)


@pytest.mark.parametrize(
    "name", ["notes.txt", ".DS_Store", "train_images/x/1.dcm", "volumes/stray", "manifests/more.parquet", "a b\n.csv"]
)
def test_an_added_file_is_extra(cervical: Path, name: str) -> None:
    path = cervical / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"anything")
    assert Kind.EXTRA in kinds(verify_release(cervical))


def test_a_copy_of_an_image_under_another_name_is_extra(cervical: Path) -> None:
    image = first(cervical, "train_images/**/*.dcm")
    shutil.copy(image, image.with_name("77.dcm"))
    assert Kind.EXTRA in kinds(verify_release(cervical))


def test_a_file_replaced_by_a_link_to_the_same_bytes_is_found(cervical: Path, tmp_path: Path) -> None:
    for pattern in ONE_OF_EACH:
        path = first(cervical, pattern)
        moved = tmp_path / "moved"
        path.rename(moved)
        path.symlink_to(moved)
        found = verify_release(cervical)
        path.unlink()
        moved.rename(path)
        name = path.relative_to(cervical).as_posix()
        assert Finding(name, Kind.NOT_A_FILE, "a symbolic link") in found
        assert Finding(name, Kind.MISSING) in found
    assert verify_release(cervical) == []


def test_links_pipes_and_empty_folders_beside_the_files_are_found(cervical: Path, tmp_path: Path) -> None:
    (cervical / "link").symlink_to(tmp_path)
    (cervical / "empty").mkdir()
    os.mkfifo(cervical / "pipe")
    found = {finding.path: finding.kind for finding in verify_release(cervical)}
    assert found == dict.fromkeys(("link", "empty", "pipe"), Kind.NOT_A_FILE)


def test_an_unfinished_build_is_not_a_release(cervical: Path) -> None:
    (cervical / "SHA256SUMS").unlink()
    assert kinds(verify_release(cervical)) == {Kind.NOT_FROZEN}


def test_a_forged_list_over_forged_files_is_told_by_the_digest_that_the_build_gave(
    cervical: Path, built_cervical: ReleaseSummary
) -> None:
    edit_text(cervical / "README.md", "CC0-1.0", "CC-BY-4.0")
    reseal(cervical)
    assert verify_release(cervical) == []
    assert kinds(verify_release(cervical, digest=built_cervical.digest)) == {Kind.NOT_FROZEN}


@pytest.mark.parametrize("pattern", ONE_OF_EACH)
def test_garbage_in_any_file_is_a_finding_and_never_an_exception(
    cervical: Path, made_cervical: Made, pattern: str
) -> None:
    path = first(cervical, pattern)
    for garbage in (b"", b"\0" * 200, b"PAR1garbagePAR1", b"[" * 100_000, b"null", b"\xff\xfe\xfd", b"a,b\n1"):
        path.write_bytes(garbage)
        reseal(cervical)
        assert verify_release(cervical, identifiers=made_cervical.identifiers)


# numbers, rows, splits: sealed again, so that no digest tells


def first_row(**values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[0].update(values)


NUMBERS: dict[str, Edit] = {
    "a count of release.json": lambda r: edit_json(
        r / "release.json", lambda j: j["counts"]["splits"]["train"].update(images=17)
    ),
    "a count too many": lambda r: edit_json(
        r / "release.json", lambda j: j["counts"]["splits"].update(extra={"images": 0})
    ),
    "a count too few": lambda r: edit_json(r / "release.json", lambda j: j["counts"]["sites"].pop("site-b")),
    "the bytes of release.json": lambda r: edit_json(r / "release.json", lambda j: j["counts"].update(image_bytes=1)),
    "the total of the card": lambda r: edit_text(r / "README.md", "| all | 6 |", "| all | 7 |"),
    "a site of the card": lambda r: edit_text(r / "README.md", "| site-a | 4 |", "| site-a | 5 |"),
    "a label of the card": lambda r: edit_text(r / "README.md", "| C1 | 2 | 2 |", "| C1 | 1 | 3 |"),
    "the bytes of the card": lambda r: edit_text(r / "README.md", "Images: ", "Images: 1"),
    "a line of train.csv": lambda r: drop_line(r / "train.csv"),
    "a line of test.csv": lambda r: drop_line(r / "test.csv"),
    "a line of sample_submission.csv": lambda r: drop_line(r / "sample_submission.csv"),
    "a line of train_bounding_boxes.csv": lambda r: drop_line(r / "train_bounding_boxes.csv"),
    "a line of split.csv": lambda r: drop_line(r / "split.csv"),
    "a line of exclusions.csv": lambda r: drop_line(r / "exclusions.csv"),
    "a row of boxes": lambda r: edit_rows(r, "boxes", list.pop),
    "a row of exclusions": lambda r: edit_rows(r, "exclusions", list.pop),
    "the size of a volume": lambda r: edit_rows(r, "volumes", first_row(size_bytes=1)),
}


def drop_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("what", NUMBERS)
def test_a_number_that_disagrees_is_found_wherever_it_stands(cervical: Path, what: str) -> None:
    NUMBERS[what](cervical)
    reseal(cervical)
    assert Kind.NUMBER in kinds(verify_release(cervical))


REFERENCES: dict[str, Edit] = {
    "an image removed": lambda r: first(r, "train_images/**/*.dcm").unlink(),
    "an image that no row names": lambda r: edit_rows(r, "slices", list.pop),
    "an image under another name": lambda r: rename(first(r, "train_images/**/1.dcm"), "9.dcm"),
    "a slice pointing nowhere": lambda r: edit_rows(r, "slices", first_row(dicom="train_images/x/1.dcm")),
    "a slice pointing at nothing": lambda r: edit_rows(r, "slices", first_row(dicom=None)),
    "a slice out of the folder": lambda r: edit_rows(r, "slices", first_row(dicom="../../etc/passwd")),
    "two slices of one image": lambda r: edit_rows(r, "slices", lambda rows: rows[0].update(dicom=rows[1]["dicom"])),
    "two images swapped": lambda r: edit_rows(r, "slices", swap("dicom")),
    "the digest of an image": lambda r: edit_rows(r, "slices", first_row(dicom_sha256="0" * 64)),
    "a slice of an unknown stack": lambda r: edit_rows(r, "slices", first_row(stack=5)),
    "a volume removed": lambda r: shutil.rmtree(first(r, "volumes/*/*/0.zarr")),
    "a chunk removed": lambda r: first(r, "volumes/*/*/0.zarr/0/c/0/0/0").unlink(),
    "a volume that no row names": lambda r: shutil.copytree(first(r, "volumes/*/*/0.zarr"), r / "volumes/x/y/1.zarr"),
    "the digest of the voxels": lambda r: edit_rows(r, "volumes", first_row(sha256="0" * 64)),
    "a volume of no objects": lambda r: edit_rows(r, "volumes", first_row(objects=[])),
    "a volume of another place": lambda r: edit_rows(r, "volumes", first_row(uri="volumes/x/y/0.zarr")),
    "a volume of an unknown series": lambda r: edit_rows(r, "volumes", first_row(series_key="x")),
    "a volume row twice": lambda r: edit_rows(r, "volumes", lambda rows: rows.append(rows[0])),
    "a series without volumes": lambda r: edit_rows(
        r, "series", lambda rows: rows.append({**rows[0], "series_key": "x"})
    ),
    "a series of another patient": lambda r: edit_rows(r, "series", first_row(patient_key="x")),
    "a series of another site": lambda r: edit_rows(r, "series", first_row(site="x")),
    "a sample of another site": lambda r: edit_rows(r, "samples", first_row(site="x")),
    "a sample without volumes": lambda r: edit_rows(r, "samples", first_row(volumes=[])),
    "a sample of an unknown study": lambda r: edit_rows(r, "samples", first_row(study_key="x")),
    "a sample removed": lambda r: edit_rows(r, "samples", list.pop),
    "a box on an unknown image": lambda r: edit_rows(r, "boxes", first_row(instance_key="x")),
    "a box on another number": lambda r: edit_rows(r, "boxes", first_row(instance_number=3)),
    "a box on an unknown series": lambda r: edit_rows(r, "boxes", first_row(series_key="x")),
    "a box that the CSV places elsewhere": lambda r: edit_text(r / "train_bounding_boxes.csv", ",2.5,", ",2.75,"),
    "an object of an unknown series": lambda r: edit_rows(r, "objects", first_row(series_key="x")),
    "a label that the CSV contradicts": lambda r: flip_label(r / "train.csv"),
    "an exclusion that is in": lambda r: exclude(r),
    "a file of no use": lambda r: (r / "notes.txt").write_text("hello"),
}


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def swap(column: str) -> Callable[[list[dict[str, Any]]], None]:
    def edit(rows: list[dict[str, Any]]) -> None:
        rows[0][column], rows[1][column] = rows[1][column], rows[0][column]

    return edit


def flip_label(path: Path) -> None:
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:-1] + ("0" if lines[1][-1] == "1" else "1")
    path.write_text("\n".join(lines) + "\n")


def exclude(root: Path) -> None:
    series = pq.read_table(root / "manifests" / "series.parquet")["series_key"][0].as_py()
    edit_rows(root, "exclusions", first_row(series_key=series))


@pytest.mark.parametrize("what", REFERENCES)
def test_a_row_that_points_nowhere_and_a_file_that_no_row_names_are_found(cervical: Path, what: str) -> None:
    REFERENCES[what](cervical)
    reseal(cervical)
    assert Kind.REFERENCE in kinds(verify_release(cervical))


def move_study(root: Path) -> None:
    """A whole study into the folder of another split, rows and all, as a careless merge would do."""
    study = first(root, "train_images/*").name
    (root / "test_images").mkdir(exist_ok=True)
    (root / "train_images" / study).rename(root / "test_images" / study)
    edit_rows(
        root,
        "slices",
        lambda rows: [
            row.update(dicom=row["dicom"].replace(f"train_images/{study}", f"test_images/{study}")) for row in rows
        ],
    )


def copy_instance(root: Path) -> None:
    """The same object under another study of another split: another series UID in the header, the same instance."""
    source, target = first(root, "train_images/*/1.dcm"), first(root, "test_images/*/1.dcm")
    shutil.copy(source, target)


def share_patient_by_header(root: Path) -> None:
    """Tables give two patients; the files say that they are one."""
    source, target = first(root, "train_images/*/1.dcm"), first(root, "test_images/*/1.dcm")
    patient = pydicom.dcmread(source).PatientID
    image = pydicom.dcmread(target)
    image.PatientID = image.PatientName = patient
    image.save_as(target)


SPLITS: dict[str, Edit] = {
    "a patient in two splits": lambda r: edit_rows(
        r, "samples", lambda rows: rows[0].update(patient_key=rows[-1]["patient_key"])
    ),
    "a volume in another split": lambda r: edit_rows(
        r, "volumes", lambda rows: rows[0].update(split=other(rows[0]["split"]))
    ),
    "a sample in another split": lambda r: edit_rows(
        r, "samples", lambda rows: rows[0].update(split=other(rows[0]["split"]))
    ),
    "a sample in no split": lambda r: edit_rows(r, "samples", first_row(split=None)),
    "a study in another folder": move_study,
    "an image in two splits": copy_instance,
    "a patient in two splits by the headers": share_patient_by_header,
}


def other(split: str) -> str:
    return "validation" if split == "train" else "train"


@pytest.mark.parametrize("what", SPLITS)
def test_whatever_makes_two_splits_share_something_is_found(cervical: Path, what: str) -> None:
    SPLITS[what](cervical)
    reseal(cervical)
    assert Kind.SPLIT in kinds(verify_release(cervical))


def hidden_study(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["split"] == "test")


def reveal(root: Path, table: str) -> None:
    study = hidden_study(pq.read_table(root / "manifests" / "samples.parquet").to_pylist())["study_key"]
    edit_rows(root, table, first_row(study_key=study))


def add_mask(root: Path) -> None:
    row = hidden_study(pq.read_table(root / "manifests" / "volumes.parquet").to_pylist())
    path = root / row["uri"] / "labels" / "vertebrae" / "0" / "c" / "0" / "0" / "0"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mask")


ANSWERS: dict[str, Edit] = {
    "a grade": lambda r: edit_rows(r, "samples", lambda rows: hidden_study(rows).update(C3=1)),
    "a box": lambda r: reveal(r, "boxes"),
    "the place of a vertebra": lambda r: reveal(r, "objects"),
    "what was wrong with a label": lambda r: reveal(r, "label_issues"),
    "a mask": add_mask,
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_of_the_hidden_split_in_the_public_folder_is_found(cervical: Path, what: str) -> None:
    ANSWERS[what](cervical)
    reseal(cervical)
    assert Kind.ANSWER in kinds(verify_release(cervical))


@pytest.mark.parametrize(
    ("table", "edit"),
    [
        ("points", first_row(series_key="x")),
        ("points", first_row(condition="gout")),
        ("slices", first_row(dicom_sha256=None)),
        ("samples", first_row(spinal_canal_stenosis_l1_l2=7)),
        ("series", first_row(series_type="Axial T3")),
    ],
)
def test_lumbar_tables_are_checked_too(lumbar: Path, table: str, edit: Callable[[list[dict[str, Any]]], None]) -> None:
    edit_rows(lumbar, table, edit)
    reseal(lumbar)
    assert kinds(verify_release(lumbar)) & {Kind.REFERENCE, Kind.UNREADABLE, Kind.NUMBER}


@pytest.mark.parametrize("column", ["instance_key", "dicom", "stack"])
def test_a_table_without_a_column_of_its_schema_is_unreadable(cervical: Path, column: str) -> None:
    path = cervical / "manifests" / "slices.parquet"
    pq.write_table(pq.read_table(path).rename_columns({column: "other"}), path)
    reseal(cervical)
    assert Kind.UNREADABLE in kinds(verify_release(cervical))


def test_an_answer_key_that_its_samples_contradict_is_found(built_cervical: ReleaseSummary, tmp_path: Path) -> None:
    private = Path(shutil.copytree(built_cervical.private_path, tmp_path / "private"))
    solution = private / "solution.csv"
    solution.write_text(solution.read_text().replace(",1\n", ",0\n", 1))
    reseal(private)
    assert kinds(verify_release(private)) == {Kind.REFERENCE}


# headers and leaks


def edit_header(root: Path, **values: object) -> None:
    path = first(root, "train_images/**/*.dcm")
    image = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(image, name, value)
    image.save_as(path)


@pytest.mark.parametrize(
    "values",
    [
        {"PatientBirthDate": "19400312"},
        {"PatientAddress": "1 Long Street"},
        {"PatientIdentityRemoved": "NO"},
        {"OperatorsName": "Someone^Else"},
    ],
)
def test_a_header_that_breaks_the_profile_is_found_without_a_list_of_identifiers(
    cervical: Path, values: dict[str, str]
) -> None:
    edit_header(cervical, **values)
    reseal(cervical)
    assert Kind.HEADER in kinds(verify_release(cervical))


def test_the_second_reader_compares_what_objects_state_with_what_the_release_states(cervical: Path) -> None:
    edit_json(cervical / "release.json", lambda about: about["deidentification"].update(options=[["113100", "Basic"]]))
    reseal(cervical)
    found = [finding for finding in verify_release(cervical) if finding.kind is Kind.HEADER]
    images = {path.relative_to(cervical).as_posix() for path in cervical.rglob("*.dcm")}
    assert {finding.path for finding in found if "other options than the release" in finding.detail} == images


def test_an_unknown_profile_is_a_finding(cervical: Path) -> None:
    edit_json(cervical / "release.json", lambda about: about["deidentification"].update(profile="none"))
    reseal(cervical)
    assert Kind.HEADER in kinds(verify_release(cervical))


NAME = NAMES[1]  # Bjornstad


def plant_in_column(root: Path) -> None:
    edit_rows(root, "series", first_row(detail=f"of Mr. {NAME.upper()}"))


def plant_in_metadata(root: Path) -> None:
    path = root / "manifests" / "series.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"owner": NAME}), path)


def plant_in_lists(root: Path) -> None:
    edit_rows(root, "volumes", first_row(flags=["ok", NAME]))


def plant_in_header(root: Path) -> None:
    edit_header(root, ImageComments=f"seen by {NAME}")


def plant_behind_pixels(root: Path) -> None:
    with first(root, "train_images/**/*.dcm").open("ab") as stream:
        stream.write(NAME.encode())


def plant_in_pixels(root: Path) -> None:
    path = first(root, "train_images/**/*.dcm")
    image = pydicom.dcmread(path)
    image.PixelData = image.PixelData[:20] + NAME.encode() + b" " + image.PixelData[30:]
    image.save_as(path)


def plant_in_attributes(root: Path) -> None:
    """JSON lets any letter be written as an escape."""
    path = first(root, "volumes/*/*/0.zarr/zarr.json")
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in NAME)
    path.write_text(path.read_text().replace('"modality": "CT"', f'"modality": "{escaped}"', 1))
    assert escaped in path.read_text()


def plant_in_voxels(root: Path) -> None:
    """Behind the compression of a chunk."""
    folder = first(root, "volumes/*/*/0.zarr")
    shutil.rmtree(folder)
    array = np.zeros((4, 12, 10), np.int16)
    array[0, 0, :5] = np.frombuffer(f"{NAME} ".encode(), "<i2")  # shuffling takes the two bytes of a voxel apart
    write_volume(folder, array, Grid(array.shape, np.eye(4)))


def plant_in_name(root: Path) -> None:
    (root / f"{NAME}.txt").write_text("")


LEAKS: dict[str, Edit] = {
    "the card": lambda r: edit_text(r / "README.md", "Licence: CC0-1.0", f"Licence: by {NAME}"),
    "release.json": lambda r: edit_json(r / "release.json", lambda about: about.update(title=f"Spines of {NAME}")),
    "a CSV file": lambda r: edit_text(r / "split.csv", "site-a", NAME.lower()),
    "a compressed Parquet column": plant_in_column,
    "a Parquet list": plant_in_lists,
    "Parquet metadata": plant_in_metadata,
    "a DICOM header": plant_in_header,
    "what follows the pixels": plant_behind_pixels,
    "the pixels": plant_in_pixels,
    "escaped Zarr attributes": plant_in_attributes,
    "compressed voxels": plant_in_voxels,
    "the name of a file": plant_in_name,
    "an extra file": lambda r: (r / "notes.txt").write_text(f"ask {NAME}"),
    "the list of digests": lambda r: (r / "SHA256SUMS").write_text(f"{'0' * 64}  {NAME}\n"),
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_known_name_is_found_in(cervical: Path, made_cervical: Made, what: str) -> None:
    LEAKS[what](cervical)
    if what != "the list of digests":
        reseal(cervical)
    found = verify_release(cervical, identifiers=made_cervical.identifiers)
    assert Kind.LEAK in kinds(found)
    assert Kind.LEAK not in kinds(verify_release(cervical))
    assert all(NAME.lower() not in str(finding).lower() for finding in found)


def test_names_planted_behind_compression_are_not_in_the_bytes_as_they_lie(cervical: Path) -> None:
    plant_in_attributes(cervical)
    assert NAME.encode() not in first(cervical, "volumes/*/*/0.zarr/zarr.json").read_bytes()
    plant_in_voxels(cervical)
    assert NAME.encode() not in first(cervical, "volumes/*/*/0.zarr/0/c/0/0/0").read_bytes()
    plant_in_column(cervical)
    assert NAME.upper().encode() not in (cervical / "manifests" / "series.parquet").read_bytes()


@pytest.mark.parametrize(
    ("kind", "value"),
    [("patient_id", "MRN00001"), ("accession", "ACC770001"), ("birth_date", "19410312"), ("uid", "1.2.3.4.55555")],
)
def test_other_kinds_of_identifiers_are_found_too(cervical: Path, kind: str, value: str) -> None:
    edit_text(cervical / "README.md", "Licence: CC0-1.0", f"Licence: {value}")
    reseal(cervical)
    found = verify_release(cervical, identifiers=[Identifier(kind, value)])
    assert [(f.path, f.kind) for f in found] == [("README.md", Kind.LEAK)]
    assert found[0].detail.startswith(kind)


def test_words_of_the_cards_own_text_are_no_leak(cervical: Path) -> None:
    """A patient may be called like a word that every card has."""
    assert verify_release(cervical, identifiers=[Identifier("name", "Corner^Upper")]) == []


def test_a_hidden_file_name_is_replaced_by_a_number(cervical: Path, made_cervical: Made) -> None:
    plant_in_name(cervical)
    found = verify_release(cervical, identifiers=made_cervical.identifiers)
    assert kinds(found) >= {Kind.EXTRA, Kind.LEAK}
    assert all(finding.path.startswith("?") for finding in found)


# how it reads


def test_each_file_is_read_once(cervical: Path, made_cervical: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def counting(path: Path, *rest: Any) -> reading.FileRead:
        seen.append(path)
        return reading.read_once(path, *rest)

    monkeypatch.setattr(inspection_module, "read_once", counting)
    verify_release(cervical, identifiers=made_cervical.identifiers)
    assert sorted(seen) == sorted(path for path in cervical.rglob("*") if path.is_file())


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every Parquet file and shard is too large to be kept."""
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(reading, "OVERLAP_BYTES", 1 << 9)
    real = reading.read_once

    def stream(path: Path, on_block: reading.Block | None = None) -> reading.FileRead:
        is_large = path.suffix == ".parquet" or path.name == "0"
        monkeypatch.setattr(reading, "WHOLE_BYTES", 10 if is_large else 1 << 30)
        return real(path, on_block)

    monkeypatch.setattr(inspection_module, "read_once", stream)
    return None


@pytest.mark.usefixtures("streaming")
def test_streamed_files_give_the_same_verdict(cervical: Path, made_cervical: Made) -> None:
    assert verify_release(cervical, identifiers=made_cervical.identifiers) == []
    for plant in (plant_in_column, plant_in_metadata, plant_in_voxels):
        plant(cervical)
    reseal(cervical)
    leaks = {f.path for f in verify_release(cervical, identifiers=made_cervical.identifiers) if f.kind is Kind.LEAK}
    assert {path.rsplit("/", 1)[-1] for path in leaks} == {"series.parquet", "0"}


@pytest.mark.usefixtures("streaming")
def test_a_name_across_the_edge_of_a_block_is_found_once(cervical: Path, made_cervical: Made) -> None:
    path = cervical / "manifests" / "series.parquet"
    for start in (4090, 4095, 4096, 8190):
        table = pa.table({"text": ["x"]})
        pq.write_table(table, path)
        content = path.read_bytes()
        filler = bytearray(b"\0" * 9000)
        filler[start : start + len(NAME)] = NAME.encode()
        path.write_bytes(content[:4] + filler + content[4:])  # no longer a table, but bytes all the same
        found = verify_release(cervical, identifiers=made_cervical.identifiers)
        assert [f.detail for f in found if f.kind is Kind.LEAK and "bytes" in f.detail] == ["name: 1 in its bytes"], (
            start
        )


def test_progress_counts_files_and_bytes(cervical: Path) -> None:
    calls: list[tuple[int, int, int]] = []
    verify_release(cervical, progress=lambda *call: calls.append(call))
    sizes = [path.stat().st_size for path in cervical.rglob("*") if path.is_file()]
    assert [done for done, _, _ in calls] == list(range(1, len(sizes) + 1))
    assert calls[-1] == (len(sizes), len(sizes), sum(sizes))


def test_findings_are_sorted_and_say_each_thing_once(cervical: Path) -> None:
    first(cervical, "train_images/**/*.dcm").unlink()
    (cervical / "train.csv").unlink()
    found = verify_release(cervical)
    assert found == sorted(set(found))
