"""Listing and scanning: keyed rows in the store, locations in the private zone, refusals by the key of the spec."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from cluster.executors import Inline
from curate.errors import Misconfigured
from curate.manifests import read_table
from pipelines.catalogue import LISTING, PROCESS_MEMORY, catalogue_job, file_ref, list_sites, listing_key
from pipelines.grouping import FILES_TABLE, INSTANCES_TABLE, SOURCES_TABLE
from pipelines.packing import PLAN_TABLE, Amount
from pipelines.partitions import read_whole
from pipelines.plan import make_plan
from pipelines.spec import read_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.curated import Curated, copy_archive, curate


def listed(curated: Curated) -> pa.Table:
    """All rows of the listing."""
    chunks = list_sites(curated.spec, curated.workspace).chunks
    return pa.concat_tables(read_table(curated.workspace.private, listing_key(chunk.fingerprint)) for chunk in chunks)


def test_every_file_of_every_archive_is_listed_in_one_chunk(cervical: Curated) -> None:
    listing = listed(cervical)
    assert listing.schema.names == LISTING.names
    chunks = [item.key for item in list_sites(cervical.spec, cervical.workspace).chunks]
    assert sorted(chunks) == sorted(set(listing["chunk"].to_pylist()))
    keys = listing["file_key"].to_pylist()
    assert len(set(keys)) == len(keys)
    folder = Path(cervical.folder, "site-a")
    members = {row["member"] for row in listing.to_pylist() if row["site"] == "site-a"}
    assert members == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_listed_are_files_accounted_for(cervical: Curated) -> None:
    listing = listed(cervical)
    instances = read_whole(cervical.workspace.store, INSTANCES_TABLE)
    files = read_whole(cervical.workspace.store, FILES_TABLE)
    accounted = instances["file_key"].to_pylist() + files["file_key"].to_pylist()
    assert sorted(accounted) == sorted(listing["file_key"].to_pylist())


def test_chunks_are_as_small_as_the_spec_says_and_stay_equal_until_a_file_changes(
    cervical: Curated, tmp_path: Path
) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(f"{text}\n[runtime]\nfiles_per_chunk = 50\n")
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    before = list_sites(spec, workspace)
    items = before.chunks
    assert len(items) > 10
    assert list_sites(spec, workspace) == before
    one = next((folder / "site-a").rglob("*.dcm"))
    one.write_bytes(one.read_bytes() + b"\0\0")
    changed = list_sites(spec, workspace).chunks
    different = [old.key for old, new in zip(items, changed, strict=True) if old.fingerprint != new.fingerprint]
    assert len(different) == 1


def test_a_missing_archive_is_refused_with_its_place_in_the_spec(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    shutil.rmtree(folder / "site-a")
    spec = read_spec(folder / "spec.toml")
    with pytest.raises(Misconfigured, match=r"sites\.site-a\.archives\.0: .*does not exist"):
        list_sites(spec, open_workspace(spec))


def test_an_empty_archive_is_refused(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    (folder / "site-b.zip").unlink()
    zipfile.ZipFile(folder / "site-b.zip", "w").close()
    spec = read_spec(folder / "spec.toml")
    with pytest.raises(Misconfigured, match=r"sites\.site-b\.archives\.0: .*holds no files"):
        list_sites(spec, open_workspace(spec))


def test_the_job_travels_without_the_key(cervical: Curated) -> None:
    job = catalogue_job(cervical.spec, cervical.workspace)
    secret = (cervical.folder / "curate.key").read_text().strip()
    assert secret not in str(job)
    assert secret not in str(cervical.workspace)


def test_locations_are_absolute_so_that_workers_may_start_anywhere(cervical: Curated) -> None:
    sources = read_whole(cervical.workspace.private, SOURCES_TABLE).to_pylist()
    assert all(Path(file_ref(row).archive).is_absolute() for row in sources)
    assert len({row["series_key"] for row in sources}) == cervical.balance.series


def test_planning_writes_no_image(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    plan = make_plan(spec, workspace, Inline(workspace.store.url), Watch(Console(quiet=True)))
    assert sorted({key.split("/")[0] for key in workspace.store.list()}) == ["catalogue", "ledger"]
    assert list(workspace.store.list("ledger/catalogue")) == list(workspace.store.list("ledger"))
    assert list(plan.read_left()) == list(plan.read_units())
    assert plan.left == plan.amount
    planned = read_whole(workspace.store, PLAN_TABLE)
    assert sorted(planned["series_key"].to_pylist()) == sorted(item.key for item in plan.read_items())


def test_a_plan_is_the_same_before_and_after_the_work(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    before = make_plan(spec, workspace, Inline(workspace.store.url), Watch(Console(quiet=True)))
    curate(folder)
    after = make_plan(spec, workspace, Inline(workspace.store.url), Watch(Console(quiet=True)))
    assert after.index == before.index
    assert after.left == Amount()


def test_what_fits_no_lane_is_named_and_the_rest_goes_on(
    cervical: Curated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = sorted(row["memory_bytes"] for row in cervical.by_series("series").values() if row["status"] == "done")
    limit = (PROCESS_MEMORY + sizes[-2]) * 5 // 4
    assert limit < (PROCESS_MEMORY + sizes[-1]) * 5 // 4
    monkeypatch.setattr("pipelines.plan.lane_bytes", lambda runtime, machine: (limit,))
    found = curate(copy_archive(cervical.folder, tmp_path / "copy"))
    assert found.balance.quarantined["too_large"] >= 1
    assert found.balance.done == cervical.balance.done - 1
