"""The verifier's own parser, written from PS3.5 section 7: bytes to records, strict, in one pass.

It is what makes checking every file cheap: walking GDCM's objects from Python costs fifty times as much. It shares no
line with the writer's parser; VRs that the file does not give are those of GDCM's dictionary, and GDCM reads a sample
of files a second time (``cross``). What is not as the standard says raises Rejected: nothing is guessed or skipped.
"""

from __future__ import annotations

import zlib
from struct import Struct, error

from curate.deid.verification.entries import PIXELS, Contents, Entry
from curate.deid.verification.reading import dictionary_vr
from curate.errors import Rejected
from curate.reasons import Reason

DEFLATED, BIG_ENDIAN, IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"
NATIVE = frozenset((DEFLATED, BIG_ENDIAN, IMPLICIT, "1.2.840.10008.1.2.1"))
_LARGEST, _BEGINNING = 1 << 31, 1 << 16
_DEEPEST = 40
_OPEN = 0xFFFFFFFF  # undefined length
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_STARTS = {False: b"\xfe\xff\x00\xe0", True: b"\xff\xfe\xe0\x00"}  # of an item, by big endian
_VRS = {  # PS3.5 7.1.2: VR and whether its length has 32 bits
    **{vr.encode(): (vr, False) for vr in ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT")},
    **{vr.encode(): (vr, False) for vr in ("PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US")},
    **{vr.encode(): (vr, True) for vr in ("OB", "OD", "OF", "OL", "OV", "OW")},
    **{vr.encode(): (vr, True) for vr in ("SQ", "SV", "UC", "UN", "UR", "UT", "UV")},
}
_WIDTHS = {"AT": 2, "US": 2, "SS": 2, "OW": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4,
           "FD": 8, "OD": 8, "SV": 8, "UV": 8, "OV": 8}  # fmt: skip


def parse_contents(content: bytes, *, is_source: bool = False) -> Contents:
    """``is_source``: what follows the pixels may be anything, since none of it is compared.

    Raises Rejected(UNREADABLE_HEADER) when the bytes break the encoding rules.
    """
    if content[128:132] != b"DICM":
        raise _broken("there is no file meta information")
    try:
        meta, start = _read_meta(content)
        syntax = next((_text(entry.value) for entry in meta if entry.tag == 0x00020010), "")
        if not syntax:
            raise _broken("the transfer syntax is not stated")
        behind = 0  # bytes after the deflated ones
        if syntax == DEFLATED:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            content, start = inflater.decompress(content[start:], _LARGEST), 0
            if not (inflater.eof or is_source):
                raise _broken("the deflated bytes do not end")
            behind = 0 if inflater.unused_data == b"\0" else len(inflater.unused_data)  # PS3.5 A.5: a pad
        parser = _Parser(content, is_big=syntax == BIG_ENDIAN)
        entries, end = parser.read_file(start, is_explicit=syntax != IMPLICIT, is_source=is_source)
    except (error, IndexError, zlib.error, RecursionError):
        raise _broken("it ends inside an element") from None
    return Contents(meta, entries, syntax, content, parser.pixels, len(content) - end + behind)


def instance_in(content: bytes) -> str:
    """SOP Instance UID, of the data set or else of the meta information; empty where neither can be read.

    ``content``: a file or its beginning.
    """
    return _text_in(content, 0x00080018, 0x00020003)


def series_in(content: bytes) -> str:
    """Series Instance UID; empty where it cannot be read. ``content``: a file or its beginning."""
    return _text_in(content, 0x0020000E)


def _text_in(content: bytes, wanted: int, instead: int = 0) -> str:
    """Value of an element of the data set, or else of one of the meta information."""
    try:
        meta, start = _read_meta(content)
        known = {entry.tag: _text(entry.value) for entry in meta}
        syntax = known.get(0x00020010, "")
        if syntax == DEFLATED:
            content, start = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], _BEGINNING), 0
        parser = _Parser(content, is_big=syntax == BIG_ENDIAN)
        return parser.find_text(start, wanted, is_explicit=syntax != IMPLICIT) or known.get(instead, "")
    except (Rejected, error, IndexError, zlib.error, RecursionError):
        return ""


