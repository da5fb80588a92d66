"""How likely it is, from the header alone, that text is burned into the pixels.

Every signal has a weight; their sum is the score. From ``LOOK_AT`` on, a profile that cleans pixels has them searched
for text; from ``REFUSE_AT`` on, a profile that does not puts the object aside. BurnedInAnnotation = NO (0028,0301)
lowers nothing: scanners write it without looking. Signals are names, never values of the header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.deid.header import Header

LOOK_AT, REFUSE_AT = 20, 50

_BURNED_IN, _IMAGE_TYPE, _MODALITY, _CONVERSION, _PHOTOMETRIC = (
    0x00280301,
    0x00080008,
    0x00080060,
    0x00080064,
    0x00280004,
)
_SECONDARY_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_CAPTURE_TAGS = (0x00181010, 0x00181012, 0x00181014, 0x00181016, 0x00181018, 0x00181019)
_DESCRIPTIONS = (0x00081030, 0x0008103E, 0x00181030, 0x00181400, 0x00082111, 0x00204000)
_SCREEN_MODALITIES = frozenset(
    ("AR", "BDUS", "BMD", "DOC", "ECG", "ES", "GM", "HC", "HD", "IVOCT", "IVUS")
) | frozenset(("OP", "OPT", "OT", "PR", "REG", "SC", "SM", "SMR", "US", "XC"))
_PLATE_MODALITIES = frozenset(("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"))
_GREY = frozenset((b"", b"MONOCHROME1", b"MONOCHROME2"))
_SCREEN_WORDS = re.compile(
    r"\b(?:dose[ _-]?(?:report|info|record|summary|sheet|page)|radiation dose|patient protocol"
    r"|(?:exam|study)[ _-]?summary"
    r"|screen[ _-]?(?:save|shot|capture|dump)\w*|print ?screen|captures?|scanned|key images?"
    r"|reports?|results|worksheet|requisition)\b"
)


class Signal(Enum):
    """One fact of a header that speaks for burned-in text: its weight and its line of English."""

    BURNED_IN = 100, "the header says that text is burned in"
    SCREEN_SAVE = 100, "the image type says that it is a saved screen"
    SECONDARY_CLASS = 100, "its SOP class is a secondary capture"
    SCREEN_MODALITY = 50, "its modality draws text into images"
    CONVERTED = 50, "it has a conversion type, as captures have"
    CAPTURE_DEVICE = 50, "it names a capture device"
    COLOUR = 50, "colour pixels of a modality that measures grey ones"
    SCREEN_WORDS = 50, "its description is that of a report or screen"
    PLATE_MODALITY = 20, "its modality is a radiograph, where markers and labels are common"
    SECONDARY_IMAGE = 20, "its image type says secondary"

    @property
    def weight(self) -> int:
        """What it adds to the score."""
        return int(self.value[0])

    @property
    def text(self) -> str:
        """One line of English."""
        return str(self.value[1])


@dataclass(frozen=True, slots=True)
class PixelRisk:
    """Signals of one header, in the order of ``Signal``."""

    signals: tuple[Signal, ...]

    @property
    def score(self) -> int:
        """Sum of the weights."""
        return sum(signal.weight for signal in self.signals)

    @property
    def is_flagged(self) -> bool:
        """Whether someone should look at the pixels."""
        return self.score >= LOOK_AT

    @property
    def is_high(self) -> bool:
        """Whether the object must not pass unless someone has looked at its pixels."""
        return self.score >= REFUSE_AT

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the signals, for audits and messages."""
        return tuple(signal.name.lower() for signal in self.signals)


def assess_risk(header: Header) -> PixelRisk:
    """Read the signals from the top level of one object."""
    modality = header.text(_MODALITY).strip().upper()
    image_type = [part.strip() for part in header.text(_IMAGE_TYPE).upper().split("\\")]
    screen_save = any("SCREEN" in part for part in image_type)
    words = " ".join(header.text(tag) for tag in _DESCRIPTIONS if tag in header.by_tag).lower().replace("_", " ")
    found = {
        Signal.BURNED_IN: header.text(_BURNED_IN).strip().upper() not in ("", "NO"),
        Signal.SCREEN_SAVE: screen_save,
        Signal.SECONDARY_CLASS: header.sop_class_uid.startswith(_SECONDARY_CLASS),
        Signal.SCREEN_MODALITY: modality in _SCREEN_MODALITIES,
        Signal.CONVERTED: bool(header.value(_CONVERSION).strip(b" \0")),
        Signal.CAPTURE_DEVICE: any(header.value(tag).strip(b" \0") for tag in _CAPTURE_TAGS),
        Signal.COLOUR: modality in ("CT", "MR", "PT", "NM") and header.value(_PHOTOMETRIC).strip(b" \0") not in _GREY,
        Signal.SCREEN_WORDS: bool(_SCREEN_WORDS.search(words)),
        Signal.PLATE_MODALITY: modality in _PLATE_MODALITIES,
        Signal.SECONDARY_IMAGE: "SECONDARY" in image_type[1:2],
    }
    return PixelRisk(tuple(signal for signal, is_there in found.items() if is_there))
