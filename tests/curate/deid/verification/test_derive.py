"""UIDs derived a second time equal the writer's, for any UID."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curate.deid import Keyed
from curate.deid.verification.derive import renames
from tests.support.deid_files import KEY

UIDS = st.from_regex(r"[12]\.[0-9]{1,6}(\.[0-9]{1,12}){1,5}", fullmatch=True)


@given(UIDS)
def test_two_implementations_of_the_recipe_agree(uid: str) -> None:
    assert renames(KEY)(uid) == Keyed(KEY).uid(uid)


@given(UIDS)
def test_without_a_key_uids_stay(uid: str) -> None:
    assert renames(None)(uid) == uid


def test_another_key_gives_another_uid() -> None:
    assert renames(KEY)("1.2.3.4") != renames(KEY[::-1])("1.2.3.4")
    assert renames(KEY)("1.2.840.10008.1.2.1") == "1.2.840.10008.1.2.1"
