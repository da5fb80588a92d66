"""``curate deid run`` as a site coordinator types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.deid.verification import Finding, Report, Rule
from tests.support.hospital import EXPECTED, FILES, GOOD, PLANTED, digests, make_hospital, planted_in

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_hospital(tmp_path / "in")
    return tmp_path


def words(place: Path, out: str = "out") -> list[object]:
    return ["deid", "run", place / "in", "--out", place / out, "--key", f"file:{place / 'project.key'}"]


def test_a_folder_becomes_a_checked_folder_with_a_report(command: Command, place: Path) -> None:
    code, said = command(*words(place), "--profile", "mira", "--site", "north", "--workers", 1)
    assert code == 0, said
    assert f"{FILES} found = {GOOD} de-identified, 3 kept back, 5 not usable, 2 not DICOM" in said
    assert "nothing is wrong" in said
    assert sorted(path.name for path in (place / "out").iterdir()) == [
        "audit.parquet",
        "dicom",
        "report.html",
        "report.json",
        "verification.json",
    ]
    assert planted_in(place / "out") == set()
    report = json.loads((place / "out" / "report.json").read_text())
    assert report["files"] == report["done"] + report["quarantined"] + report["rejected"] + report["not DICOM"]
    assert (report["patients"], report["studies"], report["series"]) == (3, 3, 3)
    assert {each["reason"]: each["files"] for each in report["not_in_the_output"]} == {
        reason: [expected for _, expected in EXPECTED.values()].count(reason) for _, reason in EXPECTED.values()
    }
    assert report["check"]["passed"]
    assert json.loads((place / "out" / "verification.json").read_text())["passed"]
    page = (place / "out" / "report.html").read_text()
    assert f"{GOOD} files of {FILES} are de-identified" in page
    assert "Checked, and nothing was found." in page
    private = {path.name for path in (place / "out.private").iterdir()}
    assert {"quarantined.csv", "values.html", "identifiers.parquet"} <= private

    before = digests(place / "out")
    code, said = command(*words(place), "--site", "north", "--workers", 1)
    assert (code, f"0 new, 0 changed, 0 taken out, {GOOD} as before" in said) == (0, True)
    assert digests(place / "out") == before


def test_two_workers_give_the_same_folder_as_one(command: Command, place: Path) -> None:
    for out, workers in (("one", 1), ("two", 2)):
        code, said = command(*words(place, out), "--no-verify", "--workers", workers)
        assert code == 0, said
    assert digests(place / "one") == digests(place / "two")


def test_nothing_that_is_said_identifies(command: Command, place: Path) -> None:
    _, said = command(*words(place), "--no-verify", "--workers", 1)
    assert [plant for plant in PLANTED if plant in said.replace(str(place), "")] == []
    assert "not run: do not hand this on yet" in said
    assert "Not checked yet." in (place / "out" / "report.html").read_text()


def test_what_the_check_finds_ends_with_exit_code_1_and_stands_in_the_report(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Report({}, (Finding("dicom/P/1.dcm", Rule.LEAK),), (), ())
    monkeypatch.setattr("pipelines.folder_report.verify_tree", lambda *given, **more: found)
    code, said = command(*words(place), "--no-values", "--workers", 1)
    assert (code, "DO NOT HAND THIS ON" in said) == (1, True)
    assert "Do not hand this on" in (place / "out" / "report.html").read_text()


def test_an_output_that_somebody_put_files_into_is_refused(command: Command, place: Path) -> None:
    command(*words(place), "--no-verify", "--no-values", "--workers", 1)
    (place / "out" / "thanks.txt").write_text("Thanks to Almudena Quixotova, MRN-000")
    code, said = command(*words(place), "--no-values", "--workers", 1)
    assert (code, "holds files of something else" in said) == (2, True)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "--key is missing"),
        ("file:nowhere.key", "the key file cannot be opened"),
        ("env:NO_SUCH_KEY", "not set"),
        ("hunter2", "the key source must be"),
    ],
)
def test_without_a_key_it_says_how_to_make_one(command: Command, place: Path, key: str | None, said: str) -> None:
    given = [] if key is None else ["--key", key]
    code, told = command("deid", "run", place / "in", "--out", place / "out", *given)
    assert code == 2
    assert said in told
    assert "openssl rand -hex 32 > project.key; chmod 600 project.key" in told
    assert "hunter2" not in told
    assert not (place / "out.private").exists()


def test_a_key_that_others_can_read_is_refused(command: Command, place: Path) -> None:
    (place / "project.key").chmod(0o644)
    code, said = command(*words(place))
    assert (code, "mode 0600" in said, "chmod 600" in said) == (2, True, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--profile", "mirror"], "no profile 'mirror'"),
        (["--option", "clean_everything"], "no option 'clean_everything'"),
        (["--override", "keep"], "expected TAG=CHOICE"),
        (["--override", "(0010,0010)=keep"], "fixed"),
        (["--allow", "everything"], "only 'secondary_capture'"),
        (["--decisions", "nowhere.json"], "no such file"),
        (["--profile", "public"], "keeps names"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    command: Command, place: Path, more: list[str], said: str
) -> None:
    code, told = command(*words(place), *more)
    assert (code, said in told) == (2, True), told
    assert not (place / "out").exists()


def test_a_site_decides_otherwise_and_the_check_knows(command: Command, place: Path) -> None:
    more = ["--override", "(0008,1010)=remove", "--no-values", "--workers", 1]
    code, said = command(*words(place), *more)
    page = (place / "out" / "report.html").read_text()
    assert "Your site decided otherwise" in page
    assert "(0008,1010)" in page
    assert code == 0, said


def test_the_owner_of_the_key_finds_a_patient_again(command: Command, place: Path) -> None:
    code, said = command(*words(place), "--no-verify", "--no-values", "--workers", 1, "--crosswalk", place / "who")
    assert code == 0, said
    patient = sorted((place / "out" / "dicom").iterdir())[0].name
    code, said = command("deid", "reveal", place / "who", patient, "--key", f"file:{place / 'project.key'}")
    assert (code, "MRN-00" in said) == (0, True)
    code, said = command(*words(place), "--no-verify", "--no-values", "--crosswalk", place / "out" / "who")
    assert (code, "must not lie in" in said) == (2, True)


def test_the_help_teaches_a_first_run(command: Command) -> None:
    code, said = command("deid", "run", "--help")
    assert code == 0
    for word in (
        "openssl rand -hex 32",
        "--profile mira",
        "report.html",
        "quarantined.csv",
        "--decisions",
        "Exit codes",
    ):
        assert word in said, word
    assert " run " in command("deid", "--help")[1]