class _Parser:
    """A cursor-free reader of one buffer: every method takes an offset and gives the next one."""

    def __init__(self, content: bytes, *, is_big: bool) -> None:
        self._content, self._is_big = content, is_big
        order = ">" if is_big else "<"
        self._header = Struct(f"{order}HH2sH").unpack_from
        self._implicit = Struct(f"{order}HHL").unpack_from
        self._length = Struct(f"{order}L").unpack_from
        self.pixels: tuple[int, int] | None = None

    def read_file(self, at: int, *, is_explicit: bool, is_source: bool) -> tuple[tuple[Entry, ...], int]:
        """Every element of the top level, and where the last one ends."""
        entries: list[Entry] = []
        while at < len(self._content):
            try:
                entry, at = self._element(at, len(self._content), is_explicit, 0)
            except (Rejected, error):
                if is_source and self.pixels is not None:
                    break
                raise
            entries.append(entry)
        return tuple(entries), at

    def find_text(self, at: int, wanted: int, *, is_explicit: bool) -> str:
        """Value of an element of the top level; empty when a later one comes first, or the end."""
        while at < len(self._content):
            entry, at = self._element(at, len(self._content), is_explicit, 0)
            if entry.tag >= wanted:
                return _text(entry.value) if entry.tag == wanted else ""
        return ""

    def _dataset(self, at: int, end: int, is_explicit: bool, depth: int) -> tuple[tuple[Entry, ...], int]:
        """Elements of an item up to ``end``; of one without length (``end`` = -1) up to its delimiter."""
        if depth > _DEEPEST:
            raise _broken("sequences are nested too deep")
        entries: list[Entry] = []
        limit = len(self._content) if end < 0 else end
        while at < limit:
            if end < 0 and self._starts(at, _ITEM_END):
                return tuple(entries), at + 8
            entry, at = self._element(at, limit, is_explicit, depth)
            entries.append(entry)
        if end < 0 or at != end:
            raise _broken("an item does not end where it says")
        return tuple(entries), at

    def _element(self, at: int, limit: int, is_explicit: bool, depth: int) -> tuple[Entry, int]:
        group, number, code, length = self._header(self._content, at)
        tag, start = group << 16 | number, at + 8
        if is_explicit:
            known = _VRS.get(code)
            if known is None:
                raise _broken("an element has no VR that exists")
            vr, is_long = known
            if is_long:
                (length,) = self._length(self._content, start)
                start += 4
        else:
            vr = dictionary_vr(tag)
            length = self._implicit(self._content, at)[2]
        if group == 0xFFFE:
            raise _broken("a delimiter stands where an element should")
        if length == _OPEN or vr in ("SQ", "UN"):
            return self._special(tag, vr, start, length, limit, is_explicit, depth)
        end = start + length
        if end > limit:
            raise _broken("an element is longer than what holds it")
        if tag in PIXELS and depth == 0:
            self.pixels = (start, end)
            return Entry(tag, vr, b""), end
        value = self._content[start:end]
        if self._is_big and vr in _WIDTHS:
            value = _turned(value, _WIDTHS[vr])
        return Entry(tag, vr, value), end

    def _special(
        self, tag: int, vr: str, start: int, length: int, limit: int, is_explicit: bool, depth: int
    ) -> tuple[Entry, int]:
        """Sequences, encapsulated pixels, and values of unknown VR, which can be sequences too (PS3.5 6.2.2)."""
        end = -1 if length == _OPEN else start + length
        if end > limit:
            raise _broken("an element is longer than what holds it")
        if tag in PIXELS and depth == 0:
            end = self._fragments(start) if end < 0 else end
            self.pixels = (start, end)
            return Entry(tag, vr, b""), end
        if vr == "UN":
            known = dictionary_vr(tag)
            is_sequence = end < 0 or known == "SQ" or self._content.startswith(_STARTS[self._is_big], start)
            if not is_sequence or length == 0:
                return Entry(tag, known, self._content[start:end], () if known == "SQ" else None), end
            return self._unknown_sequence(tag, start, end, is_explicit, depth)
        if vr != "SQ":
            raise _broken("an element has no length")
        items, end = self._items(start, end, is_explicit, depth + 1)
        return Entry(tag, "SQ", b"", items), end

    def _unknown_sequence(self, tag: int, start: int, end: int, is_explicit: bool, depth: int) -> tuple[Entry, int]:
        """Implicit inside, as the standard says, though some write explicit; one of a private tag can be chance."""
        try:
            items, end_found = self._items(start, end, False, depth + 1)
        except (Rejected, error):
            if end < 0 or dictionary_vr(tag) == "SQ":
                raise
            return Entry(tag, "UN", self._content[start:end]), end
        return Entry(tag, "SQ", b"", items), end_found

    def _items(self, at: int, end: int, is_explicit: bool, depth: int) -> tuple[tuple[tuple[Entry, ...], ...], int]:
        """Items up to ``end``; of a sequence without length (``end`` = -1) up to its delimiter."""
        items: list[tuple[Entry, ...]] = []
        limit = len(self._content) if end < 0 else end
        while at < limit:
            group, number, length = self._implicit(self._content, at)
            tag, at = group << 16 | number, at + 8
            if tag == _SEQUENCE_END and end < 0:
                return tuple(items), at
            last = -1 if length == _OPEN else at + length
            if tag != _ITEM or last > limit:
                raise _broken("a sequence holds something that is no item of it")
            item, at = self._dataset(at, last, self._is_explicit(at, limit, is_explicit), depth)
            items.append(item)
        if end < 0 or at != end:
            raise _broken("a sequence does not end where it says")
        return tuple(items), at

    def _is_explicit(self, at: int, limit: int, is_explicit: bool) -> bool:
        """Of the item that starts there: some writers change in the middle of a file, and the first element tells."""
        if at + 8 > limit:
            return is_explicit
        group, number, code, _ = self._header(self._content, at)
        known = _VRS.get(code)
        if is_explicit:
            return known is not None or group == 0xFFFE
        return known is not None and dictionary_vr(group << 16 | number) == known[0]

    def _fragments(self, at: int) -> int:
        """Where encapsulated pixels end (PS3.5 A.4)."""
        while True:
            group, number, length = self._implicit(self._content, at)
            tag, at = group << 16 | number, at + 8
            if tag == _SEQUENCE_END and length == 0:
                return at
            at += length
            if tag != _ITEM or at > len(self._content):
                raise _broken("the pixels are no list of fragments")

    def _starts(self, at: int, tag: int) -> bool:
        group, number, _ = self._implicit(self._content, at)
        return bool(group << 16 | number == tag)


def _read_meta(content: bytes) -> tuple[tuple[Entry, ...], int]:
    parser, entries, at = _Parser(content, is_big=False), list[Entry](), 132
    while content.startswith(b"\x02\0", at):
        entry, at = parser._element(at, len(content), True, 1)
        entries.append(entry)
    return tuple(entries), at


def _turned(value: bytes, width: int) -> bytes:
    """The same numbers in the other byte order; a rest that fills no number stays."""
    whole = len(value) - len(value) % width
    turned = bytearray(value)
    for byte in range(width):
        turned[byte:whole:width] = value[width - 1 - byte : whole : width]
    return bytes(turned)


def _text(value: bytes) -> str:
    return value.strip(b" \0").decode("latin-1")


def _broken(detail: str) -> Rejected:
    return Rejected(Reason.UNREADABLE_HEADER, f"the second reader cannot read the file: {detail}")
