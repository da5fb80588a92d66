"""The options of the Basic Application Level Confidentiality Profile (PS3.15 E.3) and the ready sets of them.

Names are this project's; codes are those of CID 7050 (PS3.16). Nothing here decides about a tag: that is read from
Table E.1-1 in ``profile.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from curate.errors import Misconfigured

FULL_DATES, MODIFIED_DATES = "retain_longitudinal_full_dates", "retain_longitudinal_modified_dates"
CLEAN_PIXELS, CLEAN_FEATURES = "clean_pixel_data", "clean_recognizable_visual_features"
CLEAN_GRAPHICS, CLEAN_CONTENT = "clean_graphics", "clean_structured_content"
CLEAN_DESCRIPTORS, SAFE_PRIVATE = "clean_descriptors", "retain_safe_private"
CHARACTERISTICS, DEVICE = "retain_patient_characteristics", "retain_device_identity"
UIDS, INSTITUTION = "retain_uids", "retain_institution_identity"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its CID 7050 code and what it means here, in a line for people."""

    name: str
    code: str
    effect: str


OPTIONS = MappingProxyType(
    {
        option.name: option
        for option in (
            Option(CLEAN_PIXELS, "113101", "text burned into pixels is looked for where the header gives cause"),
            Option(CLEAN_FEATURES, "113102", "faces are made unrecognisable by a function that the caller supplies"),
            Option(CLEAN_GRAPHICS, "113103", "graphics are kept with their text cleaned; overlays and curves go whole"),
            Option(CLEAN_CONTENT, "113104", "reports are kept item by item, by concept (Table E.3.4-1)"),
            Option(CLEAN_DESCRIPTORS, "113105", "descriptions are kept, without the words in them that identify"),
            Option(FULL_DATES, "113106", "dates and times are kept as they are"),
            Option(MODIFIED_DATES, "113107", "dates are moved by one secret number of days a patient"),
            Option(CHARACTERISTICS, "113108", "age (at most 090Y), sex, size, weight and the like are kept"),
            Option(DEVICE, "113109", "the names and numbers of devices are kept"),
            Option(UIDS, "113110", "UIDs are kept as they are"),
            Option(SAFE_PRIVATE, "113111", "private attributes known to be safe are kept after a check"),
            Option(INSTITUTION, "113112", "the name and address of the institution are kept"),
        )
    }
)
"""By name, in the order of their codes."""

READY = MappingProxyType(
    {
        "basic": (MODIFIED_DATES, CHARACTERISTICS, DEVICE),
        "mira": (CLEAN_PIXELS, CLEAN_DESCRIPTORS, MODIFIED_DATES, CHARACTERISTICS, DEVICE, SAFE_PRIVATE),
        "public": (FULL_DATES, CHARACTERISTICS, DEVICE, UIDS),
    }
)
"""Profiles that have a name."""


def settle_options(names: Iterable[str]) -> tuple[str, ...]:
    """The options in the order of their codes, each once.

    Raises Misconfigured for a name that is none, and for full and modified dates together (PS3.15 E.3.6: a choice).
    """
    wanted = set(names)
    unknown = sorted(wanted - OPTIONS.keys())
    if unknown:
        raise Misconfigured(f"deid.options: no option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    if {FULL_DATES, MODIFIED_DATES} <= wanted:
        raise Misconfigured("deid.options: dates are kept in full or modified, not both")
    return tuple(name for name in OPTIONS if name in wanted)
