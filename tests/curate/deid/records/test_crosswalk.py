"""The crosswalk: read back with its key, with no other, and never changed unnoticed."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from curate.deid.identifiers import Identifier
from curate.deid.pseudonyms import Keyed
from curate.deid.records.crosswalk import (
    CROSSWALK,
    crosswalk_rows,
    decrypt_crosswalk,
    encrypt_crosswalk,
    require_outside,
)
from curate.errors import Misconfigured
from tests.support.deid_files import KEY, PATIENT_ID, PATIENT_NAME, STUDY

PSEUDONYMS = Keyed(KEY)
OTHER = Keyed(KEY[::-1])
PATIENT = PSEUDONYMS.patient(PATIENT_ID, site="north")
IDENTIFIERS = [
    Identifier("patient_id", PATIENT_ID),
    Identifier("name", PATIENT_NAME),
    Identifier("accession", "ACC-998877"),
    Identifier("uid", STUDY),
    Identifier("date", "20200229"),
]


def rows() -> list[dict[str, str]]:
    return crosswalk_rows(IDENTIFIERS, patient_key=PATIENT, site="north", pseudonyms=PSEUDONYMS)


def test_the_owner_of_the_key_finds_every_id_again() -> None:
    table = decrypt_crosswalk(encrypt_crosswalk(rows(), PSEUDONYMS), PSEUDONYMS)
    assert table.schema == CROSSWALK
    found = {(row["kind"], row["source"]): row["released"] for row in table.to_pylist()}
    assert found == {
        ("patient", PATIENT_ID): PATIENT,
        ("accession", "ACC-998877"): PSEUDONYMS.token("accession", "ACC-998877"),
        ("uid", STUDY): PSEUDONYMS.uid(STUDY),
        ("days", ""): str(PSEUDONYMS.shift_days(PATIENT)),
    }
    assert {row["patient_key"] for row in table.to_pylist()} == {PATIENT}


def test_no_id_key_or_offset_stands_in_the_file() -> None:
    encrypted = encrypt_crosswalk(rows(), PSEUDONYMS)
    for secret in (PATIENT_ID, "ACC-998877", STUDY, PATIENT, "PAR1"):
        assert secret.encode() not in encrypted
    assert KEY not in encrypted


def test_another_key_is_refused_by_its_fingerprint() -> None:
    with pytest.raises(Misconfigured, match="another key"):
        decrypt_crosswalk(encrypt_crosswalk(rows(), PSEUDONYMS), OTHER)


def test_a_forged_fingerprint_does_not_open_it() -> None:
    encrypted = encrypt_crosswalk(rows(), PSEUDONYMS)
    forged = encrypted.replace(PSEUDONYMS.fingerprint.encode(), OTHER.fingerprint.encode())
    with pytest.raises(Misconfigured, match="changed"):
        decrypt_crosswalk(forged, OTHER)


def test_every_changed_byte_is_noticed() -> None:
    encrypted = encrypt_crosswalk(rows()[:1], PSEUDONYMS)
    for position in range(0, len(encrypted), 7):
        changed = bytearray(encrypted)
        changed[position] ^= 1
        with pytest.raises(Misconfigured, match="crosswalk"):
            decrypt_crosswalk(bytes(changed), PSEUDONYMS)
    for cut in (0, 10, 60, 73, len(encrypted) - 1):
        with pytest.raises(Misconfigured, match="crosswalk"):
            decrypt_crosswalk(encrypted[:cut], PSEUDONYMS)


def test_rows_in_any_order_and_repeated_give_the_same_file() -> None:
    wanted = encrypt_crosswalk(rows(), PSEUDONYMS)
    assert all(encrypt_crosswalk([*order, *order], PSEUDONYMS) == wanted for order in permutations(rows()))


def test_no_two_contents_share_a_key_and_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[bytes, bytes]] = []
    encrypt = AESGCM.encrypt

    class Watched:
        def __init__(self, key: bytes) -> None:
            self._key = key

        def encrypt(self, nonce: bytes, content: bytes, more: bytes) -> bytes:
            used.append((self._key, nonce))
            return encrypt(AESGCM(self._key), nonce, content, more)

    monkeypatch.setattr("curate.deid.records.crosswalk.AESGCM", Watched)
    for number in range(1, len(rows()) + 1):
        encrypt_crosswalk(rows()[:number], PSEUDONYMS)
    encrypt_crosswalk(rows(), OTHER)
    assert len({key for key, _ in used}) == len({nonce for _, nonce in used}) == len(rows()) + 1
    assert all(len(key) == 32 and len(nonce) == 12 for key, nonce in used)


@pytest.mark.parametrize("place", ["store/crosswalk", "store/release/x/1.0.0/crosswalk", "other/../store/crosswalk"])
def test_it_is_not_written_into_what_may_be_handed_on(tmp_path: Path, place: str) -> None:
    with pytest.raises(Misconfigured, match="must not lie"):
        require_outside(tmp_path / place, [tmp_path / "store"])


def test_a_link_into_the_store_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "innocent").symlink_to(tmp_path / "store")
    with pytest.raises(Misconfigured, match="must not lie"):
        require_outside(tmp_path / "innocent" / "crosswalk", [tmp_path / "store"])
    require_outside(tmp_path / "store.private" / "crosswalk", [tmp_path / "store"])
