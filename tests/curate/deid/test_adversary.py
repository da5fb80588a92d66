"""Without the key nothing can be recomputed; and the attack that says so would notice if it could."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace

import pytest
from blake3 import blake3

from curate.deid import Keyed, load_profile
from curate.deid.pseudonyms import canonical_id
from tests.bench.deid import adversary, workers
from tests.bench.deid.midib_archive import Archive, make_archive

MIRA = load_profile("mira")
PATIENTS = 6
"""One patient fits some formula of a date shift by accident, six do not."""

Digest = Callable[[bytes], bytes]
BARE: dict[str, Digest] = {
    "md5": lambda value: hashlib.md5(value, usedforsecurity=False).digest(),
    "sha1": lambda value: hashlib.sha1(value, usedforsecurity=False).digest(),
    "sha256": lambda value: hashlib.sha256(value).digest(),
    "sha512": lambda value: hashlib.sha512(value).digest(),
    "blake2b": lambda value: hashlib.blake2b(value, digest_size=32).digest(),
    "blake3": lambda value: blake3(value).digest(),
    "sha256, salt in front": lambda value: hashlib.sha256(b"spine-curate" + value).digest(),
    "sha256, salt behind": lambda value: hashlib.sha256(value + b"secret").digest(),
    "blake3, salt in front": lambda value: blake3(b"password" + value).digest(),
    "blake3 under a key of zeros": lambda value: blake3(value, key=bytes(32)).digest(),
    "hmac under the name of the tool": lambda value: hmac.digest(b"spine-curate/1", value, "sha256"),
}
"""What looks like a pseudonym and is none: whoever has the value and the code has the digest."""


@pytest.fixture(scope="module")
def many() -> Archive:
    """Six patients, every sixth object of each, so that every kind of object is there once."""
    archive = make_archive(patients=PATIENTS, pixels=False)
    return replace(archive, sources=tuple(one for one in archive.sources if (one.number - one.patient) % PATIENTS == 0))


@pytest.fixture(scope="module")
def few() -> Archive:
    archive = make_archive(patients=1, pixels=False)
    return replace(archive, sources=archive.sources[:2])


@pytest.fixture
def fresh_key(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A key of its own for a test that changes the engine: neither takes what others remembered, nor leaves any."""
    monkeypatch.setattr(adversary, "KEY", hashlib.sha256(request.node.name.encode()).digest())


def test_nothing_is_reproduced_without_the_key(many: Archive) -> None:
    names, shifts, outputs = adversary.attack(many, MIRA)
    assert outputs == len(many.sources) > 30
    assert names == []
    assert shifts == []


@pytest.mark.parametrize("name", BARE)
def test_a_bare_or_salted_hash_of_an_id_is_noticed(name: str) -> None:
    word = BARE[name](b"MRN-554477").hex()[:16].encode()
    assert adversary.reproduced_names([word], [b"MRN-554477"])
    assert not adversary.reproduced_names([word], [b"MRN-554478"])


@pytest.mark.usefixtures("fresh_key")
@pytest.mark.parametrize("name", BARE)
def test_an_engine_whose_mac_is_a_bare_or_salted_hash_is_noticed(
    name: str, few: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keyed, "_mac", lambda self, *parts: BARE[name](parts[-1].encode()))
    names, _, outputs = adversary.attack(few, MIRA)
    assert outputs == 2
    assert names


@pytest.mark.parametrize("key", [bytes(32), bytes(range(32))], ids=["zeros", "counted"])
def test_a_key_that_can_be_guessed_is_noticed(key: bytes, few: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversary, "KEY", key)
    names, _, _ = adversary.attack(few, MIRA)
    assert len(names) > 3


@pytest.mark.parametrize("name", BARE)
def test_a_date_shift_by_a_bare_or_salted_hash_of_the_id_is_noticed(name: str) -> None:
    patients = []
    for number in range(PATIENTS):
        value = f"MRN-{number}".encode()
        patients.append(({"PatientID": value}, -(int.from_bytes(BARE[name](value), "big") % 3652)))
    assert any("mod 3652" in formula for formula in adversary.reproduced_shifts(patients))


@pytest.mark.usefixtures("fresh_key")
@pytest.mark.parametrize("name", ["blake3", "sha256, salt in front"])
def test_an_engine_that_shifts_by_a_hash_of_the_id_is_noticed(
    name: str, many: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shift(self: Keyed, patient_key: str) -> int:
        return -1 - int.from_bytes(BARE[name](patient_key.encode())[:8], "big") % 3652

    monkeypatch.setattr(Keyed, "patient", lambda self, patient_id, **_: canonical_id(patient_id))
    monkeypatch.setattr(Keyed, "shift_days", shift)
    one_each = tuple({source.patient: source for source in many.sources}.values())
    _, shifts, outputs = adversary.attack(replace(many, sources=one_each), MIRA)
    assert outputs == PATIENTS
    assert any("mod 3652" in formula for formula in shifts)


def test_two_processes_in_any_order_give_the_bytes_of_one() -> None:
    tasks = workers.tasks_of(make_archive(patients=1, pixels=False).sources, "mira")[:8]
    here = workers.digest_of(workers.run_here(tasks))
    assert workers.digest_of(workers.run_here(tasks[::-1])) == here
    assert workers.digest_of(workers.run_pool(tasks[::-1], processes=2, chunk=3)) == here
