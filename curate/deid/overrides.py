"""Site overrides: what a site decides about one tag against its profile, written as data in the spec.

``"(0008,1010)" = "remove"`` speaks of a standard tag, ``'(0019,"GEMS_ACQU_01",9E)' = "keep"`` of a private one, by
its creator and the last two digits of its number, since private blocks move (PS3.5 7.8.1). What names the patient or
the object, and what the file needs to be read, cannot be overridden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from curate.deid.vrs import KIND_OF_VR, VR_OF_TAG, Kind
from curate.errors import Misconfigured

CHOICES = ("keep", "clean", "empty", "remove")
_PUBLIC = re.compile(r"\(([0-9a-fA-F]{4}),([0-9a-fA-F]{4})\)")
_PRIVATE = re.compile(r'\(([0-9a-fA-F]{3}[13579bdfBDF]),"([^"\\]{1,64})",(?:xx)?([0-9a-fA-F]{2})\)')
_FIXED = frozenset((0x00080005, 0x00080016, 0x00080018, 0x00100010, 0x00100020, 0x0020000D, 0x0020000E))
_PIXEL_MODULE = range(0x00280002, 0x00280304)
_MARKS = frozenset((0x00120062, 0x00120063, 0x00120064))


class PrivateName(NamedTuple):
    """A private attribute wherever its block lies: group, creator, last byte of the element number."""

    group: int
    creator: str
    number: int


@dataclass(frozen=True, slots=True, order=True)
class Override:
    """One decision of a site. ``tag`` is as people write it, in one spelling."""

    tag: str
    choice: str

    @property
    def key(self) -> int | PrivateName:
        """The tag number, or the private name."""
        return parse_tag(self.tag)


def read_overrides(choices: Mapping[str, str] | Iterable[Override]) -> tuple[Override, ...]:
    """Overrides of a spec, sorted, in one spelling.

    Raises Misconfigured for a tag or choice that is none, one tag twice, and what must not be overridden.
    """
    pairs = choices.items() if isinstance(choices, Mapping) else [(one.tag, one.choice) for one in choices]
    settled: dict[str, str] = {}
    for text, choice in pairs:
        key = parse_tag(text)
        if choice not in CHOICES:
            raise Misconfigured(f"deid.overrides.{text}: expected one of {', '.join(CHOICES)}")
        spelling = format_tag(key)
        if spelling in settled:
            raise Misconfigured(f"deid.overrides.{text}: stands there twice")
        if isinstance(key, int):
            _refuse_what_is_fixed(key, choice, spelling)
        settled[spelling] = choice
    return tuple(sorted(Override(tag, choice) for tag, choice in settled.items()))


def parse_tag(text: str) -> int | PrivateName:
    """``(gggg,eeee)`` or ``(gggg,"CREATOR",ee)``. Raises Misconfigured for anything else."""
    public, private = _PUBLIC.fullmatch(text), _PRIVATE.fullmatch(text)
    if private:
        return PrivateName(int(private[1], 16), private[2].strip(), int(private[3], 16))
    if public is None:
        raise Misconfigured(f'deid.overrides.{text}: expected (gggg,eeee) or (gggg,"CREATOR",ee)')
    if int(public[1], 16) & 1:
        raise Misconfigured(f'deid.overrides.{text}: a private tag is named with its creator: (gggg,"CREATOR",ee)')
    return int(public[1] + public[2], 16)


def format_tag(key: int | PrivateName) -> str:
    """The one spelling of a tag: lower case digits for standard ones, as PS3.6 writes private ones."""
    if isinstance(key, PrivateName):
        return f'({key.group:04x},"{key.creator}",{key.number:02x})'
    return f"({key >> 16:04x},{key & 0xFFFF:04x})"


def _refuse_what_is_fixed(tag: int, choice: str, spelling: str) -> None:
    if tag in _FIXED or tag in _MARKS or tag in _PIXEL_MODULE or tag >> 16 in (0x7FE0, *range(8)):
        raise Misconfigured(f"deid.overrides.{spelling}: names the patient or the object, or how to read it: fixed")
    kind = KIND_OF_VR[VR_OF_TAG.get(tag, b"UN")]
    if choice == "keep" and kind in (Kind.UNKNOWN, Kind.BULK):
        raise Misconfigured(f"deid.overrides.{spelling}: bytes that nothing here can read are not kept")
    if choice == "clean" and kind in (Kind.UNKNOWN, Kind.BULK, Kind.PERSON):
        raise Misconfigured(f"deid.overrides.{spelling}: there is no cleaning for its kind of value ({kind.value})")
