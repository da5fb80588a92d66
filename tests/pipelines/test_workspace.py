"""Two zones and a key: what a spec opens, what travels to workers, and what counts as the same curation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import Misconfigured
from pipelines.spec import read_spec
from pipelines.workspace import (
    curation_digest,
    describe_workspace,
    open_workspace,
    restore_workspace,
    spec_digest,
    volume_parameters,
)
from tests.support.hand_made import write_spec

SECRET = "5a" * 32


def changed(folder: Path, old: str, new: str) -> Path:
    spec = write_spec(folder)
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new))
    return spec


def digests_of(spec: Path) -> tuple[str, str]:
    read = read_spec(spec)
    workspace = open_workspace(read)
    return curation_digest(read, workspace), spec_digest(read, workspace)


def test_what_travels_to_workers_is_json_without_the_key(tmp_path: Path) -> None:
    spec = read_spec(write_spec(tmp_path))
    description = json.dumps(describe_workspace(spec))
    assert SECRET not in description
    assert bytes.fromhex(SECRET).decode("latin-1") not in description
    again = restore_workspace(json.loads(description))
    assert again.pseudonyms.uid("1.2.3") == open_workspace(spec).pseudonyms.uid("1.2.3")


def test_a_workspace_shows_no_secret(tmp_path: Path) -> None:
    workspace = open_workspace(read_spec(write_spec(tmp_path)))
    assert SECRET not in repr(workspace)
    assert "ZZZZ" not in repr(workspace)  # the key as bytes


def test_opening_writes_nothing(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    open_workspace(read_spec(spec))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_private_zone_of_ones_own_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    workspace = open_workspace(read_spec(changed(tmp_path, 'store = "store"', 'store = "store"\nprivate = "zone"')))
    workspace.private.put_new("sources.parquet", b"x")
    assert (tmp_path / "zone").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "store.private").exists()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o704])
def test_a_private_zone_that_is_open_is_refused(tmp_path: Path, mode: int) -> None:
    spec = read_spec(write_spec(tmp_path))
    spec.private_zone.mkdir()
    spec.private_zone.chmod(mode)
    with pytest.raises(Misconfigured, match="chmod 700"):
        open_workspace(spec)
    spec.private_zone.chmod(0o700)
    open_workspace(spec)


@pytest.mark.parametrize("content", ["5a" * 15, "", "\n"])
def test_a_short_key_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    spec = read_spec(write_spec(tmp_path))
    (tmp_path / "curate.key").write_text(content)
    with pytest.raises(Misconfigured) as caught:
        open_workspace(spec)
    assert "5a5a" not in str(caught.value)


def test_a_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = open_workspace(read_spec(write_spec(tmp_path)))
    spec = changed(tmp_path, "file:curate.key", "env:SOME_KEY")
    monkeypatch.setenv("SOME_KEY", SECRET)
    assert open_workspace(read_spec(spec)).pseudonyms.fingerprint == plain.pseudonyms.fingerprint
    monkeypatch.setenv("SOME_KEY", "6b" * 32)
    assert open_workspace(read_spec(spec)).pseudonyms.fingerprint != plain.pseudonyms.fingerprint


def test_an_unknown_profile_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="thorough"):
        read_spec(changed(tmp_path, "[deid]", '[deid]\nprofile = "thorough"'))


def test_a_profile_that_cleans_pixels_is_refused_at_once_where_text_cannot_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = changed(tmp_path, "[deid]", '[deid]\nprofile = "mira"')
    open_workspace(read_spec(spec))
    monkeypatch.setattr("curate.deid.pixels.ocr.importlib.util.find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match=r"spine-curate\[ocr\]"):
        open_workspace(read_spec(spec))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"source", "source", "source"', "1.0, 1.0, 1.0"),
        ('orientation = "radiological"', 'orientation = "SPL"'),
        ("minimum_slices = 3", "minimum_slices = 4"),
        ('task = "cervical"', 'task = "lumbar"'),
        ('salt = "s"', 'salt = "t"'),
        ('archives = ["archive"]', 'archives = ["archive"]\nassume_modality = true'),
        ('archives = ["archive"]', 'archives = ["archive"]\nlayout = "{study}/{instance}.dcm"'),
    ],
)
def test_what_changes_a_manifest_changes_the_digest_of_the_curation(tmp_path: Path, old: str, new: str) -> None:
    same = digests_of(write_spec(tmp_path))
    other = digests_of(changed(tmp_path, old, new))
    assert other[0] != same[0]
    assert other[1] != same[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('archives = ["archive"]', 'archives = ["moved"]'),
        ('store = "store"', 'store = "elsewhere"'),
        ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\n[runtime]\nunit_megabytes = 3\nexecutor = "inline"'),
        ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\n[train]\nepochs = 3'),
    ],
)
def test_where_things_lie_and_how_they_run_change_no_digest(tmp_path: Path, old: str, new: str) -> None:
    assert digests_of(write_spec(tmp_path)) == digests_of(changed(tmp_path, old, new))


def test_the_name_of_a_release_is_no_part_of_the_curation(tmp_path: Path) -> None:
    same = digests_of(write_spec(tmp_path))
    other = digests_of(changed(tmp_path, 'version = "1.0.0"', 'version = "1.0.1"'))
    assert other[0] == same[0]
    assert other[1] != same[1]


def test_another_key_is_another_curation(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    same = digests_of(spec)
    (tmp_path / "curate.key").write_text("6b" * 32)
    assert digests_of(spec)[0] != same[0]


def test_parameters_name_no_place(tmp_path: Path) -> None:
    spec = read_spec(write_spec(tmp_path))
    text = json.dumps(volume_parameters(spec, open_workspace(spec)))
    assert str(tmp_path) not in text
    assert "archive" not in text
