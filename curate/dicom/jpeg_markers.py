"""The marker segments of a JPEG lossless stream, up to its entropy coded bytes (ITU-T T.81 B.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from curate.errors import Rejected
from curate.reasons import Reason

START_OF_FRAME, END_OF_IMAGE, FIRST_RESTART = 0xC3, 0xD9, 0xD0
_HUFFMAN_TABLE, _START_OF_IMAGE, _START_OF_SCAN, _RESTART_INTERVAL = 0xC4, 0xD8, 0xDA, 0xDD


@dataclass(frozen=True, slots=True)
class LosslessScan:
    """What the markers say. ``counts``: codes of each length 1..16; ``symbols``: difference categories (T.81 C)."""

    rows: int
    columns: int
    precision: int
    selection: int
    point_transform: int
    restart_rows: int  # rows between restart markers; 0: none
    counts: bytes
    symbols: bytes
    start: int  # of the entropy coded bytes


def read_markers(codestream: bytes) -> LosslessScan:
    """Read the markers up to the entropy coded bytes (T.81 B.2). Raises Rejected(UNDECODABLE_PIXELS)."""
    try:
        return _read_markers(codestream)
    except (struct.error, IndexError, KeyError, ValueError):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "JPEG lossless: the markers are damaged or cut") from None


def _read_markers(codestream: bytes) -> LosslessScan:
    tables: dict[int, tuple[bytes, bytes]] = {}
    frame: tuple[int, int, int, int, int] | None = None
    restart_interval, at = 0, 2
    if codestream[:2] != bytes((0xFF, _START_OF_IMAGE)):
        raise ValueError
    while True:
        marker, length = codestream[at + 1], int.from_bytes(codestream[at + 2 : at + 4], "big")
        if codestream[at] != 0xFF:
            raise ValueError
        if marker == 0xFF:  # fill byte (B.1.1.2)
            at += 1
            continue
        segment = codestream[at + 4 : at + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise ValueError
        at += 2 + length
        if marker == _HUFFMAN_TABLE:
            tables.update(_read_tables(segment))
        elif marker == _RESTART_INTERVAL:
            (restart_interval,) = struct.unpack(">H", segment)
        elif marker == START_OF_FRAME and frame is None:
            frame = struct.unpack_from(">BHHBB", segment)
        elif marker == _START_OF_SCAN:
            break
        elif 0xC0 <= marker <= END_OF_IMAGE:
            raise ValueError
    if frame is None:
        raise ValueError
    precision, rows, columns, components, component = frame
    scanned, selector, chosen, selection, _, transform = struct.unpack(">6B", segment)
    point_transform = transform & 15
    if (components, scanned, selector) != (1, 1, component) or not 1 <= selection <= 7:
        raise ValueError
    if not 2 <= precision <= 16 or point_transform >= precision or not rows or not columns:
        raise ValueError
    if restart_interval % columns:  # H.1.1: whole rows
        raise ValueError
    counts, symbols = tables[chosen >> 4]
    return LosslessScan(
        rows, columns, precision, selection, point_transform, restart_interval // columns, counts, symbols, at
    )


def _read_tables(segment: bytes) -> dict[int, tuple[bytes, bytes]]:
    """Tables of one DHT segment by destination (B.2.4.2)."""
    tables, at = {}, 0
    while at < len(segment):
        destination, counts = segment[at], segment[at + 1 : at + 17]
        end = at + 17 + sum(counts)
        symbols = segment[at + 17 : end]
        if len(counts) != 16 or len(symbols) != sum(counts):
            raise ValueError
        if destination < 16:  # class 0; lossless streams have no other
            tables[destination] = (counts, symbols)
        at = end
    return tables
