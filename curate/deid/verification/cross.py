"""What GDCM reads held against what the verifier's own parser reads: two readers must see one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curate.deid.verification.entries import PIXELS, Contents, Entry, describe
from curate.deid.verification.reading import END, ITEM, outline, read_contents


def disagreements(content: bytes, parsed: Contents) -> Iterator[tuple[str, str]]:
    """(path, what differs) of every element that GDCM reads otherwise.

    When the outlines of the data sets are the same, nothing else is compared, the meta information neither.

    Raises Rejected(UNREADABLE_HEADER) when GDCM cannot read the file.
    """
    if outline(content) == list(_outline(parsed.entries)):
        return  # the same elements with the same lengths in the same order are the same bytes
    other = read_contents(content)
    if other.transfer_syntax != parsed.transfer_syntax:
        yield describe(0x00020010), "another transfer syntax"
    yield from _differences(other.meta, parsed.meta, "")
    yield from _differences(other.entries, parsed.entries, "")


def _outline(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    for entry in entries:
        yield entry.tag, -1 if entry.items or entry.tag in PIXELS else len(entry.value)
        for item in entry.items or ():
            yield ITEM, -1
            yield from _outline(item)
        if entry.items:
            yield END, -1


def _differences(theirs: Sequence[Entry], ours: Sequence[Entry], path: str) -> Iterator[tuple[str, str]]:
    old, new = ({entry.tag: entry for entry in entries} for entries in (theirs, ours))
    if len(new) != len(ours):
        yield path, "an attribute stands there twice"
    for tag in sorted(old.keys() | new.keys()):
        where = path + describe(tag)
        if tag not in old or tag not in new:
            yield where, "GDCM does not see it" if tag in new else "GDCM alone sees it"
        elif len(old[tag].items or ()) != len(new[tag].items or ()):
            yield where, "another number of items"
        elif tag not in PIXELS and old[tag].value.rstrip(b" \0") != new[tag].value.rstrip(b" \0"):
            yield where, "another value"
        for number, (item, mine) in enumerate(zip(_items(old, tag), _items(new, tag), strict=False)):
            yield from _differences(item, mine, f"{where}[{number}]")


def _items(entries: dict[int, Entry], tag: int) -> Sequence[Sequence[Entry]]:
    return (entries[tag].items or ()) if tag in entries else ()
