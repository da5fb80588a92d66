"""Comments and application segments of JPEG, JPEG-LS and JPEG 2000 streams: cut out, nothing re-encoded.

COM and APPn segments (ITU-T T.81 B.2.4, T.800 A.9.2) and bytes after the end marker are no part of an image and can
hold a name, a thumbnail or Exif. What a decoder needs stays (JFIF without thumbnail, Adobe's colour transform, the
one of JPEG-LS), and so does the signature of an encoder known by its whole text: a stream that holds nothing else is
returned as the very same object.
"""

from __future__ import annotations

import re

from curate.errors import Quarantined
from curate.reasons import Reason

_COM, _APP, _SOS, _SOI, _EOI = 0xFE, range(0xE0, 0xF0), 0xDA, 0xD8, 0xD9
_RESTARTS = range(0xD0, 0xD8)
_NEEDED = (
    re.compile(rb"JFIF\0.{7}\0\0", re.DOTALL),  # version, units and densities; no thumbnail
    re.compile(rb"Adobe.{7}", re.DOTALL),
    re.compile(rb"mrfx[\0-\3]"),
)
_SIGNATURES = re.compile(
    rb"(?:Kakadu-v?[\d.]{1,12}|Created by (?:GDCM/)?OpenJPEG version [\d.]{1,12}|Creator: JasPer Version [\d.]{1,12}"
    rb"|CREATOR: gd-jpeg v[\d.]{1,6} \(using IJG JPEG v\d\d\)(?:, (?:default quality|quality = \d{1,3}))?\n?"
    rb"|LEAD Technologies Inc\. V[\d.]{1,6}|Lavc[\d.]{1,12}|AppleMark\n?)\0?"
)
_LAYER_INFO = re.compile(
    rb"Kdu-Layer-Info: log_2\{Delta-D\([a-zA-Z\- ]{1,40}\)/Delta-L\(bytes\)\}, L\(bytes\)\n[-+\d., e\n]*\0?"
)
_J2K_BARE = frozenset((0xFF4F, 0xFF92, 0xFF93, 0xFFD9, *range(0xFF30, 0xFF40)))
_SOT, _SOD, _TLM, _J2K_COM, _J2K_EOC = 0xFF90, 0xFF93, 0xFF55, 0xFF64, b"\xff\xd9"


def clean_codestream(codestream: bytes) -> bytes:
    """The stream without comments, application segments and trailing bytes; the same object when it has none.

    Raises Quarantined(DEIDENTIFICATION_FAILED) for bytes that are none of the three kinds or break their rules.
    """
    if codestream[:2] == b"\xff\xd8":
        return _clean_jpeg(codestream)
    if codestream[:4] == b"\xff\x4f\xff\x51":
        return _clean_jpeg_2000(codestream)
    raise _doubt("the compressed pixels are no JPEG stream")


def _clean_jpeg(codestream: bytes) -> bytes:
    """Segments up to EOI; the coded data of a scan run to the next marker that is not part of them."""
    kept, at, is_changed = [codestream[:2]], 2, False
    while True:
        if at + 2 > len(codestream) or codestream[at] != 0xFF:
            raise _doubt("the compressed image breaks off or has bytes between its segments")
        marker = codestream[at + 1]
        if marker == 0xFF:  # fill byte
            at, is_changed = at + 1, True
            continue
        if marker == _EOI:
            kept.append(codestream[at : at + 2])
            break
        end = at + 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
        if marker in (0, 1, _SOI) or marker in _RESTARTS or end < at + 4 or end > len(codestream):
            raise _doubt("the compressed image has a segment that does not fit")
        if marker == _SOS:
            end = _end_of_scan(codestream, end)
        if _is_dispensable(marker, codestream[at + 4 : end]):
            is_changed = True
        else:
            kept.append(codestream[at:end])
        at = end
    return _finish(codestream, kept, at + 2, is_changed=is_changed)


