"""Every reason has an answer, and what it names of a spec is there."""

from __future__ import annotations

import re

import pytest

from curate.reasons import Reason
from pipelines.advice import what_to_do
from pipelines.spec import Deid, Runtime, Volumes

SECTIONS = {"deid": Deid, "volumes": Volumes, "runtime": Runtime}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_an_answer(reason: Reason) -> None:
    assert what_to_do(reason).endswith(".")


def test_settings_that_are_named_exist() -> None:
    named = [
        (section, words)
        for reason in Reason
        for section, words in re.findall(r"\[(deid|volumes|runtime)\] ([a-z_, ]+)", what_to_do(reason))
    ]
    assert len(named) >= 5
    for section, words in named:
        assert words.replace(",", " ").split()[0] in SECTIONS[section].model_fields


def test_what_no_spec_changes_is_said_as_to_a_site() -> None:
    assert what_to_do(Reason.EMPTY_FILE) == "Ask whoever made the export for these files again."
