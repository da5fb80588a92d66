"""The description of the machines: strict, with no place for a secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cluster.deploy import EXAMPLE, parse_deployment, read_deployment
from curate.errors import Misconfigured
from tests.support.deployments import content, deployment


def test_the_example_is_a_description(tmp_path: Path) -> None:
    file = tmp_path / "deploy.toml"
    file.write_text(EXAMPLE)
    read = read_deployment(file)
    assert (read.name, read.nodes.count, read.nodes.spot) == ("necks", 50, True)
    assert read.spec == str(tmp_path / "necks.toml")  # wherever it is rendered from
    assert not read.store_is_folder


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"nodes": {"count": 0}}, "nodes.count: "),
        ({"nodes": {"cpus": 4}}, "nodes.cpus: unknown key"),
        ({"nodes": {"grace_seconds": 1}}, "nodes.grace_seconds: "),
        ({"name": "Necks_1"}, "name: "),
        ({"image": "x; rm -rf /"}, "image: "),
        ({"spec": "a b.toml"}, "spec: "),
        ({"store": "$(id)"}, "store: "),
        ({"secrets": ["key=0123456789abcdef"]}, "secrets.0: "),
        ({"slurm": {"time": "two days"}}, "slurm.time: "),
        ({"launcher": {"provider": "moon"}}, "launcher.provider: "),
        ({"launcher": {"provider": "gcp"}}, "launcher: Value error, gcp needs project and zone"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        deployment(**changes)
    assert str(caught.value).startswith(fault.replace("Value error, ", ""))


def test_a_secret_written_where_its_name_belongs_is_not_repeated() -> None:
    with pytest.raises(Misconfigured) as caught:
        deployment(secrets=["CURATE_KEY=5f3a9c-not-for-logs"])
    assert "5f3a9c" not in str(caught.value)


def test_a_missing_section_is_named() -> None:
    whole = content()
    del whole["nodes"]
    with pytest.raises(Misconfigured, match=r"^nodes: missing$"):
        parse_deployment(whole)


@pytest.mark.parametrize(("text", "fault"), [(None, "there is no such file"), ("name = ", "not TOML")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None, fault: str) -> None:
    file = tmp_path / "deploy.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Misconfigured, match=fault):
        read_deployment(file)


@pytest.mark.parametrize(
    ("store", "is_folder"), [("/data/store", True), ("file:///data", True), ("s3://b/x", False), ("gs://b/x", False)]
)
def test_a_store_in_a_file_system_is_told_from_an_object_store(store: str, is_folder: bool) -> None:
    assert deployment(store=store).store_is_folder is is_folder


def test_an_example_needs_only_what_it_says() -> None:
    least = {key: tomllib.loads(EXAMPLE)[key] for key in ("name", "image", "spec", "store", "nodes")}
    assert parse_deployment(least).launcher is None
