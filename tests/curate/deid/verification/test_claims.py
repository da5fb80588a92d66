"""The options that bind are those that the object states; overrides are read as the spec writes them."""

from __future__ import annotations

import pytest

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.verification.claims import claims_of, read_overrides
from curate.deid.verification.reading import read_contents
from curate.errors import Misconfigured
from tests.support.deid_files import KEY, encode, make_ct


def test_claims_are_the_codes_in_the_object() -> None:
    profile = load_profile("basic")
    output = deidentify_bytes(encode(make_ct()), profile, Keyed(KEY)).content
    claims = claims_of(read_contents(output))
    assert claims.codes == {code for code, _ in profile.codes}
    assert not claims.keeps_ids


def test_an_object_that_states_nothing_claims_nothing() -> None:
    assert claims_of(read_contents(encode(make_ct()))).codes == frozenset()


def test_overrides_are_read() -> None:
    read = read_overrides(["(0008,1010)=keep", '(0019,"GEMS_ACQU_01",9E) = keep', "(0008,103e)=remove"])
    assert read == {0x00081010: "K", (0x0019, "GEMS_ACQU_01", 0x9E): "K", 0x0008103E: "X"}


@pytest.mark.parametrize("line", ["StationName=keep", "(0008,1010)=maybe", "(0008,1010)", ""])
def test_other_overrides_are_refused(line: str) -> None:
    with pytest.raises(Misconfigured):
        read_overrides([line])
