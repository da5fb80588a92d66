"""dciodvfy's judgement before and after, where the program is installed."""

from __future__ import annotations

import pytest

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.verification.validity import error_kinds, find_program, new_error_kinds
from tests.support.deid_files import KEY, encode, make_ct

PROGRAM = find_program()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="dciodvfy is not installed")


def test_de_identification_adds_no_kind_of_error() -> None:
    assert PROGRAM is not None
    source = encode(make_ct())
    output = deidentify_bytes(source, load_profile("basic"), Keyed(KEY)).content
    assert new_error_kinds(PROGRAM, source, output) == []


def test_a_lost_attribute_is_a_new_kind() -> None:
    assert PROGRAM is not None
    kinds = new_error_kinds(PROGRAM, encode(make_ct()), encode(make_ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.4")))
    assert kinds
    assert new_error_kinds(PROGRAM, encode(make_ct()), encode(make_ct(Rows=None)))


def test_kinds_quote_no_value() -> None:
    assert PROGRAM is not None
    kinds = error_kinds(PROGRAM, encode(make_ct(PatientSex="QUIXOTOVA", PatientAge="WUNDERLICH")))
    assert kinds
    assert not any("QUIXOTOVA" in kind or "WUNDERLICH" in kind for kind in kinds)
