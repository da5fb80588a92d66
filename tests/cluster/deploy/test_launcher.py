"""The launcher's file against the schema in Ray's wheel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.scripts.scripts import start

from cluster.deploy import render
from curate.errors import Misconfigured
from tests.support.deployments import SPEC, deployment

SCHEMA = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
GOOGLE = {"provider": "gcp", "region": "us-west1", "zone": "us-west1-a", "project": "p", "instance": "n2-standard-16"}


def cluster(**changes: Any) -> dict[str, Any]:
    files = render("launcher", deployment(**changes), SPEC)
    return yaml.safe_load(files["cluster.yaml"])  # type: ignore[no-any-return]


@pytest.mark.parametrize("launcher", [{}, GOOGLE], ids=["aws", "gcp"])
def test_the_schema_of_ray_takes_it(launcher: dict[str, Any]) -> None:
    jsonschema.validate(cluster(launcher=launcher), SCHEMA)


def test_the_schema_of_ray_would_not_take_a_typo() -> None:
    wrong = cluster()
    wrong["head_start_commands"] = wrong.pop("head_start_ray_commands")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize(
    ("launcher", "spot"),
    [({}, {"InstanceMarketOptions": {"MarketType": "spot"}}), (GOOGLE, {"scheduling": [{"preemptible": True}]})],
    ids=["aws", "gcp"],
)
def test_workers_are_spot_machines_where_asked_and_the_head_never(launcher: Any, spot: Any) -> None:
    types = cluster(launcher=launcher)["available_node_types"]
    assert spot.items() <= types["workers"]["node_config"].items()
    assert not spot.keys() & types["head"]["node_config"].keys()
    calm = cluster(launcher=launcher, nodes={"spot": False})["available_node_types"]
    assert not spot.keys() & calm["workers"]["node_config"].keys()


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_start_knows_every_option_that_it_is_given(role: str) -> None:
    command = cluster()[f"{role}_start_ray_commands"][1]
    words = command.partition("ray start ")[2].split()
    start.make_context("start", words)  # raises on an unknown option or a value of another type


def test_the_token_and_the_keys_are_files_of_the_user() -> None:
    rendered = cluster()
    assert rendered["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert rendered["file_mounts"]["~/.curate-secrets"] == "~/.config/curate/secrets"
    assert "--env=RAY_AUTH_MODE=token" in rendered["docker"]["run_options"]
    for role in ("head", "worker"):
        assert rendered[f"{role}_start_ray_commands"][1].startswith(". ~/.curate-secrets && export CURATE_KEY && ")


def test_without_secrets_no_file_of_them_is_asked_for() -> None:
    rendered = cluster(secrets=[], launcher={"secrets_file": None})
    assert "~/.curate-secrets" not in rendered["file_mounts"]
    assert rendered["worker_start_ray_commands"][1].startswith("ray start --address=$RAY_HEAD_IP:6379 ")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"^launcher\.secrets_file: missing"):
        cluster(launcher={"secrets_file": None})
    bare = deployment().model_copy(update={"launcher": None})
    with pytest.raises(Misconfigured, match=r"^launcher: missing"):
        render("launcher", bare, SPEC)
