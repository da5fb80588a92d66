"""The main job: every series has an end, and the bytes do not depend on how a run went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from cluster.attempt import UnitReport
from cluster.executors import Inline
from cluster.job import Job
from cluster.ledger import Ledger
from cluster.units import Unit
from curate.manifests import sort_rows
from curate.manifests.tables import SORT_KEYS
from pipelines.grouping import FILES_TABLE, INSTANCES_TABLE, SERIES_TABLE, SOURCES_TABLE
from pipelines.partitions import read_index, read_whole
from pipelines.run import run
from pipelines.spec import read_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.curated import Curated, copy_archive, curate, digests


def test_every_series_ends_as_the_planted_truth_says(curated: Curated) -> None:
    key = curated.workspace.pseudonyms.uid
    series, volumes = curated.by_series("series"), curated.by_series("volumes")
    for row in curated.truth("expected"):
        if row["outcome"] in ("done", "rejected", "quarantined"):
            found = series.pop(key(row["series"]))
            assert found["status"] == row["outcome"], (row["defect"], found["reason"], found["detail"])
            assert found["reason"] is None or found["reason"] in row["accepted_reasons"], row["defect"]
            assert row["flag"] is None or row["flag"] in volumes[key(row["series"])]["flags"], row["defect"]
    assert series == {}


def test_every_file_that_is_in_no_series_is_named_with_its_reason(curated: Curated) -> None:
    planted = [
        row["reason"]
        for row in curated.truth("expected")
        if row["outcome"] == "set apart" and row["reason"] != "duplicate_instance"
    ]
    assert sorted(curated.manifest("files")["reason"].to_pylist()) == sorted(planted)


def test_a_duplicate_is_dropped_and_the_series_goes_on(curated: Curated) -> None:
    row = next(row for row in curated.truth("expected") if row["defect"] == "duplicate_file")
    studies = [one for one in curated.manifest("series").to_pylist() if one["instances"] != one["instances_used"]]
    study = curated.workspace.pseudonyms.uid(row["study"])
    assert any(one["study_key"] == study and one["status"] == "done" for one in studies)


def test_inputs_are_the_sum_of_done_rejected_and_quarantined(curated: Curated) -> None:
    balance = curated.balance
    assert balance.series == balance.done + sum(balance.rejected.values()) + sum(balance.quarantined.values())
    assert balance.series == curated.manifest("series").num_rows
    assert balance.done > 0
    assert sum(balance.rejected.values()) > 3
    assert sum(balance.quarantined.values()) == 1


def test_ray_writes_the_same_bytes_as_one_process(cervical: Curated, tmp_path: Path) -> None:
    copied = curate(copy_archive(cervical.folder, tmp_path / "copy"), executor="ray", workers=2)
    assert digests(copied.spec.store) == digests(cervical.spec.store)
    assert copied.balance == cervical.balance


class Stop(Exception):
    """Somebody pressed Ctrl-C."""


class StopsAfter(Inline):
    """An executor that is interrupted after so many units of each stage."""

    def __init__(self, store_url: str, units: int) -> None:
        super().__init__(store_url)
        self._left = units

    def run(self, job: Job, units: Sequence[Unit]) -> Iterator[UnitReport]:  # type: ignore[override]
        for report in super().run(job, units):
            if self._left == 0:
                raise KeyboardInterrupt
            self._left -= 1
            yield report


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(lumbar: Curated, tmp_path: Path) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(f"{text}\n[runtime]\nunit_megabytes = 1\n")
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    for units in (1, 2, 2):
        with pytest.raises(KeyboardInterrupt):
            run(spec, workspace, StopsAfter(workspace.store.url, units), Watch(Console(quiet=True)))
        settled = len(Ledger(workspace.store, "volumes").outcomes())
    assert 0 < settled < lumbar.balance.done
    before = set(workspace.store.list("ledger/volumes"))
    finished = curate(folder)
    assert before < set(workspace.store.list("ledger/volumes"))
    kept = {key: value for key, value in digests(spec.store).items() if not key.startswith("catalogue/plan/")}
    calm = {key: value for key, value in digests(lumbar.spec.store).items() if not key.startswith("catalogue/plan/")}
    assert kept == calm
    assert finished.balance == lumbar.balance


def test_a_finished_run_has_nothing_left_to_do(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    curate(folder)
    receipts = list(open_workspace(read_spec(folder / "spec.toml")).store.list("ledger"))
    again = curate(folder)
    assert list(again.workspace.store.list("ledger")) == receipts


def test_a_changed_file_rebuilds_its_series_alone(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    before = curate(folder)
    uris = {row["series_key"]: row["uri"] for row in before.manifest("volumes").to_pylist()}
    done = {row["study"] for row in cervical.truth("series") if row["site"] == "site-d"}
    files = sorted(path for path in (folder / "site-d").rglob("*.dcm") if path.parent.name in done)
    changed = files[len(files) // 2]
    content = bytearray(changed.read_bytes())
    content[-1000] ^= 1  # one bit of one pixel: the header is as it was
    changed.write_bytes(content)
    after = curate(folder)
    assert after.balance.done == before.balance.done
    moved = {row["study_key"] for row in after.manifest("volumes").to_pylist() if row["uri"] != uris[row["series_key"]]}
    assert moved == {after.workspace.pseudonyms.uid(changed.parent.name)}


def test_another_spacing_makes_other_volumes_and_leaves_the_old_ones(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    old = curate(folder).manifest("volumes")["uri"].to_pylist()
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace("spacing_mm = [1.5, 1.5, 1.5]", "spacing_mm = [2.0, 2.0, 2.0]"))
    assert "2.0, 2.0" in spec.read_text()
    second = curate(folder)
    assert second.balance.done == len(old)
    for row in second.manifest("volumes").to_pylist():
        assert row["spacing_mm"] == pytest.approx([2.0, 2.0, 2.0])
        assert row["uri"] not in old


def test_another_key_gives_nothing_in_common(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    (folder / "curate.key").chmod(0o600)
    (folder / "curate.key").write_text("7" * 64)
    other = curate(folder)

    def keys(one: Curated) -> set[str]:
        rows = one.manifest("series").to_pylist()
        names = ("patient_key", "study_key", "series_key", "fingerprint")
        return {row[name] for row in rows for name in names if row[name] is not None}

    assert keys(other).isdisjoint(keys(cervical))


def test_nothing_temporary_stays_behind(curated: Curated) -> None:
    names = [path.name for path in Path(curated.workspace.store.url).rglob("*") if path.is_file()]
    assert not [name for name in names if name.startswith(".") or name.endswith(".tmp")]


def in_partitions(folder: Path, instances: int) -> Curated:
    """Run the spec of a folder with so many instances to a partition."""
    spec = folder / "spec.toml"
    text = spec.read_text().split("\n[runtime]\npartition_instances")[0]
    spec.write_text(f"{text}\n[runtime]\npartition_instances = {instances}\n")
    return curate(folder)


def results(curated: Curated) -> dict[str, str]:
    return {key: value for key, value in digests(curated.spec.store).items() if not key.startswith("catalogue/")}


def test_any_number_of_partitions_gives_the_same_manifests_and_outputs(lumbar: Curated, tmp_path: Path) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    many = in_partitions(folder, 100)
    store = many.workspace.store
    assert read_index(lumbar.workspace.store, INSTANCES_TABLE).partitions == 1
    assert read_index(store, INSTANCES_TABLE).partitions == 8
    assert results(many) == results(lumbar)
    assert many.balance == lumbar.balance
    for table in (INSTANCES_TABLE, SERIES_TABLE, FILES_TABLE):
        one, eight = (
            sort_rows(read_whole(each, table), SORT_KEYS[table.rpartition("/")[2]])
            for each in (lumbar.workspace.store, store)
        )
        assert one.equals(eight), table
    receipts = list(store.list("ledger"))
    for instances in (2**20, 30):  # fewer partitions: those of before lie there still; then more
        again = in_partitions(folder, instances)
        assert list(store.list("ledger")) == receipts
        assert results(again) == results(lumbar)
        assert again.balance == lumbar.balance


def test_a_catalogue_is_grouped_again_only_when_something_of_it_has_changed(lumbar: Curated, tmp_path: Path) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    first = curate(folder)

    def written() -> dict[str, int]:
        roots = (first.spec.store / "catalogue", first.spec.private_zone / "sources")
        return {str(path): path.stat().st_mtime_ns for root in roots for path in root.rglob("*-of-*.parquet")}

    before = written()
    assert len(before) == 5
    curate(folder)
    assert written() == before
    (first.spec.private_zone / "sources/index.json").unlink()
    curate(folder)
    assert {path for path, when in written().items() if when == before[path]} == {
        str(first.spec.store / "catalogue/plan/00000-of-00001.parquet")
    }


def test_an_archive_that_moved_is_found_again_and_nothing_is_redone(lumbar: Curated, tmp_path: Path) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    first = curate(folder)
    receipts = list(first.workspace.store.list("ledger"))
    (folder / "site-a").rename(folder / "moved")
    spec = folder / "spec.toml"
    text = spec.read_text()
    assert '"site-a"]' in text
    spec.write_text(text.replace('"site-a"]', '"moved"]'))
    again = curate(folder)
    assert list(again.workspace.store.list("ledger")) == receipts
    archives = set(read_whole(again.workspace.private, SOURCES_TABLE)["archive"].to_pylist())
    assert str(folder / "moved") in archives
    assert str(folder / "site-a") not in archives
