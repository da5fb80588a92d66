"""``curate deid explain``: in words, for any way to write a tag."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from curate.errors import Misconfigured
from pipelines.cli.deid_explain import explain

SPEC = """
name = "trial"
task = "cervical"
store = "store"
[[sites]]
name = "site-a"
archives = ["a"]
deid_overrides = {"(0008,1010)" = "remove"}
[[sites]]
name = "site-b"
archives = ["b"]
[deid]
profile = "mira"
key = "env:CURATE_KEY"
overrides = {"(0008,1030)" = "remove"}
[volumes]
spacing_mm = [1.0, 1.0, 1.0]
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


def said(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(explain)
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return str(path)


@pytest.mark.parametrize("tag", ["StudyDescription", "00081030", "(0008,1030)", "0008,1030"])
def test_a_tag_may_be_written_in_any_way(tag: str) -> None:
    text = said("mira", tag)
    assert "(0008,1030) StudyDescription LO" in text
    assert "result: text cleaned" in text
    assert "clean_descriptors: C" in text


def test_a_private_tag_is_named_by_its_creator() -> None:
    assert "Table E.3.10-1" in said("mira", '(0019,"GEMS_ACQU_01",9e)')


def test_the_class_decides_about_compound_actions() -> None:
    assert "type 2 in CT" in said("basic", "ContrastBolusAgent")
    assert "not defined for rtstruct" in said("basic", "ContrastBolusAgent", "--class", "rtstruct")


def test_without_a_tag_the_profile_and_the_whole_table_are_shown() -> None:
    text = said("mira")
    assert "113105" in text
    assert "PatientBirthDate" in text
    assert "GEMS_ACQU_01" in text


def test_options_can_be_tried_out() -> None:
    assert "result: emptied" in said("mira", "StudyDate", "--option", "clean_descriptors")


def test_a_spec_is_explained_site_by_site(spec: str) -> None:
    assert "The site overrides the profile: remove" in said(spec, "StudyDescription")
    assert "result: removed" in said(spec, "StationName", "--site", "site-a")
    assert "result: text kept" in said(spec, "StationName", "--site", "site-b")
    assert "site overrides" in said(spec, "--site", "site-a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("strict", "StudyDate"), "no profile"),
        (("mira", "NoSuchKeyword"), "expected"),
        (("mira", "StudyDate", "--class", "PET/CT"), "--class"),
        (("mira", "StudyDate", "--site", "x"), "only a spec has sites"),
        (("mira", "StudyDate", "--option", "nonsense"), "no option"),
    ],
)
def test_what_cannot_be_explained_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        said(*arguments)


def test_an_unknown_site_is_refused(spec: str) -> None:
    with pytest.raises(Misconfigured, match="no site"):
        said(spec, "StudyDate", "--site", "elsewhere")
