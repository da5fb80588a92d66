"""From instances to series: what belongs together, what is set apart, and how much memory it will take."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from curate.errors import Rejected
from curate.reasons import Reason
from pipelines.grouping import sort_series
from pipelines.partitions import read_whole
from tests.support.curated import Curated
from tests.support.dicom_files import SERIES_UID
from tests.support.hand_made import run_hand_made, write_ramp


def catalogue(curated: Curated, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = read_whole(curated.workspace.store, f"catalogue/{name}").to_pylist()
    return rows


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("simple")
    write_ramp(folder / "archive")
    return run_hand_made(folder)


LIMITS = {"minimum_slices": 3, "maximum_gap_mm": 10.0, "maximum_missing": 0.2}
SORTING = {"modality": "CT", "assumed_at": ["bare"], "limits": LIMITS}


def test_rows_of_one_series_make_one_stack(simple: Curated) -> None:
    found = sort_series(catalogue(simple, "instances"), SORTING)
    assert found.is_accepted
    assert [len(stack.slices) for stack in found.stacks] == [8]


@pytest.mark.parametrize("name", ["patient_key", "study_key", "site"])
def test_a_series_of_two_patients_studies_or_sites_is_nobodys(simple: Curated, name: str) -> None:
    rows = catalogue(simple, "instances")
    rows[3] = {**rows[3], name: "another"}
    with pytest.raises(Rejected) as caught:
        sort_series(rows, SORTING)
    assert caught.value.reason is Reason.MIXED_IDENTITY


def test_a_missing_modality_is_the_tasks_only_at_sites_that_say_so(simple: Curated) -> None:
    bare = [{**row, "modality": None, "sop_class_uid": None} for row in catalogue(simple, "instances")]
    assert sort_series(bare, SORTING).reason is Reason.WRONG_MODALITY
    assert sort_series([{**row, "site": "bare"} for row in bare], SORTING).is_accepted


def test_the_catalogue_gives_every_used_instance_its_place(simple: Curated) -> None:
    rows = catalogue(simple, "instances")
    assert [row["position_in_stack"] for row in rows] == list(range(8))
    assert {row["stack"] for row in rows} == {0}
    assert {row["reason"] for row in rows} == {None}


def test_a_series_says_how_many_bytes_it_has_and_needs(simple: Curated) -> None:
    (row,) = catalogue(simple, "series")
    sizes = [path.stat().st_size for path in (simple.folder / "archive").rglob("*.dcm")]
    assert row["size_bytes"] == sum(sizes)
    assert (row["instances"], row["instances_used"], row["stacks"]) == (8, 8, 1)
    assert row["memory_bytes"] >= 2 * 8 * 12 * 10


def test_finer_spacing_needs_more_memory(tmp_path: Path) -> None:
    needed = []
    for number, spacing in enumerate(("[2.0, 0.5, 0.4]", "[1.0, 0.25, 0.2]")):
        write_ramp(tmp_path / str(number) / "archive")
        curated = run_hand_made(tmp_path / str(number), spacing=spacing)
        needed.append(catalogue(curated, "series")[0]["memory_bytes"])
    assert needed[1] > 4 * needed[0]  # type: ignore[operator]


def test_memory_of_a_permuted_volume_is_never_estimated_below_the_unpermuted(tmp_path: Path) -> None:
    needed = []
    for orientation in ("radiological", "PLS"):
        write_ramp(tmp_path / orientation / "archive")
        curated = run_hand_made(tmp_path / orientation, orientation=orientation, spacing="[0.5, 0.5, 0.5]")
        needed.append(catalogue(curated, "series")[0]["memory_bytes"])
    assert needed[1] >= needed[0]  # type: ignore[operator]


def test_the_same_file_twice_is_one_instance(tmp_path: Path) -> None:
    files = write_ramp(tmp_path / "archive")
    shutil.copy(files[2], tmp_path / "archive/again.dcm")
    curated = run_hand_made(tmp_path)
    assert curated.balance.done == 1
    (row,) = catalogue(curated, "series")
    assert (row["instances"], row["instances_used"]) == (9, 8)
    assert [one["reason"] for one in catalogue(curated, "instances")].count("duplicate_instance") == 1


def test_a_scout_inside_a_series_is_set_apart_and_the_rest_goes_on(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive")
    write_ramp(
        tmp_path / "archive/scout",
        slices=1,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SOPInstanceUID=f"{SERIES_UID}.900",
    )
    curated = run_hand_made(tmp_path)
    assert curated.balance.done == 1
    assert [one["reason"] for one in catalogue(curated, "instances")].count("localizer") == 1


def test_series_and_instances_are_sorted_and_written_the_same_from_any_chunking(tmp_path: Path) -> None:
    content = []
    for number, extra in enumerate(("", "\n[runtime]\nfiles_per_chunk = 3\n")):
        folder = tmp_path / str(number)
        write_ramp(folder / "archive/one")
        write_ramp(folder / "archive/two", SeriesInstanceUID=f"{SERIES_UID}.5")
        curated = run_hand_made(folder)
        if extra:
            shutil.rmtree(folder / "store")
            shutil.rmtree(folder / "store.private")
            spec = folder / "spec.toml"
            spec.write_text(spec.read_text() + extra)
            from tests.support.curated import curate

            curated = curate(folder)
        content.append([row["series_key"] for row in catalogue(curated, "instances")])
    assert content[0] == content[1]
    assert content[0] == sorted(content[0])
