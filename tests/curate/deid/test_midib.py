"""The MIDI-B style score on a small archive, and that the scorer itself can tell right from wrong."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pydicom
import pytest

from curate.deid import load_profile
from tests.bench.deid.adversary import attack, reproduced_names, reproduced_shifts
from tests.bench.deid.midib import run_engine
from tests.bench.deid.midib_answers import KINDS
from tests.bench.deid.midib_archive import Archive, make_archive
from tests.bench.deid.midib_score import Score, score_outputs
from tests.bench.deid.workers import digest_of, run_here, run_pool, tasks_of


@pytest.fixture(scope="module")
def archive() -> Archive:
    return make_archive(patients=2, pixels=False)


@pytest.fixture(scope="module")
def outputs(archive: Archive) -> dict[int, bytes]:
    return run_engine(archive, load_profile("mira"))[0]


@pytest.fixture(scope="module")
def score(archive: Archive, outputs: dict[int, bytes]) -> Score:
    return score_outputs(archive, outputs)


def test_the_archive_is_the_same_each_time_and_asks_all_ten_kinds() -> None:
    first, second = make_archive(patients=1), make_archive(patients=1)
    assert [source.raw for source in first.sources] == [source.raw for source in second.sources]
    assert first.answers == second.answers
    assert {answer.kind for answer in first.answers} == set(KINDS)


def test_an_archive_that_nobody_touched_fails_every_kind_that_asks_for_change(archive: Archive) -> None:
    score = score_outputs(archive, {source.number: source.raw for source in archive.sources})
    for kind in ("text_removed", "date_shifted", "uid_changed"):
        assert score.percent(kind) == 0
    for kind in ("tag_retained", "text_notnull", "text_retained"):
        assert score.percent(kind) == 100


def test_an_archive_stripped_of_its_text_fails_what_asks_for_keeping(archive: Archive) -> None:
    stripped = {}
    for source in archive.sources[:20]:
        dataset = pydicom.dcmread(BytesIO(source.raw))
        for tag in [element.tag for element in dataset if element.VR in ("LO", "SH", "LT", "DA", "CS")]:
            del dataset[tag]
        buffer = BytesIO()
        dataset.save_as(buffer)
        stripped[source.number] = buffer.getvalue()
    score = score_outputs(archive, stripped)
    assert score.percent("text_retained") < 60  # what is kept are ages, sexes, sizes
    assert score.percent("date_shifted") == 0
    assert score.withheld.total() > 0


@pytest.mark.parametrize("kind", ["uid_changed", "uid_consistent", "patid_consistent", "date_shifted", "text_removed"])
def test_nothing_of_these_kinds_fails(score: Score, kind: str) -> None:
    assert score.percent(kind) == 100


def test_the_whole_score_reaches_the_mark(score: Score) -> None:
    places = sorted({(answer.kind, answer.path, answer.expected) for answer in score.failures})
    assert score.percent() >= 99.95, places[:10]


def test_no_image_of_the_archive_is_withheld(archive: Archive, outputs: dict[int, bytes]) -> None:
    withheld = {source.base for source in archive.sources if source.number not in outputs}
    assert not withheld


def test_an_adversary_without_the_key_reproduces_nothing() -> None:
    sources = [source for source in make_archive(patients=6, pixels=False).sources if source.base == "MR_small.dcm"]
    names, shifts, attacked = attack(Archive(tuple(sources), ()), load_profile("mira"))
    assert attacked == 12
    assert not names
    assert not shifts


def test_the_adversary_sees_through_a_shift_by_a_plain_digest() -> None:
    patients = []
    for number in range(6):
        patient_id = f"MRN{number}".encode()
        digest = hashlib.md5(patient_id, usedforsecurity=False).digest()
        patients.append(({"PatientID": patient_id}, -(int.from_bytes(digest, "big") % 3652)))
    assert reproduced_shifts(patients) == [f"PatientID: digest 0, big {len(digest)} bytes mod 3652"]


def test_the_adversary_sees_through_plain_digests() -> None:
    digest = hashlib.md5(b"MRN77", usedforsecurity=False).digest()
    assert reproduced_names([f"2.25.{int.from_bytes(digest, 'big')}".encode()], [b"MRN77"])
    assert reproduced_names([digest.hex()[:16].encode()], [b"MRN77"])
    assert not reproduced_names([digest.hex()[:16].encode()], [b"MRN78"])


def test_order_and_number_of_processes_do_not_change_a_byte() -> None:
    tasks = tasks_of(make_archive(patients=1, pixels=False).sources[:12], "mira")
    expected = digest_of(run_here(tasks))
    assert digest_of(run_here(tasks[::-1])) == expected
    assert digest_of(run_pool(tasks[::-1], processes=2, chunk=2)) == expected
