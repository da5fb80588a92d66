"""From instances to series: what belongs together, what is set apart, and how much memory it will take."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from cluster.outcomes import ItemOutcome, Status
from curate.errors import Rejected
from curate.manifests import read_table, sort_rows
from curate.manifests.schemas import INSTANCES
from curate.manifests.tables import SORT_KEYS
from curate.reasons import Reason
from pipelines.catalogue import list_sites, listing_key
from pipelines.grouping import INSTANCES_TABLE, SERIES_TABLE, _unscanned, group_rows, sort_series
from pipelines.partitions import read_whole
from pipelines.workspace import volume_parameters
from tests.support.curated import Curated, curate
from tests.support.dicom_files import SERIES_UID
from tests.support.hand_made import run_hand_made, write_ramp, write_spec


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


@pytest.mark.parametrize(
    ("name", "detail"), [("patient_key", "2 patients, 1 studies"), ("study_key", "1 patients, 2 studies")]
)
def test_a_series_of_two_patients_or_studies_is_nobodys(simple: Curated, name: str, detail: str) -> None:
    rows = catalogue(simple, "instances")
    rows[3] = {**rows[3], name: "another"}
    with pytest.raises(Rejected) as caught:
        sort_series(rows, SORTING)
    assert (caught.value.reason, caught.value.detail) == (Reason.MIXED_IDENTITY, detail)


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
            curated = curate(folder)
        content.append([row["series_key"] for row in catalogue(curated, "instances")])
    assert content[0] == content[1]
    assert content[0] == sorted(content[0])


def judged(rows: pa.Table, curated: Curated) -> list[tuple[pa.Table, pa.Table]]:
    return list(group_rows(rows, volume_parameters(curated.spec, curated.workspace)))


def test_judging_a_partition_is_a_function_of_its_rows(cervical: Curated) -> None:
    rows = read_whole(cervical.workspace.store, INSTANCES_TABLE)
    ((placed, series),) = judged(rows, cervical)
    ((again, series_again),) = judged(rows.take(pa.array(range(rows.num_rows)[::-1])), cervical)
    assert placed.equals(again)
    assert series.equals(series_again)
    assert sort_rows(placed, SORT_KEYS["instances"]).equals(rows)
    assert sort_rows(series, SORT_KEYS["series"]).equals(read_whole(cervical.workspace.store, SERIES_TABLE))


def test_a_large_partition_is_judged_some_whole_series_at_a_time(
    cervical: Curated, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_whole(cervical.workspace.store, INSTANCES_TABLE)
    ((placed, series),) = judged(rows, cervical)
    monkeypatch.setattr("pipelines.grouping.ROWS_PER_GROUP", 50)
    pieces = judged(rows, cervical)
    assert len(pieces) > 3
    assert pa.concat_tables(piece for piece, _ in pieces).equals(placed)
    assert pa.concat_tables(verdicts for _, verdicts in pieces).equals(series)
    keys = [set(piece["series_key"].to_pylist()) for piece, _ in pieces]
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_no_rows_make_no_series(cervical: Curated) -> None:
    assert judged(INSTANCES.empty_table(), cervical) == []


def test_a_series_under_two_patients_is_seen_in_any_number_of_partitions(tmp_path: Path) -> None:
    ends = []
    for number, instances in enumerate((2**20, 1)):
        folder = tmp_path / str(number)
        write_ramp(folder / "archive/one")
        write_ramp(folder / "archive/two", PatientID="another", SOPInstanceUID=f"{SERIES_UID}.77", slices=1)
        spec = write_spec(folder)
        spec.write_text(f"{spec.read_text()}\n[runtime]\npartition_instances = {instances}\n")
        (row,) = catalogue(curate(folder), "series")
        ends.append((row["instances"], row["reason"]))
    assert ends == [(9, "mixed_identity")] * 2


def test_files_of_a_chunk_that_could_not_be_scanned_are_named_one_by_one(simple: Curated) -> None:
    (chunk,) = list_sites(simple.spec, simple.workspace).chunks
    listed = read_table(simple.workspace.private, listing_key(chunk.fingerprint))
    outcome = ItemOutcome(chunk.key, chunk.fingerprint, Status.QUARANTINED, Reason.WORKER_CRASHED, "3 tries")
    rows = _unscanned(listed, outcome).to_pylist()
    assert len(rows) == 8
    assert {(row["reason"], row["detail"]) for row in rows} == {
        ("worker_crashed", "its chunk of the header scan: 3 tries")
    }
    assert sorted(row["file_key"] for row in rows) == sorted(listed["file_key"].to_pylist())
