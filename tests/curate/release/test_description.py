from dataclasses import replace

import pytest

from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed, PublicIds
from curate.errors import Misconfigured
from curate.release.description import describe, state
from tests.support.release_store import KEY
from tests.support.release_store import describe as make_description


def test_folders_are_named_by_name_and_version() -> None:
    description = make_description("lumbar", version="2.0.1")
    assert description.folder == "six-lumbar/2.0.1"
    assert description.private_folder == "six-lumbar/2.0.1-private"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../elsewhere"),
        ("name", ""),
        ("name", "a/b"),
        ("version", ".."),
        ("version", "1.0.0-private"),
        ("task", "thoracic"),
        ("title", "two\nlines"),
        ("licence", "CC0\r"),
    ],
)
def test_what_cannot_be_a_folder_or_a_line_is_refused_with_its_key(field: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"release.{field}"):
        replace(make_description("cervical"), **{field: value})


def test_the_statement_names_profile_edition_options_and_the_fingerprint_but_not_the_key() -> None:
    statement = state(load_profile("basic"), Keyed(KEY))
    codes = [code for code, _ in statement.options]
    assert codes[0] == "113100"  # CID 7050: Basic Application Confidentiality Profile
    assert "113107" in codes  # Retain Longitudinal Temporal Information Modified Dates Option
    assert statement.edition == "2026d"
    assert len(statement.key_fingerprint) == 16
    assert KEY.hex() not in repr(statement)


def test_a_public_source_has_no_key() -> None:
    assert state(load_profile("public"), PublicIds()).key_fingerprint == ""


def test_the_description_is_plain_json() -> None:
    facts = describe(make_description("cervical"), state(load_profile("basic"), Keyed(KEY)))
    assert facts["spacing_mm"] == [1.0, None, 1.0]
    assert facts["deidentification"]["options"][0] == ["113100", "Basic Application Confidentiality Profile"]
