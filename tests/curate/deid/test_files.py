"""From one file to another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.deid import FileAudit, Keyed, deidentify_bytes, deidentify_file, load_profile
from curate.errors import Misconfigured, Rejected
from tests.support.deid_files import KEY, PLANTS, encode, make_ct


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "Quixotova.dcm"
    path.write_bytes(encode(make_ct()))
    return path


def test_a_file_becomes_a_clean_file(source: Path, tmp_path: Path) -> None:
    audit = deidentify_file(source, tmp_path / "out.dcm", profile="basic", key=KEY, site="a")
    content = (tmp_path / "out.dcm").read_bytes()
    assert isinstance(audit, FileAudit)
    assert content == deidentify_bytes(source.read_bytes(), load_profile("basic"), Keyed(KEY), site="a").content
    assert not [plant for plant in PLANTS if plant.encode() in content]


def test_the_key_may_be_named_by_its_source(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_TEST_KEY", KEY.hex())
    first = deidentify_file(source, tmp_path / "1", profile="basic", key="env:CURATE_TEST_KEY")
    second = deidentify_file(str(source), str(tmp_path / "2"), profile=load_profile("basic"), key=KEY)
    assert first == second


def test_nothing_is_written_when_the_file_is_refused(source: Path, tmp_path: Path) -> None:
    source.write_bytes(source.read_bytes()[:-10])
    with pytest.raises(Rejected):
        deidentify_file(source, tmp_path / "out.dcm", profile="basic", key=KEY)
    assert os.listdir(tmp_path) == ["Quixotova.dcm"]


def test_a_profile_that_needs_a_key_gets_one_or_stops(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="key"):
        deidentify_file(source, tmp_path / "out.dcm", profile="basic", key=None)


def test_a_public_file_needs_none(tmp_path: Path) -> None:
    dataset = make_ct()
    public = make_ct(
        PatientName=dataset.PatientID, ReferringPhysicianName="", OperatorsName="", PatientBirthDate="",
        OtherPatientIDsSequence=None, PatientComments=None, InstitutionAddress=None,
        ReferringPhysicianTelephoneNumbers=None,
    )  # fmt: skip
    (tmp_path / "in").write_bytes(encode(public))
    audit = deidentify_file(tmp_path / "in", tmp_path / "out", profile="public", key=None)
    assert audit.profile == "public"


def test_wrong_places_are_told_without_their_names(source: Path, tmp_path: Path) -> None:
    for given, wanted in (
        (tmp_path / "Almudena", tmp_path / "o"),
        (tmp_path, tmp_path / "o"),
        (source, tmp_path / "no/o"),
    ):
        with pytest.raises(Misconfigured) as caught:
            deidentify_file(given, wanted, profile="basic", key=KEY)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.__cause__ is None
