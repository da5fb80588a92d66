"""Merging: many small segments into one, so that a run that was resumed ten thousand times reads few objects.

A merged segment is published whole and read back. Then a note beside it, ``<digest>.json``, names the segments that it
replaces, and readers pass those over. They stay until ``curate gc`` takes them, so that a reader with an older listing
goes on. Safe at every crash point and between two drivers: without its note a merged segment only says things twice;
what replaces another says all that it said, so two that replace each other are one and the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cluster.ledger import segments
from cluster.ledger.receipts import Ledger
from cluster.outcomes import Receipt
from curate.identity import canonical_json

LEAST_SEGMENTS = 32  # fewer small ones are quick to read
SMALL_BYTES = 512 * 2**10  # of a segment as it lies in the store

Contents = Mapping[str, bytes]  # receipts by name, as their JSON: as objects they take several times as much


def merge(ledger: Ledger, *, segment_bytes: int, least: int = LEAST_SEGMENTS, small: int = SMALL_BYTES) -> int:
    """Merge small segments if there are ``least`` of them; how many were replaced.

    Raises ``DamagedReceipt`` for a segment that is unreadable, and ``Unavailable``; nothing is passed over then that
    stands nowhere else.
    """
    keys = [key for key in ledger.segments() if ledger.store.size(key) < small]
    if len(keys) < least:
        return 0
    replaced = 0
    for sources, contents in _batches(ledger, keys, segment_bytes):
        merged = ledger.publish_segment(contents)
        replaced += _note(ledger, merged, [key for key in sources if key != merged])
    return replaced


def discard(ledger: Ledger) -> int:
    """Remove every segment that another replaces, and the notes; how many segments.

    A reader that holds an older listing has to read anew.
    """
    notes = ledger.notes()
    replaced = {key for keys in notes.values() for key in keys}
    for key in (*sorted(replaced), *map(note_of, notes)):  # a note goes when nothing is left that it names
        ledger.store.delete(key)
    return len(replaced)


def note_of(segment: str) -> str:
    """Where the note of a segment lies, which may not be there."""
    return segment.removesuffix(".parquet") + ".json"


def _batches(ledger: Ledger, keys: Sequence[str], segment_bytes: int) -> Iterator[tuple[list[str], Contents]]:
    """Segments of about so many bytes of receipts together, at least two, and what they say."""
    sources: list[str] = []
    held: dict[str, bytes] = {}
    size = 0
    for key in keys:
        rows = segments.read_segment(ledger.store, key)
        found = {name: receipt.to_json() for name, receipt in segments.receipts_in(rows)}
        if any(name in held and not _say_the_same(held[name], content) for name, content in found.items()):
            continue  # version 0.1.0 gave one name to several: that segment stays as it is
        added = sum(map(len, found.values()))
        if sources and size + added > segment_bytes:
            if len(sources) > 1:
                yield sources, held
            sources, held, size = [], {}, 0
        for name, content in found.items():  # they differ in the measured peak alone: the choice must not be ours
            held[name] = min(held.get(name, content), content)
        sources.append(key)
        size += added
    if len(sources) > 1:
        yield sources, held


def _say_the_same(one: bytes, other: bytes) -> bool:
    return one == other or Receipt.from_json(one).outcomes == Receipt.from_json(other).outcomes


def _note(ledger: Ledger, merged: str, sources: Sequence[str]) -> int:
    """Say what a segment replaces, also by way of others; how many segments are replaced anew."""
    notes = ledger.notes()
    older = [key for key in sources if key in notes]
    names = sorted({*sources, *(name for key in older for name in notes[key])} - {merged})
    if not names:
        return 0
    if merged in notes:  # said before, of fewer: a note is replaced by one that says more
        names = sorted({*names, *notes[merged]})
    ledger.store.put(note_of(merged), canonical_json(names))
    for key in older:
        ledger.store.delete(note_of(key))
    return len(sources)
