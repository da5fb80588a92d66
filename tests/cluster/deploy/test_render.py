"""All that is rendered: the same bytes each time, and no secret."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import yaml

from cluster.deploy import KINDS, Kind, render
from tests.support.deployments import SPEC, deployment

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_description_gives_the_same_files(kind: Kind) -> None:
    assert render(kind, deployment(), SPEC) == render(kind, deployment(), SPEC)


@pytest.mark.parametrize("kind", KINDS)
def test_files_say_how_to_use_them_and_what_they_were_made_for(kind: Kind) -> None:
    for name, text in render(kind, deployment(), SPEC).items():
        assert text.endswith("\n")
        assert text.splitlines()[0].startswith("#")
        if name != "submit-array.sh":
            assert metadata.version("ray") in text
            assert metadata.version("spine-curate") in text or name == "Dockerfile"


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_of_a_secret_is_rendered(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_KEY", "5f3a9c-not-for-files")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "77ab12-not-for-files")
    for text in render(kind, deployment(), SPEC).values():
        assert "not-for-files" not in text


@pytest.mark.parametrize("kind", ["kuberay", "launcher"])
def test_yaml_is_plain_and_parses(kind: Kind) -> None:
    for text in render(kind, deployment(), SPEC).values():
        assert all(isinstance(document, dict) for document in yaml.safe_load_all(text))
        assert "&id" not in text


def test_the_spec_travels_as_it_is_written() -> None:
    spec = '# a comment\ntask = "cervical"\n\n[[sites]]\nname = "a: b"\n'
    (document, _) = yaml.safe_load_all(render("kuberay", deployment(), spec)["rayjob.yaml"])
    assert document["data"]["spec.toml"] == spec


def test_installed_versions_are_those_of_the_project() -> None:
    """What is rendered comes from the installed packages; they must be what the project asks for."""
    text = PYPROJECT.read_text()
    assert f'version = "{metadata.version("spine-curate")}"' in text
    assert f'"ray>={".".join(metadata.version("ray").split(".")[:2])},' in text
