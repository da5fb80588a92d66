"""The ledger of one stage: which receipts there are, and what they say together.

The name of a receipt says how it may be followed. One whose items are all done is ``ledger/<stage>/<unit id>.json``:
nothing better can ever stand there. Any other is ``<unit id>.<digest>.json`` with the digest of its outcomes, so that a
better one lies beside it and the same again has the same name. Receipts are created once and never replaced.

``compaction`` copies them into segments and removes them. That is sound, on object stores too, because of the names:
**whoever writes a removed name anew says nothing that the segment does not say already**, be it a straggler that ends
late or a driver that tries the unit again; so it does not matter who removes that once more, or when.

An item may be settled more than once: a quarantined one may be tried again, two drivers may race. The best outcome
counts (done, then rejected, then quarantined), so what readers see does not depend on who came first.

Receipts are not durable one by one: an executor waits for them at its end (``Store.sync``). One that a power cut left
empty or cut off counts as none, and whoever settles its unit again puts it right. What a receipt names is durable
before it exists.

Readers list receipts first and segments after. A receipt that was removed before it was listed is in a segment that was
published before that; one that is gone when it is read is in a segment that a second listing shows. This needs a store
that lists what it has written (file systems, S3, GCS, Azure).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from cluster.ledger import best, scanning, segments
from cluster.outcomes import DamagedReceipt, ItemOutcome, Receipt, Status
from curate.errors import Unavailable
from curate.identity import digest_json
from curate.reasons import Reason
from curate.storage import Store

FOLDER = "ledger"
READERS = 16  # receipts asked for at a time: an object store answers one in tens of milliseconds
READ_TOGETHER = 512  # receipts in memory at a time
TRIES = 5  # of a reading during which segments were replaced

# outcomes that say more of the machine than of the item: counted as quarantined, tried again by the next run
AGAIN = frozenset({Reason.STORAGE_UNAVAILABLE, Reason.TOO_LARGE})

_ENDING = re.compile(rb'"unit_id":"[^"]*","version":-?\d+}\Z')  # of every receipt that is whole
_ENDING_BYTES = 512

Only = tuple[str, Collection[str]] | None  # a column and its values


class Ledger:
    """One stage's receipts."""

    def __init__(self, store: Store, stage: str) -> None:
        self.store = store
        self.stage = stage

    def publish(self, receipt: Receipt) -> bool:
        """Write the receipt unless one that says the same, or that all items are done, is there. True if it wrote it.

        One whose like was compacted away is written once more, and one that is worse than another of its unit is
        written beside it: such receipts count for nothing.
        """
        content = receipt.to_json()
        if _is_done(receipt) and self._create(receipt.unit_id, content):
            return True
        there = self._get(receipt.unit_id)
        # version 0.1.0 gave this name to any receipt
        if there is not None and _is_done(self.parse(receipt.unit_id, there)):
            return False
        digest = digest_json(json.loads(content)["outcomes"])
        return self._create(f"{receipt.unit_id}.{digest[:16]}", content)

    def find_settled(self, unit_id: str, *, again: Collection[Reason] = AGAIN) -> Receipt | None:
        """The best receipt that settles all items of a unit, or None. Reads what this unit needs alone."""
        first = self._get(unit_id)
        if first is not None and _is_done(done := self.parse(unit_id, first)):
            return done  # the usual case, which needs no listing
        tables = self._tables(None, ("unit", {unit_id}))
        found = [receipt for table in tables for _, receipt in segments.receipts_in(table)]
        settling = [one for one in found if not any(_is_tried_again(outcome, again) for outcome in one.outcomes)]
        return min(settling, key=lambda one: sum(outcome.status.rank for outcome in one.outcomes), default=None)

    def receipts(self) -> Iterator[Receipt]:
        """Every receipt once, loose ones first. Raises ``DamagedReceipt`` naming one that is unreadable."""
        seen: set[str] = set()
        for table in self.rows():
            found = [(name, receipt) for name, receipt in segments.receipts_in(table) if name not in seen]
            seen.update(name for name, _ in found)
            yield from (receipt for _, receipt in found)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """SEGMENT rows of all receipts, a segment at a time: a fingerprint may come more than once.

        Raises ``Unavailable`` if a segment is replaced meanwhile (``curate gc --superseded``), and ``DamagedReceipt``.
        """
        try:
            yield from self._views(columns, None)
        except FileNotFoundError:
            raise Unavailable("the ledger was rewritten while it was read") from None

    def outcomes_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The outcome that counts of every item ever settled, one row a fingerprint, in no particular order.

        ``columns`` of ``segments.SEGMENT``; by default fingerprint, key, status, reason, detail, bytes (published),
        unit, peak (bytes of memory, of the unit). Raises ``DamagedReceipt`` naming the object that is unreadable.
        """
        wanted = list(columns or best.COLUMNS)
        tables = self._tables(list(dict.fromkeys([*wanted, *best.ORDER])))
        return best.best_outcomes(pa.concat_tables(tables)).select(wanted)

    def find(self, keys: Collection[str]) -> pa.Table:
        """The outcomes that count of every fingerprint that these item keys ever had: all columns of SEGMENT."""
        return best.best_outcomes(pa.concat_tables(self._tables(None, ("key", set(keys)))))

    def outcomes(self) -> dict[str, ItemOutcome]:
        """The outcome that counts of every item ever settled, by fingerprint: all of it, for small ledgers."""
        table = self.outcomes_table(segments.SEGMENT.names)
        outcomes = (outcome for _, receipt in segments.receipts_in(table) for outcome in receipt.outcomes)
        return {outcome.fingerprint: outcome for outcome in outcomes}

    def settled(self, *, again: Collection[Reason] = AGAIN) -> dict[str, ItemOutcome]:
        """Outcomes by fingerprint that a plan need not try: all but those quarantined for a reason in ``again``."""
        return {name: outcome for name, outcome in self.outcomes().items() if not _is_tried_again(outcome, again)}

    def loose(self) -> list[str]:
        """Names of the receipts that are objects of their own, sorted."""
        keys = (key.removeprefix(f"{self._folder}/") for key in self.store.list(self._folder))
        return [key.removesuffix(".json") for key in keys if key.endswith(".json") and "/" not in key]

    def segments(self) -> list[str]:
        """Keys of the segments that count, sorted: all but those that another replaces."""
        keys, notes = self._listed()
        return sorted(keys - {name for replaced in notes.values() for name in replaced})

    def notes(self) -> dict[str, list[str]]:
        """Segments that replace others, with those that they replace, whether those are still there or not."""
        return self._listed()[1]

    def publish_segment(self, contents: Mapping[str, bytes]) -> str:
        """One segment of these receipts, read back and compared; its key. Raises ``DamagedReceipt`` when it reads back
        as something else."""
        table = self.table(contents)
        key = f"{self._folder}/segments/{segments.segment_digest(contents)}.parquet"
        self.store.put_new(key, segments.segment_bytes(table))
        if not segments.read_segment(self.store, key).equals(table):
            raise DamagedReceipt(f"{key}: the segment reads back as something else")
        return key

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Loose receipts as they stand in the store, by name, without those that are gone or were cut off."""
        with ThreadPoolExecutor(READERS) as pool:
            contents = zip(names, pool.map(self._get, names), strict=True)
            return {name: content for name, content in contents if content is not None}

    def parse(self, name: str, content: bytes) -> Receipt:
        """Raises ``DamagedReceipt`` naming a receipt that is unreadable."""
        try:
            return Receipt.from_json(content)
        except DamagedReceipt as error:
            raise DamagedReceipt(f"{self.key_of(name)}: {error}") from None

    def table(self, contents: Mapping[str, bytes], columns: Sequence[str] | None = None) -> pa.Table:
        """SEGMENT rows of loose receipts, sorted by name. Raises ``DamagedReceipt`` naming one that is unreadable."""
        if columns is not None and scanning.COLUMNS.issuperset(columns):
            scanned = scanning.scan_receipts(contents, columns)
            if scanned is not None:
                return scanned
        rows = segments.receipts_table((name, self.parse(name, contents[name])) for name in sorted(contents))
        return segments.select(rows, columns)

    def key_of(self, name: str) -> str:
        """Where a loose receipt lies."""
        return f"{self._folder}/{name}.json"

    @property
    def _folder(self) -> str:
        return f"{FOLDER}/{self.stage}"

    def _listed(self) -> tuple[set[str], dict[str, list[str]]]:
        for _ in range(TRIES):
            listed = list(self.store.list(f"{self._folder}/segments"))
            keys = {key for key in listed if key.endswith(".parquet")}
            noted = {key.removesuffix(".json") + ".parquet": key for key in listed if key.endswith(".json")}
            try:  # a note counts while the segment is there that says what the others said
                return keys, {key: json.loads(self.store.get(note)) for key, note in noted.items() if key in keys}
            except FileNotFoundError:
                continue  # another note says the same and more by now
            except ValueError:
                raise DamagedReceipt(f"{self._folder}/segments: a note cannot be read") from None
        raise Unavailable("the ledger changes faster than it can be read")

    def _get(self, name: str) -> bytes | None:
        try:
            content = self.store.get(self.key_of(name))
        except FileNotFoundError:
            return None
        return content if _ENDING.search(content, max(len(content) - _ENDING_BYTES, 0)) else None

    def _create(self, name: str, content: bytes) -> bool:
        key = self.key_of(name)
        if self.store.put_new(key, content, durable=False):
            return True
        if self._get(name) is not None or not self.store.exists(key):  # whole, or compacted away meanwhile
            return False
        self.store.put(key, content)
        return True

    def _tables(self, columns: Sequence[str] | None, only: Only = None) -> list[pa.Table]:
        """SEGMENT rows of all receipts, or those that have certain values in a column; at least one table."""
        for _ in range(TRIES):
            try:
                return list(self._views(columns, only))
            except FileNotFoundError:
                continue  # a segment was replaced while it was read
        raise Unavailable("the ledger changes faster than it can be read")

    def _views(self, columns: Sequence[str] | None, only: Only) -> Iterator[pa.Table]:
        yield segments.select(segments.SEGMENT.empty_table(), columns)
        listed = self.loose()
        known = self.segments()
        if only is not None and only[0] == "unit":
            listed = [name for name in listed if name.partition(".")[0] in only[1]]
        gone: set[str] = set()
        for start in range(0, len(listed), READ_TOGETHER):
            names = listed[start : start + READ_TOGETHER]
            contents = self.read(names)
            gone.update(set(names) - set(contents))
            yield self.table(contents, columns) if only is None else self._hits(contents, columns, only)
        if gone:
            known = self.segments()
        for key in known:
            if gone:
                gone -= set(segments.read_segment(self.store, key, ["receipt"])["receipt"].unique().to_pylist())
            if only is None:
                yield segments.read_segment(self.store, key, columns)
            else:
                yield segments.select(segments.find_rows(self.store, key, *only), columns)
        if gone := {name for name in gone if not self.store.exists(self.key_of(name))}:  # else cut off by a power cut
            raise DamagedReceipt(f"{self.key_of(min(gone))}: it was listed, is gone, and no segment holds it")

    def _hits(
        self, contents: Mapping[str, bytes], columns: Sequence[str] | None, only: tuple[str, Collection[str]]
    ) -> pa.Table:
        """SEGMENT rows of loose receipts that have certain values in a column; what has none of them is not parsed."""
        marks = self.table(contents, ["receipt", only[0]])
        names = set(marks.filter(segments.is_one_of(marks, *only))["receipt"].to_pylist())
        rows = self.table({name: contents[name] for name in names})
        return segments.select(rows.filter(segments.is_one_of(rows, *only)), columns)


def _is_tried_again(outcome: ItemOutcome, again: Collection[Reason]) -> bool:
    return outcome.status is Status.QUARANTINED and outcome.reason in again


def _is_done(receipt: Receipt) -> bool:
    return all(outcome.status is Status.DONE for outcome in receipt.outcomes)
