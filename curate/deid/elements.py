"""Raw elements of a DICOM data set: where each one lies in the bytes, without decoding any value.

A strict walk over PS3.5 section 7: every length must fit its item and the file, every VR must exist, nesting is
bounded. What does not fit raises Rejected; nothing is guessed, because a part that cannot be read cannot be shown to
be clean. Messages name tags and never values. The walk ends with Pixel Data: padding, signatures and trailing bytes
after it are not read.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import NamedTuple

from curate.deid.vrs import KIND_OF_VR, LONG_VRS, VR_OF_TAG
from curate.errors import Rejected
from curate.reasons import Reason

PIXEL_TAGS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
DEEPEST_NESTING = 32
_UNDEFINED = 0xFFFFFFFF
_PIXEL_GROUP = 0x7FE0
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Syntax(NamedTuple):
    """How headers are written: implicit or explicit VR, little or big endian."""

    implicit: bool
    little: bool


class Element(NamedTuple):
    """One element: header from ``head`` to ``start``, value from ``start`` to ``end`` (byte offsets)."""

    tag: int
    vr: bytes
    head: int
    start: int
    end: int
    undefined: bool = False  # undefined length: the value ends with its delimiter, which belongs to it
    items: tuple[Item, ...] | None = None  # of a sequence


class Item(NamedTuple):
    """One item of a sequence; its own syntax, since some writers change it inside a sequence."""

    syntax: Syntax
    elements: tuple[Element, ...]


EXPLICIT_LITTLE = Syntax(implicit=False, little=True)
IMPLICIT_LITTLE = Syntax(implicit=True, little=True)
EXPLICIT_BIG = Syntax(implicit=False, little=False)

_SHORT = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
_LONG = {True: Struct("<I"), False: Struct(">I")}
_IMPLICIT = {True: Struct("<HHI"), False: Struct(">HHI")}


_make_element = partial(tuple.__new__, Element)  # half the cost of the constructor, which is most of a walk
_PLAIN_VRS = frozenset(KIND_OF_VR) - LONG_VRS
"""VRs whose explicit header is eight bytes: no sequences, no bytes of unknown length."""


def read_elements(content: bytes, start: int, syntax: Syntax) -> tuple[Element, ...]:
    """Elements from ``start`` to Pixel Data (inclusive) or to the end of the bytes.

    Raises Rejected(TRUNCATED_FILE) when an element reaches past the end of the file, Rejected(UNREADABLE_HEADER) when
    the encoding rules are broken.
    """
    elements, position = _walk(content, start, len(content), syntax, depth=0, delimited=False)
    if position != len(content) and (not elements or elements[-1].tag not in PIXEL_TAGS):
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside an element header")
    return elements


def read_private_items(content: bytes, element: Element, syntax: Syntax) -> tuple[Item, ...]:
    """Items of a private sequence of known length, which the walk leaves unread.

    ``syntax``: that of the data set that holds the element; an UN is implicit little endian inside (PS3.5 6.2.2).
    Raises Rejected when the value is no sequence.
    """
    if element.items is not None:
        return element.items
    inner = IMPLICIT_LITTLE if element.vr == b"UN" and not syntax.implicit else syntax
    return _read_items(content, element.start, element.end, inner, 1, delimited=False)[0]


def looks_explicit(content: bytes, position: int) -> bool:
    """Whether the element at the position carries a VR."""
    return content[position + 4 : position + 6] in KIND_OF_VR


def _walk(
    content: bytes, position: int, limit: int, syntax: Syntax, *, depth: int, delimited: bool
) -> tuple[tuple[Element, ...], int]:
    """Elements up to ``limit``, to the item delimiter when ``delimited``, or at depth 0 to Pixel Data."""
    if depth > DEEPEST_NESTING:
        raise Rejected(Reason.UNREADABLE_HEADER, f"sequences nested deeper than {DEEPEST_NESTING}")
    elements: list[Element] = []
    unpack = _SHORT[syntax.little].unpack_from
    is_explicit = not syntax.implicit
    while position + 8 <= limit:
        if is_explicit:
            group, number, vr, length = unpack(content, position)
            end = position + 8 + length
            if vr in _PLAIN_VRS and end <= limit and group < _PIXEL_GROUP:  # most elements; the others take their time
                elements.append(_make_element((group << 16 | number, vr, position, position + 8, end, False, None)))
                position = end
                continue
        element = _read_one(content, position, limit, syntax, depth)
        position = element.end
        if element.tag == _ITEM_END and delimited:
            return tuple(elements), position
        if element.tag >> 16 == 0xFFFE:
            raise Rejected(Reason.UNREADABLE_HEADER, "an item or delimiter outside its sequence")
        elements.append(element)
        if depth == 0 and element.tag in PIXEL_TAGS:
            return tuple(elements), position
    if delimited or (depth and position != limit):
        raise _past_the_end(content, limit, "an item without its end")
    return tuple(elements), position


def _read_one(content: bytes, head: int, limit: int, syntax: Syntax, depth: int) -> Element:
    group, number, vr, length = _SHORT[syntax.little].unpack_from(content, head)
    tag, start = group << 16 | number, head + 8
    if syntax.implicit or group == 0xFFFE:
        length = _IMPLICIT[syntax.little].unpack_from(content, head)[2]
        vr = VR_OF_TAG.get(tag, b"UN")
    elif vr in LONG_VRS:
        if start + 4 > limit:
            raise _past_the_end(content, limit, f"{describe(tag)} ends inside its header")
        length, start = _LONG[syntax.little].unpack_from(content, start)[0], start + 4
    elif vr not in KIND_OF_VR:
        raise Rejected(Reason.UNREADABLE_HEADER, f"{describe(tag)} has a VR that does not exist")
    if length == _UNDEFINED:
        return _read_undefined(content, (tag, vr, head, start), limit, syntax, depth)
    end: int = start + length
    if end > limit:
        raise _past_the_end(content, limit, f"{describe(tag)} is longer than what holds it")
    if _is_sequence(tag, vr):
        inner = IMPLICIT_LITTLE if vr == b"UN" else syntax
        items, _ = _read_items(content, start, end, inner, depth + 1, delimited=False)
        return Element(tag, vr, head, start, end, items=items)
    return Element(tag, vr, head, start, end)


def _read_undefined(
    content: bytes, place: tuple[int, bytes, int, int], limit: int, syntax: Syntax, depth: int
) -> Element:
    """A sequence, or encapsulated pixels, that ends with a delimiter; PS3.5 6.2.2: an UN is implicit then."""
    tag, vr, head, start = place
    if tag in PIXEL_TAGS:
        end = _skip_fragments(content, start, limit, syntax)
        return Element(tag, vr, head, start, end, undefined=True)
    if vr not in (b"SQ", b"UN"):
        raise Rejected(Reason.UNREADABLE_HEADER, f"{describe(tag)} has no length")
    inner = IMPLICIT_LITTLE if vr == b"UN" and not syntax.implicit else syntax
    items, end = _read_items(content, start, limit, inner, depth + 1, delimited=True)
    return Element(tag, vr, head, start, end, undefined=True, items=items)


def _is_sequence(tag: int, vr: bytes) -> bool:
    """Private sequences of known length are not entered: they are removed whole."""
    if tag & 0x10000:
        return False
    return vr == b"SQ" or (vr == b"UN" and VR_OF_TAG.get(tag) == b"SQ")


def _read_items(
    content: bytes, position: int, limit: int, syntax: Syntax, depth: int, *, delimited: bool
) -> tuple[tuple[Item, ...], int]:
    items: list[Item] = []
    header = _IMPLICIT[syntax.little]
    while position + 8 <= limit:
        group, number, length = header.unpack_from(content, position)
        tag, position = group << 16 | number, position + 8
        if tag == _SEQUENCE_END and delimited:
            return tuple(items), position
        if tag != _ITEM:
            raise Rejected(Reason.UNREADABLE_HEADER, "a sequence holds something that is not an item")
        end = limit if length == _UNDEFINED else position + length
        if end > limit:
            raise _past_the_end(content, limit, "an item is longer than its sequence")
        inner = syntax
        if position + 8 <= end and _is_written_otherwise(content, position, syntax):
            inner = Syntax(implicit=not syntax.implicit, little=syntax.little)
        elements, position = _walk(content, position, end, inner, depth=depth, delimited=length == _UNDEFINED)
        items.append(Item(inner, elements))
    if delimited or position != limit:
        raise _past_the_end(content, limit, "a sequence without its end")
    return tuple(items), position


def _is_written_otherwise(content: bytes, position: int, syntax: Syntax) -> bool:
    """Whether an item changes between implicit and explicit: some writers do, in an UN or below an explicit sequence.

    Two bytes of a length can look like a VR, so an implicit item counts as explicit only when they are the VR of the
    tag.
    """
    if not syntax.implicit:
        return not _starts_explicit(content, position, syntax)
    group, number, vr, _ = _SHORT[syntax.little].unpack_from(content, position)
    return bool(VR_OF_TAG.get(group << 16 | number) == vr)


def _starts_explicit(content: bytes, position: int, syntax: Syntax) -> bool:
    """Delimiters carry no VR in any syntax."""
    delimiter = b"\xfe\xff" if syntax.little else b"\xff\xfe"
    return content[position : position + 2] == delimiter or looks_explicit(content, position)


def _skip_fragments(content: bytes, position: int, limit: int, syntax: Syntax) -> int:
    """End of encapsulated pixel data (PS3.5 A.4): items of bytes up to the sequence delimiter."""
    header = _IMPLICIT[syntax.little]
    while position + 8 <= limit:
        group, number, length = header.unpack_from(content, position)
        tag, position = group << 16 | number, position + 8
        if tag == _SEQUENCE_END and length == 0:
            return position
        if tag != _ITEM or length == _UNDEFINED:
            raise Rejected(Reason.UNREADABLE_HEADER, "the pixel data are not a list of fragments")
        position += length
    raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside the pixel data")


def _past_the_end(content: bytes, limit: int, detail: str) -> Rejected:
    return Rejected(Reason.TRUNCATED_FILE if limit == len(content) else Reason.UNREADABLE_HEADER, detail)


def describe(tag: int) -> str:
    """A tag as people write it, (gggg,eeee). Private tags are given by group only: elements can be numbered at will."""
    group = tag >> 16
    return f"({group:04x},xxxx)" if group & 1 else f"({group:04x},{tag & 0xFFFF:04x})"
