"""What a release says of its sites is what its images are judged by."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from curate.deid import load_profile
from curate.deid.review.decisions import make_decisions
from curate.deid.verification.crew import Crew
from curate.deid.verification.workers import warm
from curate.errors import Misconfigured
from curate.release import Kind, build_release, state, verify_release
from curate.release.inspection import ABOUT, Inspector
from curate.release.leakage import LeakCheck
from curate.release.promises import Promises, decided_attributes
from tests.support.release_store import PSEUDONYMS, make_store
from tests.support.tampering import edit_json

KEPT = "(0008,0080)"
STATEMENT = {"profile": "basic", "options": [["113100", ""], ["113107", ""], ["113108", ""], ["113109", ""]]}


@pytest.fixture(scope="module")
def kept_at_one_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_store(tmp_path_factory.mktemp("store"), "cervical", site_overrides={"site-a": {KEPT: "keep"}})
    return build_release(
        made.store,
        tmp_path_factory.mktemp("release"),
        description=made.description,
        deidentification=made.statement,
        manifests=made.manifests,
    ).path


def headers(root: Path) -> set[str]:
    return {finding.detail for finding in verify_release(root) if finding.kind is Kind.HEADER}


def test_a_release_of_which_one_site_keeps_an_attribute_and_says_so_verifies(kept_at_one_site: Path) -> None:
    assert json.loads((kept_at_one_site / ABOUT).read_text())["deidentification"]["site_overrides"] == [
        ["site-a", KEPT, "keep"]
    ]
    assert f"{KEPT} at site-a | keep" in (kept_at_one_site / "DEIDENTIFICATION.md").read_text()
    assert verify_release(kept_at_one_site) == []


@pytest.mark.parametrize("said", [[], [["site-b", KEPT, "keep"]], [["site-a", "(0008,0081)", "keep"]]])
def test_one_that_keeps_it_without_saying_so_does_not(
    kept_at_one_site: Path, tmp_path: Path, said: list[list[str]]
) -> None:
    root = Path(shutil.copytree(kept_at_one_site, tmp_path / "1.0.0"))
    edit_json(root / ABOUT, lambda about: about["deidentification"].update(site_overrides=said))
    found = headers(root)
    assert any(KEPT in detail and "must_be_replaced" in detail for detail in found)
    assert not any("Seven Bridges" in detail for detail in found)


def test_an_image_is_judged_by_the_options_that_the_release_states(kept_at_one_site: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(kept_at_one_site, tmp_path / "1.0.0"))
    edit_json(root / ABOUT, lambda about: about["deidentification"]["options"].pop())
    assert any("(0012,0064)" in detail for detail in headers(root))


def die(items: Sequence[object]) -> Iterator[object]:
    os.kill(os.getpid(), 11)
    yield from items


def test_a_reader_that_crashes_is_a_finding_of_that_file(kept_at_one_site: Path) -> None:
    image = sorted(kept_at_one_site.rglob("*.dcm"))[0].relative_to(kept_at_one_site).as_posix()
    with Crew(die, 1, context=warm()) as readers:
        inspector = Inspector(kept_at_one_site, LeakCheck(None), readers)
        for path in (ABOUT, "manifests/series.parquet", image, "README.md"):
            inspector.inspect(path)
        readers.finish()
    (finding,) = inspector.findings
    assert (finding.path, finding.kind) == (image, Kind.HEADER)
    assert finding.detail.startswith("reader_crashed")
    assert "README.md" in inspector.texts


def test_sites_have_their_own_promises_on_top_of_the_common_ones() -> None:
    promises = Promises(
        {**STATEMENT, "overrides": [["(0008,1030)", "keep"]], "site_overrides": [["a", "(0008,1030)", "remove"]]}
    )
    assert promises.at("a").overrides == {0x00081030: "X"}
    assert promises.at("b").overrides == promises.at("").overrides == {0x00081030: "K"}
    assert promises.at("a").codes == {"113100", "113107", "113108", "113109"}
    assert promises.differ_by_site


def test_options_that_are_not_those_of_the_named_profile_count() -> None:
    promises = Promises({"profile": "basic", "options": [["113100", ""], ["113106", ""]]})
    assert promises.at("").codes == {"113100", "113106"}
    assert not promises.at("").keeps_ids
    assert not promises.differ_by_site
    assert Promises({"profile": "public", "options": []}).at("").keeps_ids


@pytest.mark.parametrize(
    "change",
    [
        {"profile": "unheard-of"},
        {"overrides": [["StationName", "keep"]]},
        {"overrides": [[KEPT, "hash"]]},
        {"site_overrides": [["a", "(0010,0020)", "keep"]]},
        {"allow": ["everything"]},
        {"overrides": [["one"]]},
        {"options": 7},
    ],
)
def test_a_statement_that_no_build_writes_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((Misconfigured, ValueError, TypeError)):
        Promises({**STATEMENT, **change})


def test_decisions_are_stated_by_attribute_and_keyed_digest_and_nothing_else() -> None:
    rows = [
        {"tag_path": "(0018,1400)", "vr": "LO", "value": "Seven Bridges", "decision": "keep"},
        {"tag_path": "(0040,0275)/(0018,1400)", "vr": "LO", "value": "Other House", "decision": "clean"},
        {"tag_path": "(0008,1030)", "vr": "LO", "value": "knee of Smith", "decision": "clean"},
        {"tag_path": "(0008,103e)", "vr": "LO", "value": "Smith", "decision": "remove"},
        {"tag_path": "(0019,xx0c,SMITH)", "vr": "LO", "value": "x", "decision": "keep"},
    ]
    decisions = make_decisions(rows)
    stated = state(load_profile("basic"), PSEUDONYMS, None, decisions)
    assert stated.decided == (("(0008,1030)", "clean"), ("(0018,1400)", "keep"))
    assert stated.decisions == PSEUDONYMS.digest(decisions.content(), "decisions")
    assert not any(word in repr(stated) for word in ("Bridges", "Smith", "SMITH", "House"))
    assert state(load_profile("basic"), PSEUDONYMS).decisions == ""


def test_decisions_on_private_attributes_are_stated_too_unless_their_creator_may_be_a_name() -> None:
    marks = [
        ("(0019,xx0c,SIEMENS MR HEADER)", "keep"),
        ("(0019,xx0d,SMITH)", "keep"),
        ("(0019,xx0e,SIEMENS MR HEADER)", "remove"),
    ]
    stated = decided_attributes(marks)
    assert stated == (('(0019,"SIEMENS MR HEADER",0c)', "keep"),)
    promise = Promises({**STATEMENT, "decided": [list(one) for one in stated]}).at("")
    assert promise.overrides == {(0x0019, "SIEMENS MR HEADER", 0x0C): "K"}


def test_attributes_that_a_person_decided_about_may_stay() -> None:
    assert Promises({**STATEMENT, "decided": [[KEPT, "keep"]]}).at("").overrides == {0x00080080: "K"}
    assert decided_attributes([("(0010,0020)", "keep")]) == ()  # what names the patient never is
