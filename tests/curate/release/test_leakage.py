import os
from collections import Counter

from curate.deid.identifiers import Identifier
from curate.deid.leaks import LeakScanner
from curate.release.findings import Finding, Kind
from curate.release.leakage import LeakCheck, ReportedNames, leak_findings, without_keys

CHECK = LeakCheck(LeakScanner([Identifier("name", "Ruiz^Ana"), Identifier("patient_id", "MRN0001234")]))


def test_hits_are_counted_by_kind_and_never_quoted() -> None:
    found = CHECK.search("a.csv", "its bytes", [b"Ruiz, ruiz", b"MRN0001234"])
    assert found == [
        Finding("a.csv", Kind.LEAK, "name: 2 in its bytes"),
        Finding("a.csv", Kind.LEAK, "patient_id: 1 in its bytes"),
    ]


def test_a_short_name_in_bytes_that_are_no_text_is_chance_but_a_long_id_is_not() -> None:
    noise = os.urandom(100).replace(b"Ruiz", b"")
    assert CHECK.search("x", "its voxels", [noise + b" Ruiz " + noise], opaque=True) == []
    assert CHECK.search("x", "its voxels", [b"\0MRN0001234\0"], opaque=True)


def test_without_identifiers_nothing_is_found_but_everything_is_decoded() -> None:
    read: list[bytes] = []
    pieces = (read.append(piece) or piece for piece in (b"Ruiz", b"more"))  # type: ignore[func-returns-value]
    assert LeakCheck(None).search("a", "its bytes", pieces) == []
    assert read == [b"Ruiz", b"more"]
    assert LeakCheck(None).count_within(b"Ruiz", 0, 4, opaque=False) == {}


def test_only_hits_that_start_in_the_counting_part_of_a_block_count() -> None:
    block = b"Ruiz .... Ruiz .... Ruiz"
    assert CHECK.count_within(block, 0, len(block), opaque=False)["name"] == 3
    assert CHECK.count_within(block, 1, 20, opaque=False)["name"] == 1


def test_a_name_of_a_file_that_identifies_is_hidden_behind_a_number() -> None:
    names = ReportedNames(CHECK, ["a.csv", "Ruiz.txt", "odd name"])
    assert names.show("Ruiz.txt") == "?0"
    assert names.show("a.csv") == "a.csv"
    assert names.show("odd name") == "odd?name"
    assert names.findings == [Finding("?0", Kind.LEAK, "in its name")]


def test_no_hits_are_no_findings() -> None:
    assert leak_findings("a", "b", Counter()) == []


def test_keys_and_digests_are_not_searched_but_what_stands_beside_them_is() -> None:
    key, token, digest = b"Q2RUIZ7ABCDEFGHI", b"0123456789abcdef", b"0123456789abcdef" * 4
    assert len(key) == 16
    for harmless in (key, token, digest):
        assert CHECK.search("a", "", [b"x," + harmless + b",y"]) == []
        assert CHECK.search("a", "", [harmless + b",Ruiz"]) != []
        assert without_keys(b"<" + harmless + b">") == b"<" + b"0" * len(harmless) + b">"


def test_what_is_not_exactly_a_key_is_searched() -> None:
    for text in (
        b"ABCDEFGHIJKLRUIZ",
        b"a2ruiz7abcdefghi",
        b"Q2RUIZ7ABCDEFGHIJ",
        b"MRN0001234ABCDEF",
        b"2-RUIZ-ABCDEFGHI",
    ):
        assert without_keys(text) == text


def test_the_pixels_of_an_image_are_left_as_they_are() -> None:
    image = bytes(128) + b"DICM" + b"\0Q2RUIZ7ABCDEFGHI" + bytes(1 << 16) + b"Q2RUIZ7ABCDEFGHI"
    blanked = without_keys(image)
    assert len(blanked) == len(image)
    assert blanked.count(b"Q2RUIZ7ABCDEFGHI") == 1
