"""The same spec against a bucket: one line changed, the same bytes, also where the network and the server misbehave."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curate.dicom import FileRef, Limits, SourceReader, list_archive
from curate.errors import Misconfigured
from curate.phantoms import make_phantoms
from curate.storage import NodeCache, Store, open_store, sha256_bytes
from curate.volumes import open_volume
from pipelines.cli.app import app
from pipelines.known import read_identifiers
from pipelines.release import release, verify
from pipelines.spec import read_spec
from pipelines.train import StagedSettings
from pipelines.training import train_spec
from tests.support.curated import Curated, copy_archive, curate, few_slices
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET, moto_server, point_at, rclone_server

HOSPITALS = f"s3://{BUCKET}/{secrets.token_hex(4)}"
STORE = f"{HOSPITALS}/neck"


@dataclass(frozen=True)
class Moved:
    """What a run gave whose store is in a bucket."""

    curated: Curated
    server: str
    struck: dict[Fault, int]


def contents(store: Store) -> dict[str, str]:
    """Digest of every object but events and releases, receipts without the memory that was measured."""
    keys = [key for key in store.list() if key.split("/")[0] not in ("events", "release")]
    return {key: sha256_bytes(without_memory(key, store.get(key))) for key in keys}


def without_memory(key: str, content: bytes) -> bytes:
    if not key.startswith("ledger/"):
        return content
    receipt: dict[str, Any] = json.loads(content)
    return json.dumps({name: value for name, value in receipt.items() if name != "peak_memory_bytes"}).encode()


def kinds_of(private: Store) -> Counter[str]:
    """How many objects lie in each folder of a private zone; names of listings tell where an archive lies."""
    return Counter(key.split("/")[0] for key in private.list())


def move(archive: Path, folder: Path, *lines: str, store: str = STORE) -> Path:
    """A copy of an archive whose spec has another ``store``, and nothing else unless more lines are given."""
    copied = copy_archive(archive, folder)
    spec = copied / "spec.toml"
    spec.write_text(spec.read_text().replace('store = "store"', "\n".join([f'store = "{store}"', *lines])))
    return copied


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects") / "neck"
    with few_slices():
        make_phantoms(folder, task="cervical", sites=1, studies=1, seed=5, defects=True, identifiers=True, matrix=48)
    return folder


@pytest.fixture(scope="module")
def calm(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """In a folder."""
    return curate(copy_archive(archive, tmp_path_factory.mktemp("calm") / "neck"))


@pytest.fixture(scope="module")
def moved(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """In a bucket, behind faults; then the faults end."""
    folder = move(archive, tmp_path_factory.mktemp("moved") / "neck")
    with pytest.MonkeyPatch.context() as environment, moto_server() as server:
        with FaultProxy(server, seed=11, share=0.15, slow_seconds=0.05) as proxy:
            point_at(proxy.url, environment)
            curated = curate(folder)
        point_at(server, environment)
        yield Moved(curated, server, dict(proxy.struck))


def test_the_store_in_a_bucket_holds_the_bytes_of_the_store_in_a_folder(calm: Curated, moved: Moved) -> None:
    assert contents(moved.curated.workspace.store) == contents(calm.workspace.store)
    assert set(moved.struck) == set(Fault), "every kind of fault happened"
    assert sum(moved.struck.values()) > 50


def test_no_fault_of_the_network_is_blamed_on_an_item(calm: Curated, moved: Moved) -> None:
    assert moved.curated.balance == calm.balance


def test_what_identifies_stays_in_a_folder_beside_the_spec(calm: Curated, moved: Moved) -> None:
    private = moved.curated.spec.private_zone
    assert private == moved.curated.folder / "neck.private"
    assert Path(private).stat().st_mode & 0o777 == 0o700
    assert kinds_of(open_store(private)) == kinds_of(calm.workspace.private)
    assert {key.split("/")[0] for key in open_store(HOSPITALS).list()} == {"neck"}


def test_a_next_run_finds_all_of_it_done(moved: Moved, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(moved.curated.workspace.store)
    assert curate(moved.curated.folder).balance == moved.curated.balance
    assert contents(moved.curated.workspace.store) == before


def test_questions_are_answered_from_the_bucket(
    moved: Moved, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = moved.curated.workspace.store
    app(["status", STORE], standalone_mode=False)
    said = capsys.readouterr().out
    assert "volumes" in said
    assert "finished: every series has its outcome" in said
    app(["failures", f"{STORE}/"], standalone_mode=False)
    said = capsys.readouterr().out
    failed = re.search(r"site-.\W+([\d.]+|\w+)\W+rejected", said)
    assert failed, said
    app(["why", STORE, failed[1]], standalone_mode=False)
    assert failed[1] in capsys.readouterr().out
    root = next(key for key in store.list("volumes") if key.endswith(".zarr/zarr.json")).removesuffix("/zarr.json")
    app(["show", f"{STORE}/{root}", "--out", str(tmp_path / "picture.png")], standalone_mode=False)
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_place_that_is_no_store_is_refused_by_its_name(moved: Moved, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        app(["status", f"s3://{BUCKET}/elsewhere"], standalone_mode=False)
    assert left.value.code == 2
    assert f"s3://{BUCKET}/elsewhere is no store" in capsys.readouterr().err


def test_volumes_are_read_in_parts_from_the_bucket(calm: Curated, moved: Moved) -> None:
    for row in calm.manifest("volumes").to_pylist():
        here, there = open_volume(f"{calm.workspace.store.url}/{row['uri']}"), open_volume(f"{STORE}/{row['uri']}")
        assert (here.crop((5, 5, 5), (4, 4, 4)) == there.crop((5, 5, 5), (4, 4, 4))).all()


def test_a_release_is_built_into_the_bucket_and_verified_there(
    calm: Curated, moved: Moved, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen, in_folder = (release(one.spec, one.workspace) for one in (moved.curated, calm))
    assert frozen.url == f"{STORE}/release/cervical-phantoms/1.0.0"
    assert frozen.digest == in_folder.digest
    assert contents(open_store(frozen.private_url)) == contents(open_store(in_folder.private_url))
    private = moved.curated.spec.private_zone
    app(["verify", frozen.url, "--digest", frozen.digest, "--private", str(private)], standalone_mode=False)
    said = capsys.readouterr().out
    assert f"searched for {len(frozenset(read_identifiers(open_store(private))))} known identifiers" in said
    assert "nothing is wrong" in said
    store = open_store(frozen.url)
    store.put("README.md", store.get("README.md").replace(b"studies", b"studees", 1))
    store.put_new("notes.txt", b"call me")
    store.delete("manifests/series.parquet")
    kinds = {finding.kind.value for finding in verify(frozen.url, private=None)[0]}
    assert {"changed", "extra", "missing"} <= kinds


def test_a_release_that_is_not_there_is_refused(moved: Moved) -> None:
    with pytest.raises(Misconfigured, match="nothing at this URL"):
        verify(f"{STORE}/release/none/1.0.0", private=None)


def test_the_index_of_a_tar_gz_is_kept_in_a_private_zone_in_a_bucket(moved: Moved, tmp_path: Path) -> None:
    content = secrets.token_bytes(100_000)
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as archive:
        for name in ("a.dcm", "b.dcm"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    refs = [one for one in list_archive(tmp_path / "archive.tar.gz", Limits()) if isinstance(one, FileRef)]
    place = f"{HOSPITALS}-indexes"
    for ref in refs:
        with SourceReader(indexes=place) as reader:
            assert reader.read(ref) == content
    assert len(list(open_store(place).list())) == 1


def test_training_from_a_bucket_leaves_its_checkpoints_there_and_volumes_on_the_node(
    moved: Moved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # for the ranks that are started
    once = StagedSettings(epochs=1, workers=1)
    result = train_spec(moved.curated.spec.model_copy(update={"train": once}), moved.curated.workspace)
    store = moved.curated.workspace.store
    assert result.final.checkpoint.startswith(f"{store.url}/training/runs/")
    assert sorted(open_store(result.final.checkpoint).list()) == ["checkpoint.json", "optimiser.npz", "weights.npz"]
    assert store.exists("training/result.json")
    assert store.get("training/submission.csv").startswith(b"row_id,fractured\n")
    kept = [path.read_bytes() for _, _, path in NodeCache(tmp_path / f"curate-volumes-{os.getuid()}", 0).objects()]
    assert kept
    assert {sha256_bytes(content) for content in kept} <= set(contents(store).values())


def test_workers_of_ray_reach_both_zones_in_the_bucket_by_the_environment_alone(
    calm: Curated, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{HOSPITALS}-by-ray"
    folder = move(archive, tmp_path / "neck", f'private = "{place}/private"', store=f"{place}/store")
    with moto_server() as server:
        point_at(server, monkeypatch)
        curated = curate(folder, executor="ray", workers=2)
        assert contents(curated.workspace.store) == contents(calm.workspace.store)
        assert kinds_of(open_store(f"{place}/private")) == kinds_of(calm.workspace.private)
        assert [path.name for path in folder.iterdir() if path.name.startswith(("store", "neck"))] == []


def test_a_run_on_a_server_that_replaces_objects_is_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = move(archive, tmp_path / "neck")
    with rclone_server(tmp_path / "served") as server:
        point_at(server, monkeypatch)
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        for verb in ("plan", "run"):
            with pytest.raises(SystemExit) as left:
                app([verb, str(folder / "spec.toml"), "--executor", "inline"], standalone_mode=False)
            assert left.value.code == 2
        assert list(open_store(STORE).list()) == []
    said = capsys.readouterr().err
    assert f"{STORE}: " in said
    assert "replaces an object silently" in said
    assert "a-secret" not in said


def test_a_store_and_a_private_zone_in_one_place_are_refused(archive: Path, tmp_path: Path) -> None:
    for number, private in enumerate((STORE, f"{STORE}/private", HOSPITALS)):
        folder = move(archive, tmp_path / str(number), f'private = "{private}"')
        with pytest.raises(Misconfigured, match="store and private lie one inside the other"):
            read_spec(folder / "spec.toml")
    folder = move(archive, tmp_path / "apart", f'private = "{STORE}2"')
    assert read_spec(folder / "spec.toml").private_zone == f"{STORE}2"


def test_a_url_with_a_password_is_refused_by_its_key_and_not_repeated(archive: Path, tmp_path: Path) -> None:
    folder = move(archive, tmp_path / "neck", 'private = "s3://AKIA:hunter2@bucket/x"')
    with pytest.raises(Misconfigured, match=r"private: .*environment") as caught:
        read_spec(folder / "spec.toml")
    assert "hunter2" not in str(caught.value)
