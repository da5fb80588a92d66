"""The statement: counted from tables, in words that need no standard at hand."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from curate.deid.options import OPTIONS, READY
from curate.deid.profile import load_profile
from curate.deid.records.anonymity import Anonymity
from curate.deid.records.audit_chain import chain_audit, chain_head
from curate.deid.records.statement import Statement, make_statement, render_statement, residual_risk
from curate.manifests.schemas import FILE_AUDIT

CHAIN = chain_audit(
    pa.Table.from_pylist(
        [
            {
                "series_key": "2.25.1",
                "instance_key": f"2.25.1{number}",
                "counts": [
                    {"what": "removed", "elements": 10},
                    {"what": "private removed: SIEMENS CSA HEADER", "elements": 3},
                    {"what": "private removed: other creators", "elements": number},
                ],
                "flags": [],
                "blanked": [{"cause": "text", "top": 0, "left": 0, "bottom": 9, "right": 99}] if number == 2 else [],
            }
            for number in range(1, 4)
        ],
        schema=FILE_AUDIT,
    )
)
EXCLUSIONS = [
    {"status": "quarantined", "reason": "burned_in_annotation"},
    {"status": "quarantined", "reason": "burned_in_annotation"},
    {"status": "rejected", "reason": "localizer"},
    {"status": "not_selected", "reason": ""},
]
FIGURES = [
    Anonymity("series", ("manufacturer", "site"), 12, 4, 4, (("manufacturer", 3),)),
    Anonymity("slices", (), 12, 12, 0),
]


def state(profile: str = "mira") -> Statement:
    chosen = load_profile(profile)
    return make_statement(
        CHAIN,
        profile=profile,
        edition=chosen.edition,
        options=chosen.codes,
        overrides=[("(0008,1010)", "remove")],
        key_fingerprint="" if profile == "public" else "0123456789abcdef",
        exclusions=EXCLUSIONS,
        anonymity=FIGURES,
    )


def test_numbers_are_sums_over_the_audit() -> None:
    statement = state()
    assert statement.files == 3
    assert dict(statement.actions) == {"removed": 30}
    assert dict(statement.private_dropped) == {"SIEMENS CSA HEADER": 9, "other creators": 6}
    assert statement.blanked_files == 1
    assert statement.audit_head == chain_head(CHAIN)


def test_only_what_was_kept_apart_for_privacy_is_quarantined() -> None:
    assert state().quarantined == (("burned_in_annotation", 2),)


def test_the_page_shows_every_number_and_code() -> None:
    page = render_statement(state(), title="Spines").decode()
    for line in (
        "# De-identification of Spines",
        "| 113105 | Clean Descriptors Option | descriptions are kept, without the words in them that identify |",
        "| SIEMENS CSA HEADER | 9 |",
        "| burned_in_annotation | 2 |",
        "| (0008,1010) | remove |",
        "| removed | 30 |",
        "| series | 4 | 12 | 4 | manufacturer, site | manufacturer 3 times |",
        "| slices | 12 | 12 | 0 | nothing that others know | nothing |",
        "Rectangles of pixels were made black in 1 files.",
    ):
        assert line in page
    assert chain_head(CHAIN) in page
    assert "0123456789abcdef" in page


def test_machine_and_page_say_the_same() -> None:
    record, page = state().record(), render_statement(state(), title="Spines").decode()
    assert record["private_dropped"]["other creators"] == 6
    assert [figure["k"] for figure in record["anonymity"]] == [4, 12]
    assert all(f"- {risk}" in page for risk in record["residual_risk"])


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_that_keeps_something_names_its_risk(option: str) -> None:
    without = set(residual_risk(["113100"]))
    risks = set(residual_risk(["113100", OPTIONS[option].code]))
    if option.startswith("retain") or option in ("clean_descriptors", "clean_pixel_data"):
        assert len(risks - without) == 1
    assert {risk for risk in risks if "key" in risk}


def test_what_was_not_done_is_said() -> None:
    assert any("not searched for text" in risk for risk in residual_risk(["113100"]))
    assert any("Faces were not altered" in risk for risk in residual_risk(["113100"]))
    assert not any("not searched" in risk for risk in residual_risk(code for code, _ in load_profile("mira").codes))


def test_a_public_source_says_that_its_ids_were_kept() -> None:
    page = render_statement(state("public"), title="Spines").decode()
    assert "public before" in page
    assert "none: the ids of the public source are kept" in page
    assert "project key and the source" not in page


def test_a_table_in_which_too_few_hide_is_named_with_what_would_help() -> None:
    assert "k is below 5 in series: a site is named" in render_statement(state(), title="Spines").decode()
    enough = replace(state(), anonymity=(FIGURES[1],))
    assert "each patient hides among 5 or more" in render_statement(enough, title="Spines").decode()


def test_empty_tables_say_none() -> None:
    page = render_statement(
        make_statement(
            CHAIN.slice(0, 0),
            profile="basic",
            edition="2026d",
            options=(),
            overrides=(),
            key_fingerprint="",
            exclusions=(),
            anonymity=(),
        ),
        title="Nothing",
    ).decode()
    assert page.count("None.") == 5
    assert READY.keys() >= {"basic", "mira", "public"}
