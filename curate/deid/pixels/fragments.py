"""Encapsulated pixel data as frames of fragments (PS3.5 A.4), and back to bytes with offset tables that fit.

A basic offset table is part of the file: one that does not say where the frames start says something else, and the
object is refused. Messages never hold bytes of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

from curate.errors import Quarantined
from curate.reasons import Reason

_ITEM = Struct("<HHI")
_STARTS = (b"\xff\xd8", b"\xff\x4f")  # JPEG and JPEG-LS; JPEG 2000
_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Frames:
    """Fragments by frame, in file order; whether the basic offset table was filled."""

    frames: tuple[tuple[bytes, ...], ...]
    has_offsets: bool

    def codestream(self, frame: int) -> bytes:
        """Bytes of one frame, its fragments joined."""
        return b"".join(self.frames[frame])


def read_frames(value: bytes, frame_count: int) -> Frames:
    """Split the value of encapsulated pixel data, from its basic offset table to its delimiter.

    Raises Quarantined(DEIDENTIFICATION_FAILED) when fragments cannot be told apart by frame, or the offset table does
    not point at them.
    """
    items = _items(value)
    if not items:
        raise _doubt("pixel data without an offset table item")
    (_, table), fragments = items[0], items[1:]
    if not fragments or frame_count < 1:
        raise _doubt("no fragments of pixels")
    first = fragments[0][0]
    starts = [start - first for start, _ in fragments]
    pieces = [piece for _, piece in fragments]
    if table:
        heads = _heads_of_table(table, starts, frame_count)
    elif frame_count == 1:
        heads = [0]
    elif frame_count == len(pieces):
        heads = list(range(frame_count))
    else:
        heads = [number for number, piece in enumerate(pieces) if piece[:2] in _STARTS]
        if len(heads) != frame_count or heads[0] != 0:
            raise _doubt("fragments cannot be told apart by frame")
    bounds = pairwise([*heads, len(pieces)])
    return Frames(tuple(tuple(pieces[start:end]) for start, end in bounds), bool(table))


def write_frames(frames: Frames) -> bytes:
    """Value of encapsulated pixel data, its delimiter included; fragments get an even length."""
    body, offsets = [], []
    position = 0
    for fragments in frames.frames:
        offsets.append(position)
        for fragment in fragments:
            padded = fragment + b"\0" * (len(fragment) & 1)
            body += [_ITEM.pack(0xFFFE, 0xE000, len(padded)), padded]
            position += 8 + len(padded)
    table = b"".join(offset.to_bytes(4, "little") for offset in offsets) if frames.has_offsets else b""
    return b"".join((_ITEM.pack(0xFFFE, 0xE000, len(table)), table, *body, _DELIMITER))


def extended_offsets(frames: Frames) -> tuple[bytes, bytes]:
    """Values of Extended Offset Table and its Lengths (PS3.3 C.7.6.3.1.8); lengths are without padding's item."""
    offsets, lengths, position = [], [], 0
    for fragments in frames.frames:
        padded = [len(fragment) + (len(fragment) & 1) for fragment in fragments]
        offsets.append(position.to_bytes(8, "little"))
        lengths.append(sum(padded).to_bytes(8, "little"))
        position += sum(padded) + 8 * len(padded)
    return b"".join(offsets), b"".join(lengths)


def _items(value: bytes) -> list[tuple[int, bytes]]:
    """(where the item's header starts, its bytes); the walk over elements has checked that they end well."""
    items: list[tuple[int, bytes]] = []
    position = 0
    while position + 8 <= len(value):
        group, number, length = _ITEM.unpack_from(value, position)
        if (group, number) != (0xFFFE, 0xE000):
            if number == 0xE0DD and length == 0 and position + 8 == len(value):
                return items
            break
        items.append((position, value[position + 8 : position + 8 + length]))
        position += 8 + length
    raise _doubt("the list of fragments does not end with its delimiter")


def _heads_of_table(table: bytes, starts: list[int], frame_count: int) -> list[int]:
    if len(table) != 4 * frame_count:
        raise _doubt("the offset table has not one entry a frame")
    places = {start: number for number, start in enumerate(starts)}
    offsets = [int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), 4)]
    heads = [places.get(offset, -1) for offset in offsets]
    if heads[0] != 0 or any(later <= earlier for earlier, later in pairwise(heads)):
        raise _doubt("the offset table does not point at frames")
    return heads


def _doubt(detail: str) -> Quarantined:
    return Quarantined(Reason.DEIDENTIFICATION_FAILED, detail)
