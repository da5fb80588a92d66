"""A folder in, a folder out: every file is named, nothing that identifies is in it, however the run went."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydicom import dcmread
from rich.console import Console

from cluster.attempt import UnitReport
from cluster.executors import Executor, Inline, open_executor
from cluster.job import Job
from cluster.outcomes import ItemOutcome
from cluster.units import Unit
from curate.deid import Identifier, Keyed, deidentify_bytes, load_profile
from curate.deid.records.audit_chain import check_chain
from curate.errors import Misconfigured, Quarantined
from curate.reasons import Reason
from pipelines.deidentify import Plan, Request, check_for_leaks, class_of, execute, make_plan, settled_before
from pipelines.handover import HandedOver, hand_over
from pipelines.watch import Watch
from tests.support.deid_files import KEY, encode, make_ct
from tests.support.hospital import EXPECTED, FILES, GOOD, PLANTED, digests, image, make_hospital, planted_in

QUIET = Watch(Console(quiet=True))
MARK = {"tag_path": "(0018,1210)", "vr": "SH", "value": "BONE", "decision": "remove"}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("hospital") / "in")


def request(hospital: Path, out: Path) -> Request:
    return Request((hospital,), out, f"file:{hospital.with_name('project.key')}", site="north")


def plan_and_settle(asked: Request, executor: Executor | None = None) -> tuple[Plan, list[ItemOutcome]]:
    plan = make_plan(asked)
    chosen = executor or Inline(plan.workspace.store.url)
    return plan, execute(plan, settled_before(plan), chosen, QUIET)


def run(asked: Request, executor: Executor | None = None) -> HandedOver:
    return hand_over(*plan_and_settle(asked, executor))


@pytest.fixture(scope="module")
def calm(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HandedOver]:
    """One undisturbed run."""
    out = tmp_path_factory.mktemp("calm") / "out"
    return out, run(request(hospital, out))


def rows_of(out: Path) -> list[dict[str, str]]:
    with out.with_name(f"{out.name}.private").joinpath("quarantined.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_file_is_done_or_named_with_its_reason(calm: tuple[Path, HandedOver]) -> None:
    out, handed = calm
    assert len(handed.outcomes) == FILES
    assert len(list(out.rglob("*.dcm"))) == GOOD == handed.added
    named = {Path(row["inside"] or row["file"]).as_posix(): row for row in rows_of(out)}
    for name, expected in EXPECTED.items():
        # of two equal copies either may stay
        found = [row for path, row in named.items() if path.endswith(name)]
        if not found and expected[1] == "duplicate_instance":
            found = [row for path, row in named.items() if path.endswith("Quixotova_Almudena/0.dcm")]
        assert [(row["what became of it"], row["reason"]) for row in found] == [expected], name
        assert found[0]["what to do next"]
    assert len(named) == len(EXPECTED)


def test_nothing_planted_is_in_the_output_nor_in_its_names(calm: tuple[Path, HandedOver], hospital: Path) -> None:
    out, _ = calm
    assert planted_in(out) == set()
    assert len({plant for _, plant in planted_in(hospital)}) > len(PLANTED) - 6  # else the search is blind


def test_the_tree_is_named_by_pseudonyms_that_the_files_bear(calm: tuple[Path, HandedOver]) -> None:
    out, _ = calm
    for path in out.rglob("*.dcm"):
        header = dcmread(path, stop_before_pixels=True)
        own = (header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID, f"{header.SOPInstanceUID}.dcm")
        assert path.relative_to(out / "dicom").parts == own
    assert len(list((out / "dicom").iterdir())) == 3


def test_the_audit_has_a_row_for_each_file_and_is_chained(calm: tuple[Path, HandedOver]) -> None:
    out, handed = calm
    audit = pq.read_table(out / "audit.parquet")
    assert audit.equals(handed.audit)
    assert check_chain(audit) == []
    assert sorted(f"{key}.dcm" for key in audit["instance_key"].to_pylist()) == sorted(
        path.name for path in out.rglob("*.dcm")
    )


def test_what_identifies_lies_beside_the_output_for_its_owner_alone(calm: tuple[Path, HandedOver]) -> None:
    out, _ = calm
    private = out.with_name("out.private")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "quarantined.csv").stat().st_mode) == 0o600
    known = {row["value"] for row in pq.read_table(private / "identifiers.parquet").to_pylist()}
    assert {"MRN-000", "MRN-001", "MRN-002", "ACC-998877"} <= known


def test_a_second_run_does_nothing(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(request(hospital, out))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    receipts = digests(tmp_path / "out.private" / "work")
    handed = run(request(hospital, out), Refusing())
    assert (handed.added, handed.replaced, handed.removed, handed.unchanged) == (0, 0, 0, GOOD)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")} == before
    assert digests(tmp_path / "out.private" / "work") == receipts


def test_two_workers_give_the_same_bytes(calm: tuple[Path, HandedOver], hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = make_plan(request(hospital, out))
    with open_executor("ray", plan.workspace.store.url, workers=2) as executor:
        hand_over(plan, execute(plan, {}, executor, QUIET))
    assert digests(out) == digests(calm[0])


def test_an_interrupted_run_leaves_no_output_and_goes_on(
    calm: tuple[Path, HandedOver], hospital: Path, tmp_path: Path
) -> None:
    asked = request(hospital, tmp_path / "out")
    plan = make_plan(asked)
    with pytest.raises(KeyboardInterrupt):
        execute(plan, {}, Interrupted(plan.workspace.store.url), QUIET)
    assert not asked.out.exists()
    assert 0 < len(settled_before(plan)) < FILES
    run(asked)
    assert digests(asked.out) == digests(calm[0])


def test_a_killed_run_goes_on(hospital: Path, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(300):
        (source / f"{number}.dcm").write_bytes(image(0, number))
    key = f"file:{hospital.with_name('project.key')}"
    out = tmp_path / "out"
    words = [
        "deid",
        "run",
        str(source),
        "--out",
        str(out),
        "--key",
        key,
        "--workers",
        "1",
        "--no-verify",
        "--no-values",
    ]
    started = subprocess.Popen([sys.executable, "-c", "from pipelines.cli import main; main()", *words])
    receipts = tmp_path / "out.private" / "work" / "ledger"
    for _ in range(6000):
        if any(receipts.rglob("*.json")) or started.poll() is not None:
            break
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert not out.exists()
    plan = make_plan(Request((source,), out, key))
    assert 0 < len(settled_before(plan)) < 300
    handed = run(Request((source,), out, key))
    assert handed.added == 300
    again = run(Request((source,), tmp_path / "calm", key))
    assert digests(tmp_path / "calm") == digests(out)
    assert again.audit.equals(handed.audit)


def test_marks_change_what_is_written_and_only_that(hospital: Path, tmp_path: Path) -> None:
    asked = request(hospital, tmp_path / "out")
    run(asked)
    before = digests(asked.out)
    saved = tmp_path / "decisions.json"
    other = {"tag_path": "(0008,103e)", "vr": "LO", "value": "text of another archive", "decision": "keep"}
    saved.write_text(json.dumps({"format": "spine-curate decisions 1", "decisions": [MARK, other]}))
    handed = run(replace(asked, decisions=saved))
    assert (handed.replaced, handed.added, handed.removed) == (GOOD, 0, 0)
    assert digests(asked.out).keys() == before.keys()
    headers = [dcmread(path) for path in asked.out.rglob("*.dcm")]
    assert all("ConvolutionKernel" not in header and header.ManufacturerModelName for header in headers)
    unused = (tmp_path / "out.private" / "unused-marks.csv").read_text().splitlines()
    assert [line.split(",")[-1] for line in unused] == ["decision", "keep"]
    run(asked)
    assert digests(asked.out) == before


def test_what_a_later_run_keeps_back_does_not_stay_in_the_output(hospital: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.dcm").write_bytes(image(0, number))
    asked = replace(request(hospital, tmp_path / "out"), sources=(source,))
    run(asked)
    (source / "1.dcm").write_bytes(image(0, 1, BurnedInAnnotation="YES"))
    (source / "2.dcm").unlink()
    (asked.out / "report.html").write_text("of the first run")
    handed = run(asked)
    assert (handed.removed, handed.unchanged) == (2, 1)
    assert len(list(asked.out.rglob("*.dcm"))) == 1
    assert len(list((tmp_path / "out.private" / "work" / "objects").rglob("*.dcm"))) == 1
    assert not (asked.out / "report.html").exists()


def test_a_result_that_was_changed_is_made_again(hospital: Path, tmp_path: Path) -> None:
    asked = request(hospital, tmp_path / "out")
    run(asked)
    before = digests(asked.out)
    first, second = sorted(asked.out.rglob("*.dcm"))[:2]
    with first.open("r+b") as stream:  # the object too: it is the same file
        stream.write(b"Quixotova")
    second.unlink()
    second.write_bytes(b"something else")
    run(asked)
    assert digests(asked.out) == before


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("in/out", "inside the other"),
        ("in", "inside the other"),
        ("full", "files of something else"),
        ("note", "not a folder"),
    ],
)
def test_an_output_that_would_harm_is_refused_before_anything_is_written(tmp_path: Path, place: str, said: str) -> None:
    make_hospital(tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    (tmp_path / "note").write_text("a file")
    before = digests(tmp_path)
    with pytest.raises(Misconfigured, match=said):
        make_plan(request(tmp_path / "in", tmp_path / place))
    assert digests(tmp_path) == before


def test_a_source_that_is_missing_or_empty_is_told(tmp_path: Path) -> None:
    make_hospital(tmp_path / "in")
    (tmp_path / "nothing").mkdir()
    for name, said in (("nowhere", "does not exist"), ("nothing", "holds no files")):
        asked = replace(request(tmp_path / "in", tmp_path / "out"), sources=(tmp_path / name,))
        with pytest.raises(Misconfigured, match=said):
            make_plan(asked)


def test_a_profile_that_keeps_names_is_refused(hospital: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="keeps names"):
        make_plan(replace(request(hospital, tmp_path / "out"), profile="public"))


def test_another_site_or_key_gives_other_pseudonyms(
    calm: tuple[Path, HandedOver], hospital: Path, tmp_path: Path
) -> None:
    asked = request(hospital, tmp_path / "out")
    run(replace(asked, site="south"))
    mine = {path.name for path in (calm[0] / "dicom").iterdir()}
    assert mine.isdisjoint(path.name for path in (asked.out / "dicom").iterdir())


def test_an_object_that_still_holds_a_name_is_kept_back() -> None:
    clean = deidentify_bytes(encode(make_ct()), load_profile("mira"), Keyed(KEY))
    check_for_leaks(clean)
    for kind, value in (("name", "Phantomworks"), ("uid", dcmread_uid(clean.content))):
        known = clean.identifiers | {Identifier(kind, value)}
        with pytest.raises(Quarantined) as caught:
            check_for_leaks(replace(clean, identifiers=known))
        assert caught.value.reason is Reason.LEAK_FOUND
        assert value not in str(caught.value)


def test_the_class_of_what_is_refused_is_named_by_the_standard_alone() -> None:
    assert class_of(image(0, 0, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1")) == "Encapsulated PDF Storage"
    assert class_of(image(0, 0, SOPClassUID="1.2.3.4.77")) == ""
    assert class_of(b"Quixotova") == ""


def dcmread_uid(content: bytes) -> str:
    from io import BytesIO

    return str(dcmread(BytesIO(content)).SOPInstanceUID)


class Refusing:
    """An executor that nothing may be asked of."""

    workers, memory = 1, 2**34

    def prepare(self, call: Callable[[], None]) -> None:
        call()

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        assert not list(units), os.strerror(0)
        yield from ()


class Interrupted(Inline):
    """Stops after two units, as by Ctrl-C."""

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        for number, report in enumerate(super().run(job, units)):
            yield report
            if number == 1:
                raise KeyboardInterrupt
