"""What the engine must know of an object before it changes anything: class, patient, study, pixel layout, warnings.

Read from the top level of the data set alone; the meta information and the modality fill in a missing SOP class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curate.deid.elements import PIXEL_TAGS, Element
from curate.deid.filemeta import OpenedFile
from curate.deid.options import CLEAN_CONTENT, CLEAN_PIXELS
from curate.deid.pixels.native import PixelLayout
from curate.deid.profile import Profile
from curate.deid.text import decode_text, encodings_of
from curate.errors import Quarantined, Rejected
from curate.reasons import Reason

_STORAGE = "1.2.840.10008.5.1.4.1.1"
CT_IMAGE, MR_IMAGE = f"{_STORAGE}.2", f"{_STORAGE}.4"
_SECONDARY_CAPTURE = f"{_STORAGE}.7"
ALLOWED_CLASSES = frozenset(
    f"{_STORAGE}.{number}"
    for number in (
        *("2", "2.1", "2.2"),  # CT: classic, enhanced, legacy converted enhanced
        *("4", "4.1", "4.3", "4.4"),  # MR: classic, enhanced, enhanced colour, legacy converted enhanced
        *("66.4", "66.7"),  # segmentation, label map segmentation
        "481.3",  # RT structure set
    )
)
"""Objects that show no text: let in by every keyed profile (PS3.4 B.5)."""

PICTURE_CLASSES = frozenset(
    f"{_STORAGE}.{number}"
    for number in (
        *("1", "1.1", "1.1.1"),  # computed radiography, digital X-ray for presentation and processing
        *("6.1", "6.2", "3.1"),  # ultrasound: image, enhanced volume, multi-frame
    )
)
"""Objects with text in their pixels as often as not: let in where the profile cleans pixel data."""

CAPTURE_CLASSES = frozenset(f"{_SECONDARY_CAPTURE}{part}" for part in ("", ".1", ".2", ".3", ".4"))
"""Screens and scanned pages: let in where the profile cleans pixel data and the site asks for them by name."""

REPORT_CLASSES = frozenset(
    f"{_STORAGE}.{number}"
    for number in (
        *("88.11", "88.22", "88.33", "88.34", "88.35"),  # basic, enhanced, comprehensive, 3D, extensible
        *("88.40", "88.50", "88.65", "88.67", "88.68"),  # procedure log, CAD and dose reports
        *("88.71", "88.72", "88.73", "88.74", "88.76"),
    )
)
"""Structured reports: let in where the profile cleans structured content."""

WITHOUT_PIXELS = REPORT_CLASSES | {f"{_STORAGE}.481.3"}
_CLASS_OF_MODALITY = {"CT": CT_IMAGE, "MR": MR_IMAGE}


@dataclass(frozen=True, slots=True)
class Header:
    """Look-ups by tag over the top level of one object."""

    file: OpenedFile
    by_tag: Mapping[int, Element]

    def value(self, tag: int) -> bytes:
        """Bytes of an element; empty when it is absent."""
        element = self.by_tag.get(tag)
        return b"" if element is None else self.file.content[element.start : element.end]

    def view(self, tag: int) -> memoryview:
        """The same without a copy, for pixels."""
        element = self.by_tag[tag]
        return memoryview(self.file.content)[element.start : element.end]

    def text(self, tag: int) -> str:
        """Decoded text of an element; empty when it is absent."""
        return decode_text(self.value(tag), encodings_of(self.value(0x00080005)))

    def number(self, tag: int, default: int = 0) -> int:
        """A US value."""
        value = self.value(tag)
        return int.from_bytes(value[:2], "little" if self.file.syntax.little else "big") if value else default

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID (0020,000D)."""
        return self.text(0x0020000D)

    @property
    def sop_instance_uid(self) -> str:
        """SOPInstanceUID (0008,0018), or else what the meta information names."""
        return self.text(0x00080018) or self.file.sop_instance_uid

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016), or the one of the meta information, or that of the modality; empty if none says."""
        return (
            self.text(0x00080016)
            or self.file.sop_class_uid
            or _CLASS_OF_MODALITY.get(self.text(0x00080060).upper(), "")
        )

    @property
    def pixels(self) -> PixelLayout:
        """Layout of the pixel data. Raises Rejected(IMPLAUSIBLE_HEADER) when NumberOfFrames is not a number."""
        frames = self.value(0x00280008).strip(b" \0") or b"1"
        if not frames.isdigit() or len(frames) > 9:
            raise Rejected(Reason.IMPLAUSIBLE_HEADER, "the number of frames is not a number")
        return PixelLayout(
            rows=self.number(0x00280010),
            columns=self.number(0x00280011),
            frames=int(frames),
            samples=self.number(0x00280002, 1),
            bits_allocated=self.number(0x00280100),
            bits_stored=self.number(0x00280101),
            high_bit=self.number(0x00280102),
            signed=self.number(0x00280103) == 1,
            photometric=self.value(0x00280004).strip(b" \0"),
        )


def allowed_classes(profile: Profile) -> frozenset[str]:
    """SOP classes whose objects the profile can clean; all others are quarantined."""
    allowed = ALLOWED_CLASSES
    if profile.keeps_ids:
        return allowed
    if profile.has(CLEAN_PIXELS):
        allowed |= PICTURE_CLASSES | (CAPTURE_CLASSES if profile.allows_captures else frozenset())
    if profile.has(CLEAN_CONTENT):
        allowed |= REPORT_CLASSES
    return allowed


def refuse_what_is_not_allowed(header: Header, profile: Profile) -> None:
    """Let pass what the profile has rules for: other classes show or hold text in ways that no rule here cleans.

    Raises Quarantined(SECONDARY_CAPTURE | UNKNOWN_SOP_CLASS), Rejected(MISSING_IDENTIFIERS). An object without any
    SOP class passes under a profile that keeps ids (public downloads come without it). Burned-in text is a matter of
    ``pixels.py``.
    """
    sop_class = header.sop_class_uid
    if sop_class not in allowed_classes(profile) and (sop_class or not profile.keeps_ids):
        raise Quarantined(
            Reason.SECONDARY_CAPTURE if sop_class.startswith(_SECONDARY_CAPTURE) else Reason.UNKNOWN_SOP_CLASS
        )
    if not profile.keeps_ids and not (header.study_uid and header.text(0x0020000E) and header.sop_instance_uid):
        raise Rejected(Reason.MISSING_IDENTIFIERS)


def refuse_without_pixels(header: Header) -> None:
    """Raises Rejected: TRUNCATED_FILE when the header promises pixels that are not there, else NOT_AN_IMAGE."""
    has_rows = bool(header.number(0x00280010))
    if not PIXEL_TAGS.isdisjoint(header.by_tag) or (header.sop_class_uid in WITHOUT_PIXELS and not has_rows):
        return
    if has_rows:
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends before its pixel data")
    raise Rejected(Reason.NOT_AN_IMAGE)
