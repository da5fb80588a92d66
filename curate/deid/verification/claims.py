"""What an output says of itself in (0012,0063) and (0012,0064): the options that bind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from curate.deid.review.decisions import Decisions
from curate.deid.verification.entries import Contents
from curate.deid.verification.standard import FULL_DATES, KEEP_UIDS
from curate.errors import Misconfigured

Private: TypeAlias = tuple[int, str, int]  # group, creator, number in the block
Marks: TypeAlias = Mapping[tuple[str, str], str]
"""What a person decided about single values: (path of tags, text in the source) -> keep, clean or remove."""
Overrides: TypeAlias = Mapping[int | Private, str]  # tag -> letter: K (keep), C (clean), Z (empty), X (remove)

_LETTERS = {"keep": "K", "clean": "C", "empty": "Z", "remove": "X"}
_PLAIN = re.compile(r"\(([0-9a-fA-F]{4}),([0-9a-fA-F]{4})\)")
_PRIVATE = re.compile(r'\(([0-9a-fA-F]{4}),"([^"]+)",(?:xx)?([0-9a-fA-F]{2})\)')
_PRIVATE_STEP = re.compile(r"(?:^|/)\(([0-9a-f]{4}),xx[0-9a-f]{2},(.*)\)$", re.DOTALL)
_PUBLIC = "public source, ids and dates kept"
_KEPT_IN_PUBLIC = frozenset((FULL_DATES, KEEP_UIDS, "113108", "113109"))


@dataclass(frozen=True, slots=True)
class Claims:
    """CID 7050 codes; whether ids were public before; what a site treats otherwise, and a person."""

    codes: frozenset[str]
    keeps_ids: bool = False
    overrides: Overrides = field(default_factory=dict)
    marks: Marks = field(default_factory=dict, repr=False)

    def marked_creators(self) -> frozenset[tuple[int, str]]:
        """Groups and creators of private attributes of which a value was marked to stay."""
        steps = (_PRIVATE_STEP.search(path) for (path, _), mark in self.marks.items() if mark != "remove")
        return frozenset((int(step[1], 16), step[2]) for step in steps if step)


def claims_of(output: Contents, overrides: Overrides | None = None, marks: Marks | None = None) -> Claims:
    """As the object states them."""
    codes = {
        inner.value.strip(b" \0").decode("latin-1")
        for entry in output.entries
        if entry.tag == 0x00120064
        for item in entry.items or ()
        for inner in item
        if inner.tag == 0x00080100
    }
    if not codes and output.text(0x00120063).endswith(_PUBLIC):
        return Claims(_KEPT_IN_PUBLIC, True, overrides or {}, marks or {})
    return Claims(frozenset(codes), False, overrides or {}, marks or {})


def marks_of(decisions: Decisions | None) -> Marks:
    """The decisions that a run was given, whatever the VR: a file that gives none says the same."""
    return {(path, text): mark for (path, _, text), mark in (decisions.rows if decisions else {}).items()}


def read_overrides(lines: Iterable[str]) -> Overrides:
    """Of lines such as ``(0008,1010)=keep`` and ``(0019,"GEMS_ACQU_01",9E)=keep``. Raises Misconfigured for others."""
    overrides: dict[int | Private, str] = {}
    for line in lines:
        tag, _, choice = line.rpartition("=")
        plain, private = _PLAIN.fullmatch(tag.strip()), _PRIVATE.fullmatch(tag.strip())
        letter = _LETTERS.get(choice.strip())
        if letter is None or not (plain or private):
            raise Misconfigured(
                'an override is (gggg,eeee)=CHOICE or (gggg,"CREATOR",ee)=CHOICE: keep, clean, empty, remove'
            )
        if plain:
            overrides[int(plain[1] + plain[2], 16)] = letter
        elif private:
            overrides[int(private[1], 16), private[2].strip(), int(private[3], 16)] = letter
    return overrides
