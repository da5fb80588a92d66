"""The crosswalk of a run finds every planted patient again, and lies where it may."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from curate.errors import Misconfigured
from pipelines.crosswalk import read_crosswalk, write_crosswalk
from tests.support.curated import Curated


def key_of(curated: Curated) -> str:
    assert curated.spec.deid.key is not None
    return curated.spec.deid.key


def test_every_planted_patient_id_of_a_finished_series_is_found_again(lumbar: Curated, tmp_path: Path) -> None:
    path = tmp_path / "crosswalk"
    rows = write_crosswalk(lumbar.spec, lumbar.workspace, path)
    table = read_crosswalk(path, key_of(lumbar)).to_pylist()
    assert rows == len(table) > 0
    done = [row for row in lumbar.manifest("series").to_pylist() if row["status"] == "done"]
    assert {row["patient_key"] for row in table} == {row["patient_key"] for row in done}
    owner = {row["study_key"]: row["patient_key"] for row in done}
    for plant in lumbar.truth("planted"):
        study = lumbar.workspace.pseudonyms.uid(plant["study"])
        if plant["place"] in ("(0010,0020)", "(0010,1002)>(0010,0020)") and study in owner:
            found = {row["released"] for row in table if (row["kind"], row["source"]) == ("patient", plant["value"])}
            assert owner[study] in found


def test_it_is_for_its_owner_alone_and_the_same_each_time(lumbar: Curated, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_crosswalk(lumbar.spec, lumbar.workspace, first)
    second.write_bytes(b"an older one")
    second.chmod(0o644)
    write_crosswalk(lumbar.spec, lumbar.workspace, second)
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_it_is_refused_in_the_store_and_where_there_is_no_folder(lumbar: Curated, tmp_path: Path) -> None:
    for place in (lumbar.spec.store / "crosswalk", lumbar.spec.store / "release" / "crosswalk", tmp_path / "no" / "x"):
        with pytest.raises(Misconfigured, match="crosswalk"):
            write_crosswalk(lumbar.spec, lumbar.workspace, place)
        assert not place.exists()


def test_a_file_that_is_none_is_refused(lumbar: Curated, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"PAR1")
    for path in (tmp_path / "other", tmp_path / "missing"):
        with pytest.raises(Misconfigured, match="crosswalk"):
            read_crosswalk(path, key_of(lumbar))
