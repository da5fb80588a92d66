"""The tables of PS3.15 Annex E as records, read once from the JSON files beside this module.

Every rule is keyed by tag number, never by keyword: the edition names tags that dictionaries do not know yet.
``ps315_2026d.json``: Tables E.1-1 and E.3.4-1; ``iod_types_for_E11.json``: attribute types (PS3.3) that settle
compound actions; ``safe_private_E3101_union.json``: Table E.3.10-1; ``cid7050.json``: option codes (PS3.16);
``unlisted.json``: this project's rules for what the tables do not list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

_REFERRED_TO = (0x00081140, 0x00082112)  # referenced images, source images
_MULTI_FRAME = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{number}"
    for number in ("2.1", "2.2", "4.1", "4.3", "4.4", "6.2", "66.4", "66.7")  # enhanced CT, MR, US; segmentations
)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of Table E.1-1: the action of the basic profile and what each option makes of it."""

    tag: int
    name: str
    basic: str  # X, Z, D, U, or a compound such as X/Z/D
    options: Mapping[str, str]  # option -> K | C


@dataclass(frozen=True, slots=True)
class ContentRow:
    """One row of Table E.3.4-1: what becomes of a content item, by the concept that names it."""

    meaning: str
    basic: str  # X, D or X/D
    options: Mapping[str, str]  # option -> K | C


@dataclass(frozen=True, slots=True)
class SafeRow:
    """One safe private attribute: the VR that it has and how many values, at least and at most (0: any number)."""

    vr: bytes
    fewest: int
    most: int


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Rules for attributes outside Table E.1-1, and words that never identify anyone."""

    retained_text: frozenset[int]
    needed: Mapping[int, str]  # text that images must have (types 1 and 2): tag -> empty | dummy, where it cannot stay
    retained_bulk: frozenset[int]
    public_refuses: frozenset[int]
    vocabulary: frozenset[str]


@cache
def edition() -> str:
    """Edition of the standard that the table was taken from, such as 2026d."""
    return str(_load("ps315_2026d.json")["source"]["edition"])


@cache
def table_rows() -> Mapping[int, TableRow]:
    """Rows of Table E.1-1 with a tag of their own; overlays, curves and private attributes are rules of the engine."""
    rows = {}
    for rule in _load("ps315_2026d.json")["rules"]:
        if _is_plain_tag(rule["tag"]):
            tag = int(rule["tag"], 16)
            rows[tag] = TableRow(tag, rule["name"], rule["basic"], MappingProxyType(dict(rule["options"])))
    return MappingProxyType(rows)


@cache
def attribute_types(sop_class_uid: str) -> Mapping[int, str]:
    """Type (1, 1C, 2, 2C, 3) of every table tag that the SOP class defines; the module's own usage is dropped.

    References of frames to images are of type 2 in their macros (PS3.3 C.7.6.16.2.5 and .6), and yet not to be emptied:
    an object must refer to what its (0008,1115) lists (C.12.2). So they count as type 1.
    """
    entry = _load("iod_types_for_E11.json").get(sop_class_uid, {"types": {}})
    types = {int(tag, 16): value.split("/")[0] for tag, value in entry["types"].items()}
    if sop_class_uid in _MULTI_FRAME:
        types |= dict.fromkeys(_REFERRED_TO, "1")
    return MappingProxyType(types)


@cache
def method_codes() -> Mapping[str, str]:
    """CID 7050: code value -> code meaning."""
    return MappingProxyType({row["code"]: row["meaning"] for row in _load("cid7050.json")["codes"]})


@cache
def content_rows() -> Mapping[tuple[str, str], ContentRow]:
    """Table E.3.4-1 by (coding scheme, code value)."""
    return MappingProxyType(
        {
            (row["scheme"], row["code"]): ContentRow(
                row["meaning"], row["basic"], MappingProxyType(dict(row["options"]))
            )
            for row in _load("ps315_2026d.json")["content_items"]
        }
    )


@cache
def safe_private() -> Mapping[tuple[int, str, int], SafeRow]:
    """Table E.3.10-1 by (group, creator, last byte of the element); rows without a VR say too little to check."""
    rows = {}
    for row in _load("safe_private_E3101_union.json")["rows"]:
        if row["vr"]:
            fewest, _, most = row["vm"].partition("-")
            limit = 0 if most == "n" else int(most or fewest)
            key = (int(row["group"], 16), row["private_creator"].strip(), int(row["element"].removeprefix("xx"), 16))
            rows[key] = SafeRow(row["vr"].encode(), int(fewest), limit)
    return MappingProxyType(rows)


@cache
def unlisted() -> Unlisted:
    """What the profiles add for attributes outside the table."""
    content = _load("unlisted.json")
    return Unlisted(
        retained_text=_tags(content["retained_text"]),
        needed=MappingProxyType({int(row["tag"], 16): row["instead"] for row in content["needed"]}),
        retained_bulk=_tags(content["retained_bulk"]),
        public_refuses=_tags(content["public_refuses"]),
        vocabulary=frozenset(content["vocabulary"]),
    )


def _load(name: str) -> dict[str, Any]:
    text = resources.files("curate.deid").joinpath("tables", name).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def _tags(rows: list[dict[str, str]]) -> frozenset[int]:
    return frozenset(int(row["tag"], 16) for row in rows)


def _is_plain_tag(text: str) -> bool:
    return len(text) == 8 and all(digit in "0123456789ABCDEFabcdef" for digit in text)
