"""Items of sequences: which item of the source became which of the output, and what a content item is about."""

from __future__ import annotations

from collections.abc import Sequence

from curate.deid.verification.entries import Entry

_CONCEPT, _SCHEME, _CODE = 0x0040A043, 0x00080102, 0x00080100


def align(items: Sequence[Sequence[Entry]], old: Sequence[Sequence[Entry]]) -> list[Sequence[Entry] | None]:
    """The source's item of each output item: by number, or, when some were dropped, the next that fits."""
    if len(items) == len(old):
        return list(old)
    position, found = 0, list[Sequence[Entry] | None]()
    for item in items:
        match = next((n for n in range(position, len(old)) if _fits(item, old[n])), None)
        found.append(None if match is None else old[match])
        position = position if match is None else match + 1
    return found


def concept(item: Sequence[Entry]) -> tuple[str, str]:
    """Scheme and code of the concept name of a structured report's content item; empty where there is none."""
    cells = {
        inner.tag: inner.value.strip(b" \0").decode("latin-1")
        for entry in item
        if entry.tag == _CONCEPT and entry.items
        for inner in entry.items[0]
    }
    return cells.get(_SCHEME, ""), cells.get(_CODE, "")


def _fits(item: Sequence[Entry], old: Sequence[Entry]) -> bool:
    return {entry.tag for entry in item} <= {entry.tag for entry in old} and concept(item) == concept(old)
