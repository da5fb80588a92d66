"""Compaction: loose receipts into segments, and small segments into larger ones, so that readers need few objects.

Safe at every crash point: a segment is published whole, read back and compared before a receipt in it is removed, and
a receipt that stands in both counts once. Two drivers may compact at once: their segments overlap, the best outcome of
a fingerprint counts. Nothing that anybody publishes meanwhile is lost, see ``cluster.ledger.receipts`` on names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cluster.ledger import segments
from cluster.ledger.merging import merge
from cluster.ledger.receipts import READ_TOGETHER, READERS, Ledger

LEAST_LOOSE = 64  # fewer receipts are quick to read, and people can read them
SEGMENT_BYTES = 8 * 2**20  # of receipts in a segment: what compaction and readers hold in memory, some times over


def compact(ledger: Ledger, *, least: int = LEAST_LOOSE, segment_bytes: int = SEGMENT_BYTES) -> int:
    """Move loose receipts into segments if there are ``least`` of them, and small segments into larger ones; how many
    receipts were removed.

    Raises ``DamagedReceipt`` for a receipt that is unreadable and for a segment that reads back as something else, and
    ``Unavailable`` when the store refuses; nothing is removed then that is not in a segment.
    """
    names = ledger.loose()
    if len(names) < least:
        names = []
    held = _held(ledger, set(names)) if names else {}
    removed = 0
    for contents in _batches(ledger, names, segment_bytes):
        known = _confirmed(ledger, contents, held)
        if unknown := {name: content for name, content in contents.items() if name not in known}:
            ledger.publish_segment(unknown)
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(lambda name: ledger.store.delete(ledger.key_of(name)), contents))
        removed += len(contents)
    merge(ledger, segment_bytes=segment_bytes)
    return removed


def _batches(ledger: Ledger, names: Sequence[str], segment_bytes: int) -> Iterator[dict[str, bytes]]:
    """Receipts of about so many bytes together, in the order of their names; those that are gone are left out."""
    batch: dict[str, bytes] = {}
    size = 0
    for start in range(0, len(names), READ_TOGETHER):
        for name, content in ledger.read(names[start : start + READ_TOGETHER]).items():
            if batch and size + len(content) > segment_bytes:
                yield batch
                batch, size = {}, 0
            batch[name] = content
            size += len(content)
    if batch:
        yield batch


def _held(ledger: Ledger, names: Collection[str]) -> dict[str, set[str]]:
    """Which of these names the segments have, by key: a compaction was cut off, or a straggler wrote one once more."""
    held = {}
    for key in ledger.segments():
        column = segments.read_segment(ledger.store, key, ["receipt"])["receipt"]
        if found := set(column.unique().to_pylist()) & set(names):
            held[key] = found
    return held


def _confirmed(ledger: Ledger, contents: Mapping[str, bytes], held: Mapping[str, set[str]]) -> set[str]:
    """Names of which a segment, read now, says what the loose receipt says."""
    known: set[str] = set()
    for key, names in held.items():
        if wanted := names & set(contents):
            rows = segments.find_rows(ledger.store, key, "receipt", wanted)
            for name, receipt in segments.receipts_in(rows):
                if receipt.outcomes == ledger.parse(name, contents[name]).outcomes:
                    known.add(name)
    return known
