"""What PS3.15 Annex E asks of an attribute, as the verifier reads it: its own copy, keyed by CID 7050 option codes.

``attributes.txt`` (Table E.1-1), ``content_items.txt`` (Table E.3.4-1), ``safe_private.txt`` (Table E.3.10-1).
The options that bind are those that the output itself states in (0012,0064).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

BASIC, CLEAN_PIXELS, CLEAN_STRUCTURED, CLEAN_TEXT = "113100", "113101", "113104", "113105"
FULL_DATES, MODIFIED_DATES, KEEP_UIDS, SAFE_PRIVATE = "113106", "113107", "113110", "113111"


@dataclass(frozen=True, slots=True, eq=False)
class Duty:
    """A row of a table: letters of the basic action (X, Z, D, U) and what each option code makes of it (K, C)."""

    basic: frozenset[str]
    options: Mapping[str, str]


@cache
def under(duty: Duty, claims: frozenset[str]) -> frozenset[str]:
    """Letters of what may have been done: those of the options that are claimed, and always the basic action."""
    return duty.basic | {duty.options[code] for code in claims if code in duty.options}


@cache
def attributes() -> Mapping[int, Duty]:
    """By tag."""
    return {int(cells[0], 16): _duty(cells[1:]) for cells in _rows("attributes.txt")}


@cache
def content_items() -> Mapping[tuple[str, str], Duty]:
    """By coding scheme designator and code value of the concept name."""
    return {(cells[0], cells[1]): _duty(cells[2:]) for cells in _rows("content_items.txt")}


@cache
def safe_private() -> Mapping[tuple[int, str, int], str]:
    """By group, private creator and element within the block: the VR that the value must have."""
    return {(int(cells[0], 16), cells[1], int(cells[2], 16)): cells[3] for cells in _rows("safe_private.txt")}


@cache
def safe_creators() -> frozenset[tuple[int, str]]:
    """Groups and creators of which at least one attribute is safe."""
    return frozenset((group, creator) for group, creator, _ in safe_private())


def _duty(cells: list[str]) -> Duty:
    options = dict(cell.split("=") for cell in cells[1:])
    return Duty(frozenset(cells[0].replace("*", "").split("/")), options)


def _rows(name: str) -> Iterator[list[str]]:
    text = resources.files("curate.deid.verification").joinpath(name).read_text(encoding="ascii")
    return (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
