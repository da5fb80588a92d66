"""Encapsulated frames: which fragments make which frame (PS3.5 A.4, PS3.3 C.7.6.3.1.8).

An offset table is used only if it fits the fragments that are there. Without one that does, a frame is a fragment,
or starts where a codestream starts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from curate.errors import Rejected
from curate.reasons import Reason

_ITEM, _SEQUENCE_END = 0xE000, 0xE0DD
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS, JPEG 2000

Fragment = tuple[int, int]
"""Start and end of a fragment's bytes in the data set."""


def split_frames(body: bytes, start: int, frames: int, extended: Sequence[int] = ()) -> list[list[Fragment]]:
    """Find the fragments of every frame; ``extended``: the Extended Offset Table (7FE0,0001), if there is one.

    Costs as much as there are fragments, whatever NumberOfFrames says. Raises Rejected: TRUNCATED_FILE when the file
    ends inside or there are fewer fragments than frames, UNDECODABLE_PIXELS when frames cannot be told apart.
    """
    table, fragments = _read_fragments(body, start)
    if frames == 1:
        return [fragments]
    if len(fragments) < frames:
        raise Rejected(Reason.TRUNCATED_FILE, f"{len(fragments)} fragments for {frames} frames")
    places = {at - fragments[0][0]: n for n, (at, _) in enumerate(fragments)}
    for offsets in (extended, table):
        firsts = [places.get(offset, -1) for offset in offsets]
        if len(firsts) == frames and firsts[0] == 0 and _is_rising(firsts):
            return _cut(fragments, firsts)
    if len(fragments) == frames:
        return [[fragment] for fragment in fragments]
    firsts = [n for n, (at, _) in enumerate(fragments) if body.startswith(_STARTS, at)]
    if len(firsts) != frames or firsts[0] != 0:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "no offset table says where the frames start")
    return _cut(fragments, firsts)


def join(body: bytes, fragments: Sequence[Fragment]) -> bytes:
    """One frame's bytes."""
    return b"".join(body[start:end] for start, end in fragments)


def _read_fragments(body: bytes, at: int) -> tuple[tuple[int, ...], list[Fragment]]:
    """The Basic Offset Table's offsets and the fragments behind it."""
    items: list[Fragment] = []
    while True:
        if at + 8 > len(body):
            raise Rejected(Reason.TRUNCATED_FILE, "the file ends before its last fragment of pixels")
        group, element, length = struct.unpack_from("<HHL", body, at)
        at += 8
        if (group, element) == (0xFFFE, _SEQUENCE_END):
            break
        if (group, element) != (0xFFFE, _ITEM):
            raise Rejected(Reason.UNDECODABLE_PIXELS, "something else stands between the fragments")
        if at + length > len(body):
            raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside a fragment of pixels")
        items.append((at, at + length))
        at += length
    if len(items) < 2:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "no fragment of pixels")
    start, end = items[0]
    return struct.unpack_from(f"<{(end - start) // 4}L", body, start), items[1:]


def _is_rising(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))


def _cut(fragments: list[Fragment], firsts: Sequence[int]) -> list[list[Fragment]]:
    ends = [*firsts[1:], len(fragments)]
    return [fragments[first:end] for first, end in zip(firsts, ends, strict=True)]