def _end_of_scan(codestream: bytes, at: int) -> int:
    """Position of the first marker after coded data; stuffed bytes (JPEG: 00; JPEG-LS: below 80) and RST are data."""
    while True:
        at = codestream.find(b"\xff", at)
        if at < 0 or at + 1 >= len(codestream):
            raise _doubt("the compressed image has no end marker")
        following = codestream[at + 1]
        if following == 0xFF:
            at += 1
        elif following < 0x80 or following in _RESTARTS:
            at += 2
        else:
            return at


def _is_dispensable(marker: int, payload: bytes) -> bool:
    if marker == _COM:
        return not _SIGNATURES.fullmatch(payload)
    return marker in _APP and not any(pattern.fullmatch(payload) for pattern in _NEEDED)


def _clean_jpeg_2000(codestream: bytes) -> bytes:
    """Main header without comments, then the tile-parts, each with its length (Psot) corrected."""
    kept, at, is_changed, has_lengths = [codestream[:2]], 2, False, False
    while (marker := _marker(codestream, at)) != _SOT:
        end = _end_of_segment(codestream, at, marker)
        has_lengths |= marker == _TLM
        if marker == _J2K_COM and not _is_signature_2000(codestream[at + 4 : end]):
            is_changed = True
        else:
            kept.append(codestream[at:end])
        at = end
    while codestream[at : at + 2] != _J2K_EOC:
        part, end = _clean_tile_part(codestream, at)
        if part is not None:
            if has_lengths:
                raise _doubt("comments in tile-parts whose lengths stand in the main header")
            is_changed = True
        kept.append(codestream[at:end] if part is None else part)
        at = end
    kept.append(_J2K_EOC)
    return _finish(codestream, kept, at + 2, is_changed=is_changed)


def _clean_tile_part(codestream: bytes, start: int) -> tuple[bytes | None, int]:
    """The tile-part without comments, or None when it has none; and where the next one starts."""
    if _marker(codestream, start) != _SOT or len(codestream) < start + 12:
        raise _doubt("the compressed image has bytes between its tile-parts")
    length = int.from_bytes(codestream[start + 6 : start + 10], "big")
    end = start + length if length else codestream.rfind(_J2K_EOC, start)
    if end > len(codestream) or end < start + 14:
        raise _doubt("a tile-part of the compressed image is longer than its frame")
    kept, at, is_changed = [], start + 12, False
    while (marker := _marker(codestream, at)) != _SOD:
        following = _end_of_segment(codestream, at, marker)
        if marker == _J2K_COM and not _is_signature_2000(codestream[at + 4 : following]):
            is_changed = True
        else:
            kept.append(codestream[at:following])
        at = following
    if not is_changed:
        return None, end
    body = b"".join((*kept, codestream[at:end]))
    size = (12 + len(body)).to_bytes(4, "big") if length else bytes(4)
    return b"".join((codestream[start : start + 6], size, codestream[start + 10 : start + 12], body)), end


def _is_signature_2000(segment: bytes) -> bool:
    """Rcom (two bytes: 1 is text, 0 binary), then the comment."""
    return segment[:2] == b"\0\1" and bool(_SIGNATURES.fullmatch(segment[2:]) or _LAYER_INFO.fullmatch(segment[2:]))


def _marker(codestream: bytes, at: int) -> int:
    return int.from_bytes(codestream[at : at + 2], "big") if at + 2 <= len(codestream) else 0


def _end_of_segment(codestream: bytes, at: int, marker: int) -> int:
    end = at + 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    if marker >> 8 != 0xFF or marker in _J2K_BARE or end < at + 4 or end > len(codestream):
        raise _doubt("the compressed image has a segment that does not fit")
    return end


def _finish(codestream: bytes, kept: list[bytes], end: int, *, is_changed: bool) -> bytes:
    """Nothing but padding may follow the end marker."""
    if not is_changed and (codestream[end:] == b"\xff" or not codestream[end:].strip(b"\0")):
        return codestream
    return b"".join(kept)


def _doubt(detail: str) -> Quarantined:
    return Quarantined(Reason.DEIDENTIFICATION_FAILED, detail)
