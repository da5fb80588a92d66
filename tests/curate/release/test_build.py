import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import Misconfigured, Quarantined, Unavailable
from curate.manifests import schemas
from curate.release import ReleaseDescription, ReleaseSummary, build_release, verify_release
from curate.storage import LocalStore
from curate.volumes import open_volume
from tests.support.release_store import Made, describe


def build(made: Made, destination: Path, **changes: object) -> ReleaseSummary:
    options = {
        "description": made.description,
        "deidentification": made.statement,
        "manifests": made.manifests,
        **changes,
    }
    return build_release(made.store, destination, **options)  # type: ignore[arg-type]


def snapshot(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def copied_store(made: Made, root: Path) -> Made:
    shutil.copytree(made.store.root, root)
    return replace(made, store=LocalStore(root))


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_coreutils_confirm_every_file_of_a_release(request: pytest.FixtureRequest, task: str) -> None:
    built: ReleaseSummary = request.getfixturevalue(f"built_{task}")
    for folder in (built.path, built.private_path):
        done = subprocess.run(
            ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True, text=True
        )
        assert done.stdout.count(": OK\n") == sum(path.is_file() for path in folder.rglob("*")) - 1


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_two_builds_of_the_same_store_are_the_same_bytes_whatever_the_order_of_rows(
    request: pytest.FixtureRequest, tmp_path: Path, task: str
) -> None:
    made: Made = request.getfixturevalue(f"made_{task}")
    built: ReleaseSummary = request.getfixturevalue(f"built_{task}")
    backwards = {
        name: table.take(pa.array(range(table.num_rows)[::-1], pa.int64())) for name, table in made.manifests.items()
    }
    again = build(made, tmp_path, manifests=backwards)
    assert again.digest == built.digest
    assert snapshot(tmp_path) == snapshot(built.path.parents[1])


def test_a_release_holds_what_the_store_holds_byte_for_byte(made_lumbar: Made, built_lumbar: ReleaseSummary) -> None:
    in_store = {row["instance_key"]: row["dicom"] for row in made_lumbar.manifests["slices"].to_pylist()}
    slices = pq.read_table(built_lumbar.path / "manifests" / "slices.parquet").to_pylist()
    assert len(slices) == 36
    for row in slices:
        assert (built_lumbar.path / row["dicom"]).read_bytes() == made_lumbar.store.get(in_store[row["instance_key"]])


def test_the_volumes_of_a_release_open_and_hold_the_voxels_of_the_store(
    made_cervical: Made, built_cervical: ReleaseSummary
) -> None:
    source = {row["series_key"]: row["uri"] for row in made_cervical.manifests["volumes"].to_pylist()}
    rows = pq.read_table(built_cervical.path / "manifests" / "volumes.parquet").to_pylist()
    assert len(rows) == 6
    for row in rows:
        released = open_volume(str(built_cervical.path / row["uri"]))
        original = open_volume(str(made_cervical.store.root / source[row["series_key"]]))
        assert released.grid == original.grid
        assert (released.read() == original.read()).all()
        assert tuple(released.label_names) == (() if row["split"] == "test" else ("vertebrae",))


def test_the_private_folder_is_for_the_owner_only_and_holds_the_answers(built_cervical: ReleaseSummary) -> None:
    private = built_cervical.private_path
    assert private.name == "1.0.0-private"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert (private / "solution.csv").read_text().count("\n") == 9
    assert json.loads((private / "release.json").read_text())["public_sha256sums"] == built_cervical.digest
    assert not (built_cervical.path / "solution.csv").exists()


def test_the_summary_states_what_lies_there(built_cervical: ReleaseSummary) -> None:
    files = [path for path in built_cervical.path.rglob("*") if path.is_file()]
    assert built_cervical.files == len(files)
    assert built_cervical.size_bytes == sum(path.stat().st_size for path in files)
    sums = (built_cervical.path / "SHA256SUMS").read_bytes()
    assert built_cervical.digest == hashlib.sha256(sums).hexdigest()
    assert not built_cervical.was_frozen


def test_a_frozen_version_with_the_same_content_is_found_and_left_alone(made_cervical: Made, tmp_path: Path) -> None:
    first = build(made_cervical, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = build(made_cervical, tmp_path)
    assert second.was_frozen
    assert (second.digest, second.files, second.size_bytes) == (first.digest, first.files, first.size_bytes)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "change",
    [
        lambda made: {"description": describe("cervical", title="Another title")},
        lambda made: {"include_volumes": False},
        lambda made: {"manifests": {**made.manifests, "samples": made.manifests["samples"].slice(1)}},
    ],
)
def test_a_frozen_version_is_never_overwritten_by_other_content(
    made_cervical: Made, tmp_path: Path, change: Callable[[Made], dict[str, object]]
) -> None:
    build(made_cervical, tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(Misconfigured, match="frozen with other content"):
        build(made_cervical, tmp_path, **change(made_cervical))
    assert snapshot(tmp_path) == before


def test_another_version_stands_beside_the_first(made_cervical: Made, tmp_path: Path) -> None:
    build(made_cervical, tmp_path)
    build(made_cervical, tmp_path, description=describe("cervical", version="1.1.0"))
    assert sorted(os.listdir(tmp_path / "six-cervical")) == ["1.0.0", "1.0.0-private", "1.1.0", "1.1.0-private"]


@pytest.mark.parametrize("writes", [1, 7, 30, 60])
def test_an_interrupted_build_goes_on_and_ends_with_the_same_bytes(
    made_cervical: Made, built_cervical: ReleaseSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    left = writes
    put_new = LocalStore.put_new

    def failing(self: LocalStore, key: str, content: bytes | memoryview) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unavailable("cannot write: No space left on device")
        return put_new(self, key, content)

    monkeypatch.setattr(LocalStore, "put_new", failing)
    with pytest.raises(Unavailable):
        build(made_cervical, tmp_path)
    monkeypatch.setattr(LocalStore, "put_new", put_new)
    assert any(tmp_path.rglob("*.dcm"))
    assert not list(tmp_path.glob("*/1.0.0/SHA256SUMS"))
    again = build(made_cervical, tmp_path)
    assert again.digest == built_cervical.digest
    assert snapshot(tmp_path) == snapshot(built_cervical.path.parents[1])


@pytest.mark.parametrize("left_over", ["train_images/9.dcm", "README.md", "notes.txt"])
def test_an_unfinished_folder_of_another_build_is_refused(made_cervical: Made, tmp_path: Path, left_over: str) -> None:
    stray = tmp_path / "six-cervical" / "1.0.0" / left_over
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"of another build")
    with pytest.raises(Misconfigured, match="another build"):
        build(made_cervical, tmp_path)
    assert stray.read_bytes() == b"of another build"
    assert not (tmp_path / "six-cervical" / "1.0.0" / "SHA256SUMS").exists()


@pytest.mark.parametrize("kind", ["dicom", "voxels"])
def test_an_object_that_changed_in_the_store_is_never_released(made_cervical: Made, tmp_path: Path, kind: str) -> None:
    made = copied_store(made_cervical, tmp_path / "store")
    if kind == "dicom":
        path = made.store.path(made.manifests["slices"]["dicom"][0].as_py())
    else:
        path = made.store.path(f"{made.manifests['volumes']['uri'][0].as_py()}/0/c/0/0/0")
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(Quarantined, match="verification_failed"):
        build(made, tmp_path / "release")


@pytest.mark.parametrize("pattern", ["dicom/**/*.dcm", "volumes/**/zarr.json", "volumes/**/c/0/0/0"])
def test_an_object_that_is_missing_in_the_store_is_named_by_its_release_path(
    made_cervical: Made, tmp_path: Path, pattern: str
) -> None:
    made = copied_store(made_cervical, tmp_path / "store")
    next(iter(sorted(made.store.root.glob(pattern)))).unlink()
    with pytest.raises((Quarantined, FileNotFoundError)) as error:
        build(made, tmp_path / "release")
    assert str(tmp_path) not in str(error.value)


def test_an_image_larger_than_the_limit_is_copied_all_the_same(
    made_cervical: Made, built_cervical: ReleaseSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.release.build._LARGE", 1000)
    assert build(made_cervical, tmp_path).digest == built_cervical.digest


def test_progress_ends_with_every_copied_file(made_cervical: Made, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    build(made_cervical, tmp_path, progress=lambda done, files: calls.append((done, files)))
    assert [done for done, _ in calls] == list(range(1, calls[-1][1] + 1))


def test_a_release_without_volumes_verifies(made_cervical: Made, tmp_path: Path) -> None:
    built = build(made_cervical, tmp_path, include_volumes=False)
    assert not (built.path / "volumes").exists()
    assert built.counts.total("volumes") == 0
    assert verify_release(built.path, identifiers=made_cervical.identifiers) == []


def test_no_file_of_a_release_knows_where_or_when_it_was_made(built_cervical: ReleaseSummary) -> None:
    content = b"".join(path.read_bytes() for path in sorted(built_cervical.path.rglob("*")) if path.is_file())
    assert str(built_cervical.path).encode() not in content
    assert built_cervical.path.parent.parent.name.encode() not in content


def test_the_description_must_fit_the_manifests(made_cervical: Made, tmp_path: Path) -> None:
    wrong: ReleaseDescription = describe("lumbar")
    with pytest.raises(Misconfigured, match="samples manifest"):
        build(made_cervical, tmp_path, description=wrong)
    doubled = pa.concat_tables([made_cervical.manifests["slices"]] * 2).cast(schemas.SLICES)
    with pytest.raises(Misconfigured, match="one name"):
        build(made_cervical, tmp_path, manifests={**made_cervical.manifests, "slices": doubled})
