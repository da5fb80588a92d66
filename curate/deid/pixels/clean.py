"""Pixel data of one object: shown to be free of text, or cleaned, or refused; re-encoded only when blanked.

Whatever stands beside pixels goes in any profile: bytes after the last one, bits above BitsStored, comments and
application segments of compressed frames. Text in the pixels is a matter of the header's risk score (``risk.py``): a
profile with Clean Pixel Data (PS3.15 E.3.1) has flagged objects searched on every frame and blanks what is outside
ultrasound regions and every box of text, until none is found; any other profile refuses what scores high. A
compressed object that had to be blanked is written native, explicit little endian.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from curate.deid.elements import EXPLICIT_LITTLE, PIXEL_TAGS, Element
from curate.deid.encode import encode_element
from curate.deid.pixels.blank import frames_of, words_of
from curate.deid.pixels.decode import decode_frames
from curate.deid.pixels.fragments import Frames, extended_offsets, read_frames, write_frames
from curate.deid.pixels.jpeg_segments import clean_codestream
from curate.deid.pixels.native import PixelLayout, clear_unused_bits, swap_bytes, trim_native
from curate.deid.pixels.ocr import TextFinder
from curate.deid.pixels.risk import assess_risk
from curate.deid.pixels.rle_segments import clean_rle
from curate.deid.pixels.text_search import Blanked, TextSearch
from curate.dicom.codestreams import sample_precision
from curate.dicom.frames import ENCAPSULATED_SYNTAXES
from curate.errors import Quarantined
from curate.reasons import Reason

if TYPE_CHECKING:
    from curate.deid.header import Header
    from curate.deid.profile import Profile

CLEANING = "clean_pixel_data"
"""The option of the profile."""

_PIXELS, _OFFSETS, _LENGTHS = 0x7FE00010, 0x7FE00001, 0x7FE00002
_BURNED_IN, _PHOTOMETRIC, _PLANAR, _MODALITY = 0x00280301, 0x00280004, 0x00280006, 0x00080060
_ICC_PROFILE = 0x00282000  # holds texts of its own; needed by no class that is let in


@dataclass(frozen=True, slots=True)
class PixelOutcome:
    """What becomes of the pixel data and of what describes it. Holds no value of the source but pixels."""

    replaced: Mapping[int, bytes]  # tag -> whole encoded element, instead of what the walk made
    removed: frozenset[int]
    transfer_syntax_uid: str | None  # None: as it was
    counts: Mapping[str, int]
    blanked: tuple[Blanked, ...]
    flags: tuple[str, ...]  # names of the header's signals


@dataclass(slots=True)
class _Draft:
    """An outcome in the making."""

    header: Header
    element: Element
    replaced: dict[int, bytes] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    transfer_syntax_uid: str | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def put(self, tag: int, vr: bytes, value: bytes) -> None:
        syntax = self.header.file.syntax if self.transfer_syntax_uid is None else EXPLICIT_LITTLE
        self.replaced[tag] = encode_element(tag, vr, value, syntax)

    def put_fragments(self, frames: Frames) -> None:
        """Compressed frames of other lengths than before, and the tables that say where they are."""
        value = write_frames(frames)
        self.replaced[_PIXELS] = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF) + value
        if _OFFSETS in self.header.by_tag:
            for tag, table in zip((_OFFSETS, _LENGTHS), extended_offsets(frames), strict=True):
                self.put(tag, b"OV", table)
        self.counts["pixels: comments cut from compressed frames"] += 1

    def put_native(self, content: bytes, layout: PixelLayout) -> None:
        """Decoded pixels instead of compressed ones."""
        self.transfer_syntax_uid = str(ExplicitVRLittleEndian)
        self.put(_PIXELS, b"OW" if layout.bits_allocated > 8 else b"OB", content)
        if layout.samples == 3:
            self.put(_PHOTOMETRIC, b"CS", layout.photometric)
            self.put(_PLANAR, b"US", bytes(2))
        self.removed |= {_OFFSETS, _LENGTHS} & self.header.by_tag.keys()
        self.counts["pixels: decoded and written without compression"] += 1


def clean_pixels(header: Header, profile: Profile, finder: TextFinder | None = None) -> PixelOutcome:
    """What the pixel data of the object become under the profile; nothing changes for an object that has none.

    ``finder`` looks for text; by default the detector of the extra [ocr], loaded when the first object needs it.
    Raises Quarantined(BURNED_IN_ANNOTATION) for text that is there by the header and not found, cannot be looked for
    under the profile, or does not go; Quarantined(DEIDENTIFICATION_FAILED) for pixel data of a kind that cannot be
    shown to be clean; Rejected(TRUNCATED_FILE | IMPLAUSIBLE_HEADER | UNDECODABLE_PIXELS | ...) for damaged ones;
    Misconfigured when text must be looked for and the extra [ocr] is missing.
    """
    tag = next((tag for tag in header.by_tag if tag in PIXEL_TAGS), None)
    if tag is None:
        return PixelOutcome({}, frozenset(), None, {}, (), ())
    risk = assess_risk(header)
    cleans = CLEANING in profile.options
    if risk.is_high and not cleans:
        raise Quarantined(Reason.BURNED_IN_ANNOTATION, ", ".join(risk.names))
    draft = _Draft(header, header.by_tag[tag])
    search = TextSearch(header, risk, finder) if cleans and risk.is_flagged else None
    if header.file.is_native:
        _clean_native(draft, search)
    else:
        _clean_compressed(draft, search)
    if search is not None:
        draft.counts += search.counts
    draft.removed |= {_ICC_PROFILE} & header.by_tag.keys()
    if cleans and header.text(_MODALITY).strip() != "SEG":
        draft.put(_BURNED_IN, b"CS", b"NO")
    return PixelOutcome(
        draft.replaced,
        frozenset(draft.removed),
        draft.transfer_syntax_uid,
        draft.counts,
        () if search is None else tuple(search.blanked),
        risk.names,
    )


def _clean_native(draft: _Draft, search: TextSearch | None) -> None:
    """Cut, clear and blank uncompressed pixels."""
    header, element, layout = draft.header, draft.element, draft.header.pixels
    if element.undefined:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "fragments under a transfer syntax that has none")
    draft.removed |= {_OFFSETS, _LENGTHS} & header.by_tag.keys()
    little = header.file.syntax.little
    is_packed = not little and layout.bits_allocated == 8 and element.vr == b"OW"
    value = swap_bytes(header.view(element.tag)) if is_packed else header.view(element.tag)
    content: bytes | memoryview = trim_native(value, layout)
    if content is not value:
        draft.counts["pixels: bytes after the last pixel cut"] += 1
    if element.tag == _PIXELS:
        cleared = clear_unused_bits(content, layout, little=little)
        if cleared is not None:
            draft.counts["pixels: unused bits cleared"] += 1
            content = cleared
    if search is not None:
        content = _search_native(draft, search, content, layout)
    if content is not value:
        draft.put(element.tag, element.vr, swap_bytes(content) if is_packed else bytes(content))


def _search_native(
    draft: _Draft, search: TextSearch, content: bytes | memoryview, layout: PixelLayout
) -> bytes | memoryview:
    """The pixels with text blanked; the same object when nothing changed."""
    header = draft.header
    if draft.element.tag != _PIXELS:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "floating point pixels cannot be searched for text")
    words = words_of(content, layout, little=header.file.syntax.little)
    frames = frames_of(words, layout, is_planar=header.number(_PLANAR) == 1)
    return words.tobytes() if search.clean(frames, layout) else content


def _clean_compressed(draft: _Draft, search: TextSearch | None) -> None:
    """Cut comments from compressed frames; decode them only to blank, or to clear bits above BitsStored."""
    header, element, layout = draft.header, draft.element, draft.header.pixels
    syntax = header.file.transfer_syntax_uid
    if not element.undefined or element.tag != _PIXELS:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "native pixels under a compressed transfer syntax")
    if syntax not in ENCAPSULATED_SYNTAXES:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "a compression that cannot be shown to be clean")
    source = read_frames(header.value(_PIXELS), layout.frames)
    _check_extended_offsets(draft, source)
    frames = _clean_streams(source, layout, is_rle=syntax == RLELossless)
    if search is not None or _may_hide_bits(frames, layout, is_rle=syntax == RLELossless):
        content, native, is_cleared = decode_frames(frames, layout, syntax)
        words = words_of(content, native, little=True)
        is_blanked = search is not None and search.clean(frames_of(words, native, is_planar=False), native)
        if is_cleared:
            draft.counts["pixels: unused bits cleared"] += 1
        if is_cleared or is_blanked:
            draft.put_native(words.tobytes(), native)
            return
    if frames is not source:
        draft.put_fragments(frames)


def _clean_streams(source: Frames, layout: PixelLayout, *, is_rle: bool) -> Frames:
    """Frames without anything beside pixels; the same object when there was nothing."""
    cleaned: list[tuple[bytes, ...]] = []
    for number, fragments in enumerate(source.frames):
        stream = source.codestream(number)
        clean = clean_rle(stream, layout.rows * layout.columns) if is_rle else clean_codestream(stream)
        cleaned.append(fragments if clean is stream else (clean,))
    is_same = all(new is old for new, old in zip(cleaned, source.frames, strict=True))
    return source if is_same else Frames(tuple(cleaned), source.has_offsets)


def _may_hide_bits(frames: Frames, layout: PixelLayout, *, is_rle: bool) -> bool:
    """Whether the stream has room for bits above BitsStored, as embedded overlays use."""
    if layout.bits_stored >= layout.bits_allocated:
        return False
    return is_rle or any(sample_precision(frames.codestream(n)) > layout.bits_stored for n in range(len(frames.frames)))


def _check_extended_offsets(draft: _Draft, frames: Frames) -> None:
    """An extended offset table says where the frames are and nothing else."""
    tables = [draft.header.value(tag) for tag in (_OFFSETS, _LENGTHS)]
    if not any(tag in draft.header.by_tag for tag in (_OFFSETS, _LENGTHS)):
        return
    offsets, lengths = extended_offsets(frames)
    stated, wanted = (np.frombuffer(table[: len(lengths)], "<u8") for table in (tables[1], lengths))
    fits = tables[0] == offsets and len(tables[1]) == len(lengths) and bool(np.all((wanted - stated) <= 1))
    if not fits:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "the extended offset table does not point at frames")
