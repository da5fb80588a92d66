"""What the HTML pages share."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from curate.deid.review.pages import count, fill_page, markup_table, table


def parts_of(name: str) -> dict[str, str]:
    from importlib import resources

    template = resources.files("curate.deid.review").joinpath("page", f"{name}.html").read_text("utf-8")
    return dict.fromkeys(re.findall(r"\{([a-z_]+)\}", template), "x")


@pytest.mark.parametrize(("name", "has_script"), [("values", True), ("report", False)])
def test_the_policy_names_the_digests_of_what_stands_in_the_page(name: str, has_script: bool) -> None:
    page = fill_page(name, parts_of(name), has_script=has_script).decode()
    for tag in ("style", "script")[: 1 + has_script]:
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page


def test_a_filled_place_is_not_looked_at_again() -> None:
    parts = parts_of("report") | {"lede": "{title}", "title": "only once"}
    page = fill_page("report", parts).decode()
    assert page.count("only once") == 1
    assert "{title}" in page


def test_a_missing_part_is_a_fault() -> None:
    with pytest.raises(KeyError):
        fill_page("report", {})


def test_cells_are_text_unless_they_are_said_to_be_markup() -> None:
    assert "<td>&lt;b&gt;</td>" in table(("a", "b"), [("<b>", "1")])
    assert "<td><b>x</b></td>" in markup_table(("a", "b"), [("<b>x</b>", "1")])
    assert '<th class="number">b</th>' in table(("a", "b"), [])


def test_numbers_agree_with_their_nouns() -> None:
    assert count(1, "file") == "1 file"
    assert count(1200, "file") == "1,200 files"
    assert count(2, "study", "studies") == "2 studies"
