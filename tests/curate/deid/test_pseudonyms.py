"""Keyed names: one function of the key, nothing without it."""

from __future__ import annotations

import hashlib
import pickle
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.deid.pseudonyms import Keyed, PublicIds, canonical_id, is_well_known, patient_key
from curate.errors import Misconfigured
from tests.support.deid_files import KEY

ONE, OTHER = Keyed(KEY), Keyed(bytes(32))


@given(st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){2,5}", fullmatch=True))
def test_a_uid_becomes_a_valid_uuid_derived_uid_of_at_most_64_characters(old: str) -> None:
    new = Keyed(KEY).uid(old)
    assert new == old or (len(new) <= 64 and uuid.UUID(int=int(new.removeprefix("2.25."))).version == 8)


def test_any_id_string_can_be_renamed() -> None:
    assert re.fullmatch(r"2\.25\.\d+", ONE.uid("4003253"))
    assert ONE.uid("4003253") != ONE.uid("4003254")


def test_padding_makes_no_difference_to_a_uid() -> None:
    assert ONE.uid("1.2.3\0") == ONE.uid("1.2.3") == ONE.uid(" 1.2.3 ")


def test_an_empty_uid_stays_empty() -> None:
    assert ONE.uid("") == ""


def test_uids_of_the_standard_stay() -> None:
    for uid in ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.4.1.1"):
        assert ONE.uid(uid) == uid


def test_instance_uids_that_a_device_made_below_the_root_of_the_standard_are_renamed() -> None:
    assert not is_well_known("1.2.840.10008.5.1.4.1.1.2.20200229.1234")
    assert ONE.uid("1.2.840.10008.5.1.4.1.1.2.20200229.1234").startswith("2.25.")


def test_another_key_has_nothing_in_common() -> None:
    for name in ("uid", "patient"):
        assert getattr(ONE, name)("1.2.3") != getattr(OTHER, name)("1.2.3")
    assert ONE.token("accession", "A1234") != OTHER.token("accession", "A1234")
    assert ONE.digest(b"x") != OTHER.digest(b"x")
    assert ONE.fingerprint != OTHER.fingerprint


def test_no_plain_digest_of_the_value_or_of_value_and_name_is_used() -> None:
    made = {ONE.patient("MRN77"), ONE.token("accession", "MRN77"), ONE.digest(b"MRN77")}
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        assert hashlib.new(algorithm, b"MRN77").hexdigest()[:16] not in {text[:16] for text in made}


def test_one_patient_is_one_however_the_number_is_written() -> None:
    keys = {ONE.patient(text, site="a") for text in ("MRN77", "MRN77 ", " mrn77", "ＭＲＮ77")}
    assert len(keys) == 1
    assert re.fullmatch(r"[A-Z2-7]{16}", keys.pop())


def test_the_same_number_of_two_sites_or_two_issuers_is_two_patients() -> None:
    keys = {
        ONE.patient("77", site="a"),
        ONE.patient("77", site="b"),
        ONE.patient("77", issuer="a"),
        ONE.patient("77", issuer="b", site="a"),
    }
    assert len(keys) == 4


def test_the_issuer_overrides_the_site() -> None:
    assert ONE.patient("77", issuer="h", site="a") == ONE.patient("77", issuer="H ", site="b")


def test_parts_cannot_be_moved_from_one_field_to_the_next() -> None:
    assert ONE.patient("77", site="a\0b") != ONE.patient("b77", site="a\0")
    assert ONE.token("ab", "c") != ONE.token("a", "bc")


@given(st.text(min_size=1, max_size=20))
def test_the_shift_goes_back_by_one_day_to_ten_years(patient: str) -> None:
    assert -3652 <= Keyed(KEY).shift_days(patient) <= -1


def test_shifts_of_many_patients_spread_over_the_whole_range() -> None:
    shifts = [ONE.shift_days(str(n)) for n in range(4000)]
    assert min(shifts) < -3600
    assert max(shifts) > -50
    assert len(set(shifts)) > 2000


def test_objects_without_a_patient_id_are_patients_of_their_own_study() -> None:
    first, second = (patient_key(ONE, patient_id=" ", study_uid=uid, site="a") for uid in ("1.2.3", "1.2.4"))
    assert first != second
    assert first == patient_key(ONE, patient_id="", study_uid="1.2.3", site="a")
    assert patient_key(ONE, patient_id="77", study_uid="1.2.3", site="a") == ONE.patient("77", site="a")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(Misconfigured, match="32 bytes"):
        Keyed(b"short")


def test_the_key_is_never_shown_nor_pickled() -> None:
    secret = Keyed(b"0123456789abcdefFEDCBA9876543210")
    for text in (repr(secret), str(secret), f"{secret!r:>80}"):
        assert "0123456789" not in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_public_ids_change_nothing() -> None:
    ids = PublicIds()
    assert ids.uid("1.2.826.7 ") == "1.2.826.7"
    assert ids.patient("10000", site="x") == "10000"
    assert ids.token("accession", "A") == "A"
    assert ids.shift_days("10000") == 0
    assert ids.digest(b"x") == hashlib.sha256(b"x").hexdigest()
    assert ids.fingerprint == "0" * 16


def test_ids_are_compared_in_one_spelling() -> None:
    assert canonical_id(" a-7\0") == "A-7"
