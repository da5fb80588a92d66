"""A spec is refused, with the path of the key, before anything starts."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from curate.errors import Misconfigured
from pipelines.spec import CervicalSpec, LumbarSpec, parse_spec, read_spec

GOOD = tomllib.loads(
    """
    name = "trial"
    task = "cervical"
    store = "store"
    [[sites]]
    name = "site-a"
    archives = ["a", "b.zip"]
    [labels]
    train = "train.csv"
    [deid]
    key = "file:keys/curate.key"
    [volumes]
    spacing_mm = [1.0, "source", 2]
    [split]
    salt = "s"
    validation_fraction = 0.2
    test_fraction = 0.1
    [release]
    name = "trial"
    version = "1.0.0"
    title = "Trial"
    licence = "CC0-1.0"
    """
)


def changed(path: str, value: Any) -> dict[str, Any]:
    content: dict[str, Any] = deepcopy(GOOD)
    section: Any = content
    *parents, last = path.split(".")
    for part in parents:
        section = section[int(part) if part.isdigit() else part]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return content


def test_paths_are_relative_to_the_spec() -> None:
    spec = parse_spec(GOOD, folder=Path("/specs"))
    assert spec.store == Path("/specs/store")
    assert spec.private_zone == Path("/specs/store.private")
    assert spec.sites[0].archives == (Path("/specs/a"), Path("/specs/b.zip"))
    assert spec.deid.key == "file:/specs/keys/curate.key"


def test_a_store_in_a_bucket_has_its_private_zone_in_a_folder_beside_the_spec() -> None:
    spec = parse_spec(changed("store", "s3://bucket/trials/neck/"), folder=Path("/specs"))
    assert spec.store == "s3://bucket/trials/neck"
    assert spec.private_zone == Path("/specs/neck.private")
    assert parse_spec(changed("store", "gs://bucket"), folder=Path("/specs")).private_zone == Path(
        "/specs/bucket.private"
    )


def test_the_private_zone_may_be_named_as_a_folder_or_a_url() -> None:
    content = changed("store", "s3://bucket/trials/neck")
    assert parse_spec({**content, "private": "kept"}, folder=Path("/specs")).private_zone == Path("/specs/kept")
    named = parse_spec({**content, "private": "s3://inside/neck"}, folder=Path("/specs"))
    assert named.private_zone == "s3://inside/neck"
    in_folder = parse_spec({**changed("store", "store"), "private": "s3://inside/neck"}, folder=Path("/specs"))
    assert (in_folder.store, in_folder.private_zone) == (Path("/specs/store"), "s3://inside/neck")


def test_a_file_url_is_the_folder_that_it_names() -> None:
    assert parse_spec(changed("store", "file:///data/a%20b"), folder=Path("/specs")).store == Path("/data/a b")


@pytest.mark.parametrize("private", ["s3://bucket/neck", "s3://bucket/neck/private", "s3://bucket"])
def test_zones_in_one_bucket_are_kept_apart_too(private: str) -> None:
    content = {**changed("store", "s3://bucket/neck"), "private": private}
    with pytest.raises(Misconfigured, match="store and private lie one inside the other"):
        parse_spec(content, folder=Path("/specs"))
    assert parse_spec({**content, "private": "s3://bucket/neck-private"}, folder=Path("/specs")).private_zone


@pytest.mark.parametrize("key", ["store", "private"])
@pytest.mark.parametrize("url", ["gopher://bucket/x", "s3://user:hunter2@bucket/x", "s3://bucket/x?signature=hunter2"])
def test_a_url_that_is_no_place_is_refused_by_its_key(key: str, url: str) -> None:
    with pytest.raises(Misconfigured, match=rf"^{key}: ") as caught:
        parse_spec(changed(key, url), folder=Path("/specs"))
    assert "hunter2" not in str(caught.value)


def test_source_keeps_an_axis_at_its_own_spacing() -> None:
    assert parse_spec(GOOD, folder=Path()).volumes.spacing_mm == (1.0, None, 2.0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("split.validation_fraction", 12, "split.validation_fraction: Input should be less than 1, got 12"),
        ("split.validation_fration", 0.1, "split.validation_fration: unknown key"),
        ("store", None, "store: missing"),
        ("release.version", None, "release.version: missing"),
        ("release.version", "1.0", "release.version: "),
        ("sites.0.archives", [], "sites.0.archives: "),
        ("sites.0.layout", "{series}/x.dcm", "sites.0.layout: "),
        ("volumes.spacing_mm", [1, 1], "volumes.spacing_mm"),
        ("volumes.spacing_mm", [1, 1, -1], "volumes.spacing_mm.2: "),
        ("volumes.orientation", "sideways", "volumes.orientation: "),
        ("labels.coordinates", "x.csv", "labels.coordinates: unknown key"),
        ("deid", {"profile": "basic"}, 'deid: a keyed profile needs key = "env:NAME"'),
        ("deid", {"profile": "basic", "key": "secret"}, "deid.key: "),
        ("split.holdout_sites", ["nowhere"], "names no site of this spec: nowhere"),
        ("task", "knee", "task: expected 'cervical' or 'lumbar', got 'knee'"),
    ],
)
def test_a_wrong_key_is_refused_with_its_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_spec(changed(path, value), folder=Path())
    assert message in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    content = changed("store", None)
    content["bogus"] = 1
    with pytest.raises(Misconfigured) as caught:
        parse_spec(content, folder=Path())
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("train", "path"),
    [
        ({"epochs": 0}, "train.epochs"),
        ({"patience": 1.5}, "train.patience"),
        ({"batchsize": 4}, "train.batchsize: unknown key"),
        ({"stages": {"locate": {"strategy": "zero"}}}, "train.stages.locate.strategy"),
    ],
)
def test_training_settings_are_refused_by_the_path_of_their_key(train: dict[str, Any], path: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_spec({**GOOD, "train": train}, folder=Path("/specs"))
    assert str(caught.value).startswith(path)


def test_a_stage_of_training_may_differ() -> None:
    spec = parse_spec({**GOOD, "train": {"epochs": 9, "stages": {"locate": {"epochs": 4}}}}, folder=Path("/specs"))
    assert spec.train.of("locate", {}).epochs == 4
    assert spec.train.of("classify", {}).epochs == 9


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(Misconfigured, match="leave nothing to train on"):
        parse_spec(changed("split.test_fraction", 0.8), folder=Path())


def test_two_sites_of_one_name_are_refused() -> None:
    content = deepcopy(GOOD)
    content["sites"] = content["sites"] * 2
    with pytest.raises(Misconfigured, match="two sites have the same name"):
        parse_spec(content, folder=Path())


def test_the_task_decides_which_label_files_are_needed() -> None:
    assert isinstance(parse_spec(GOOD, folder=Path()), CervicalSpec)
    lumbar = changed("task", "lumbar")
    with pytest.raises(Misconfigured, match=r"labels\.coordinates: missing \(the lumbar task needs it\)"):
        parse_spec(lumbar, folder=Path())
    lumbar["labels"] = {"train": "t", "coordinates": "c", "series_descriptions": "s"}
    assert isinstance(parse_spec(lumbar, folder=Path()), LumbarSpec)


def test_a_spec_that_is_not_there_or_not_toml_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no such spec"):
        read_spec(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(Misconfigured, match="not TOML"):
        read_spec(tmp_path / "bad.toml")


def test_the_profile_of_a_site_has_the_options_of_the_spec_and_its_own_overrides() -> None:
    content = changed("deid.profile", "mira")
    content["deid"]["options"] = ["clean_descriptors"]
    content["deid"]["overrides"] = {"(0008,1010)": "remove"}
    content["sites"][0]["deid_overrides"] = {"(0008,1010)": "keep"}
    spec = parse_spec(content, folder=Path("/specs"))
    assert spec.deid_profile().options == ("clean_descriptors",)
    assert [one.choice for one in spec.deid_profile().overrides] == ["remove"]
    assert [one.choice for one in spec.deid_profile("site-a").overrides] == ["keep"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("deid.profile", "strict", "deid.profile"),
        ("deid.options", ["keep_all"], "deid.options"),
        ("deid.overrides", {"(0010,0020)": "keep"}, "deid.overrides"),
        ("deid.overrides", {"(0008,1010)": "hash"}, "deid.overrides"),
        ("deid.allow", ["secondary_capture"], "deid.allow"),
        ("sites.0.deid_overrides", {"StationName": "keep"}, "deid.overrides"),
    ],
)
def test_a_wrong_profile_is_refused_before_anything_starts(path: str, value: Any, message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        parse_spec(changed(path, value), folder=Path("/specs"))


def test_decisions_are_a_path_beside_the_spec_and_keys_may_come_from_a_command() -> None:
    content = changed("deid.decisions", "private/decisions.json")
    content["deid"]["key"] = "cmd:pass show project"
    spec = parse_spec(content, folder=Path("/specs"))
    assert spec.deid.decisions == Path("/specs/private/decisions.json")
    assert spec.deid.key == "cmd:pass show project"
