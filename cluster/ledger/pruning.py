"""Taking back receipts of versions and parameters that nobody wants any more. Their results are orphans then."""

from __future__ import annotations

import pyarrow.compute as pc

from cluster.ledger import segments
from cluster.ledger.merging import discard
from cluster.ledger.receipts import READ_TOGETHER, Ledger


def prune(ledger: Ledger, *, version: int, parameters: str) -> int:
    """Remove every receipt of another version or of other parameters; how many.

    A segment that holds some of both is written anew with those that stay before it is removed, so a reader that comes
    in between misses nothing, and one that holds the old list reads anew. Raises as ``compact`` does.
    """
    removed = 0
    names = ledger.loose()
    for start in range(0, len(names), READ_TOGETHER):
        for name, content in ledger.read(names[start : start + READ_TOGETHER]).items():
            receipt = ledger.parse(name, content)
            if (receipt.version, receipt.parameters) != (version, parameters):
                ledger.store.delete(ledger.key_of(name))
                removed += 1
    discard(ledger)  # what a segment replaces would count again when that one is removed
    for key in ledger.segments():
        rows = segments.read_segment(ledger.store, key)
        wanted = pc.and_(pc.equal(rows["version"], version), pc.equal(rows["parameters"], parameters))
        if pc.all(wanted).as_py():
            continue
        kept = {name: receipt.to_json() for name, receipt in segments.receipts_in(rows.filter(wanted))}
        if kept:
            ledger.publish_segment(kept)
        ledger.store.delete(key)
        removed += pc.count_distinct(rows.filter(pc.invert(wanted))["receipt"]).as_py()
    return removed
