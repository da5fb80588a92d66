"""Fingerprints depend on what they name and on nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.identity import canonical_json, digest_json, fingerprint, fingerprinter, list_digester


def test_equal_values_give_equal_bytes_whatever_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None, "ü"]}) == canonical_json({"a": [1.5, None, "ü"], "b": 1})
    assert canonical_json({"a": "ü"}) == '{"a":"ü"}'.encode()


def test_a_value_that_is_not_json_is_refused() -> None:
    with pytest.raises(ValueError):
        digest_json(float("nan"))


@given(st.lists(st.text(max_size=8), max_size=6), st.randoms())
def test_the_order_of_inputs_does_not_matter(inputs: list[str], random: object) -> None:
    shuffled = list(inputs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint("volumes", 1, "p", inputs) == fingerprint("volumes", 1, "p", shuffled)


@pytest.mark.parametrize(
    "changed",
    [
        ("labels", 1, "p", ["a"]),
        ("volumes", 2, "p", ["a"]),
        ("volumes", 1, "q", ["a"]),
        ("volumes", 1, "p", ["a", "b"]),
    ],
)
def test_every_part_matters(changed: tuple[str, int, str, list[str]]) -> None:
    assert fingerprint(*changed) != fingerprint("volumes", 1, "p", ["a"])


@given(st.text(max_size=8), st.integers(0, 99), st.text(max_size=8), st.lists(st.text(max_size=8), max_size=4))
def test_a_fingerprint_is_the_digest_of_its_canonical_json(
    stage: str, version: int, parameters: str, inputs: list[str]
) -> None:
    whole = {"stage": stage, "version": version, "parameters": parameters, "inputs": sorted(inputs)}
    assert fingerprinter(stage, version, parameters)(inputs) == digest_json(whole)


@pytest.mark.parametrize("shared", [{}, {"a": 1}, {"z": "z"}, {"a": '"items":[]', "z": [], "items": ["other"]}])
@pytest.mark.parametrize("values", [[], ["a"], ["b", "a"], ['"', "\\", "ü"]])
def test_a_list_is_digested_as_in_the_whole(shared: dict[str, object], values: list[str]) -> None:
    assert list_digester("items", shared)(values) == digest_json({**shared, "items": values})  # type: ignore[arg-type,dict-item]
