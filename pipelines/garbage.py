"""What lies in a store and is of no use: objects that no receipt names, and results of other parameters.

Orphans are left by attempts that died before their receipt. They are harmless, and a later attempt at the same item
takes them over, so a sweep must not meet one that does. Three things keep it away:

- an object younger than the grace stays;
- an object of a series that the plan has and that is neither done nor rejected stays, however old it is. The plan is
  read before the receipts: what is settled in between is named by them;
- parts of the catalogue stay while an event or a receipt of the scan is younger than the grace: a scan may go on.

The private zone has orphans too: the identifiers that such attempts wrote, and listings and headers of chunks that
changed. Each is believed if the receipt is that names what was written with it. Of series that this store's catalogue
does not have the identifiers stay, and a zone that a de-identified folder uses (``curate deid``) is left alone.

Segments of the ledger that a merged one has replaced go as well, once it has stood for the grace.

A sweep stops when it finds another plan than it began with. A run of another spec that makes its plan between that look
and a removal is not seen: do not begin one beside ``curate gc --delete``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cluster.events import FOLDER as EVENTS
from cluster.ledger import Ledger, stages
from cluster.ledger.merging import note_of
from cluster.ledger.receipts import FOLDER as LEDGER
from cluster.outcomes import Status
from curate.errors import Unavailable
from curate.storage import Store
from pipelines.catalogue import STAGE as SCAN
from pipelines.catalogue import listing_key, part_keys
from pipelines.known import IDENTIFIERS
from pipelines.state import is_grouped, plan_digest, series_state

PARTS = "catalogue/parts"
PAYLOAD = ("dicom", "volumes", PARTS)  # where stages publish what receipts name
GRACE_SECONDS = 24 * 3600.0
PRIVATE = (IDENTIFIERS, "listings", "parts")  # in the private zone
LOCK = "lock"  # in a private zone that a de-identified folder uses
BATCH = 1000  # objects between two looks at the plan

Current = Mapping[str, tuple[int, str]]  # stage -> version and digest of the parameters that a spec asks for


@dataclass
class Sweep:
    """Counts by folder: objects and bytes that are garbage, and orphans that stay for now."""

    objects: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    young: Counter[str] = field(default_factory=Counter)
    in_use: Counter[str] = field(default_factory=Counter)


def sweep(
    store: Store,
    *,
    private: Store | None = None,
    now: float,
    grace: float = GRACE_SECONDS,
    current: Current | None = None,
    delete: bool = False,
) -> Sweep:
    """Find what no receipt names, and remove it if ``delete``.

    ``now``: seconds since 1970; ``grace``: seconds. With ``current``, receipts of other versions or parameters of these
    stages do not count; the caller takes them away first (``cluster.ledger.pruning``) if anything is deleted. Raises
    ``Unavailable`` when a plan was made meanwhile.
    """
    found = Sweep()
    plan = plan_digest(store)
    open_series = _series(store, ended=False)
    believed = _believed(store, current or {})
    scan_is_quiet = not _is_scanning(store, now - grace)

    def clear(zone: Store, folder: str, name: str, in_use: Callable[[str], bool]) -> None:
        for keys in _batches(zone.list(folder)):
            witnesses = [_witness(key) for key in keys] if zone is private else keys
            garbage = []
            for key, known in zip(keys, _contains(believed, witnesses), strict=True):
                if known:
                    continue
                if in_use(key):
                    found.in_use[name] += 1
                elif now - zone.modified(key) < grace:
                    found.young[name] += 1
                else:
                    garbage.append(key)
                    found.objects[name] += 1
                    found.bytes[name] += zone.size(key)
            if delete and garbage:
                if plan_digest(store) != plan:
                    raise Unavailable("a plan was made on this store meanwhile; nothing more was removed")
                for key in garbage:
                    zone.delete(key)

    for stage in stages(store):
        _clear_replaced(Ledger(store, stage), found, now - grace, delete=delete)

    def may_go_on(key: str) -> bool:
        return open_series is None or _series_of(key) in open_series

    for folder in PAYLOAD:
        clear(store, folder, folder, (lambda _: not scan_is_quiet) if folder == PARTS else may_go_on)
    if private is not None and not private.exists(LOCK):
        ended = _series(store, ended=True) or set()
        for folder in PRIVATE:
            of_series = folder == IDENTIFIERS
            clear(
                private,
                folder,
                f"private/{folder}",
                (lambda key: _series_of(key) not in ended) if of_series else (lambda _: not scan_is_quiet),
            )
    return found


def _clear_replaced(ledger: Ledger, found: Sweep, before: float, *, delete: bool) -> None:
    """Segments of the ledger that another has replaced for long enough: nobody reads them by an older listing."""
    store = ledger.store
    for merged, replaced in ledger.notes().items():
        present = [key for key in replaced if store.exists(key)]
        if store.modified(note_of(merged)) > before:
            found.young[LEDGER] += len(present)
            continue
        for key in present:
            found.objects[LEDGER] += 1
            found.bytes[LEDGER] += store.size(key)
            if delete:
                store.delete(key)
        if delete:
            store.delete(note_of(merged))


def _witness(key: str) -> str:
    """What a receipt names if this object of the private zone is to be believed."""
    folder, *rest = key.removesuffix(".parquet").split("/")
    if folder == IDENTIFIERS:
        return f"volumes/{'/'.join(rest)}/slices.parquet"
    return part_keys("/".join(rest))[0] if folder == "parts" else key


def _series(store: Store, *, ended: bool) -> set[str] | None:
    """Keys of the catalogue's series that are done or rejected, or of those that a run may be at. None: not known."""
    if not is_grouped(store):
        return None
    state = series_state(store)
    has_ended = pc.is_in(state["status"], value_set=pa.array([Status.DONE.value, Status.REJECTED.value]))
    return set(state.filter(has_ended if ended else pc.invert(has_ended))["series_key"].to_pylist())


def _believed(store: Store, current: Current) -> npt.NDArray[np.uint64]:
    """Hashes, sorted, of the keys of all objects that receipts name: 8 bytes an object, of which there may be many.

    The private listing of a chunk counts as named by the chunk's receipt, whatever became of the chunk. Two keys of one
    hash keep an orphan, never remove what is named.
    """
    hashes = [np.empty(0, np.uint64)]
    for stage in stages(store):
        for rows in Ledger(store, stage).rows(["version", "parameters", "fingerprint", "outputs"]):
            if stage in current:
                version, parameters = current[stage]
                rows = rows.filter(
                    pc.and_(pc.equal(rows["version"], version), pc.equal(rows["parameters"], parameters))
                )
            for outputs in rows["outputs"].chunks:
                hashes.append(_hash(pc.struct_field(outputs.flatten(), "key").to_pylist()))
            if stage == SCAN:
                hashes.append(_hash([listing_key(mark) for mark in rows["fingerprint"].to_pylist()]))
    return np.unique(np.concatenate(hashes))


def _contains(believed: npt.NDArray[np.uint64], keys: list[str]) -> npt.NDArray[np.bool_]:
    wanted = _hash(keys)
    places = np.searchsorted(believed, wanted)
    inside: npt.NDArray[np.bool_] = places < len(believed)
    inside[inside] = believed[places[inside]] == wanted[inside]
    return inside


def _hash(keys: list[str]) -> npt.NDArray[np.uint64]:
    return pd.util.hash_array(np.array(keys, dtype=object), categorize=False)


def _is_scanning(store: Store, since: float) -> bool:
    """Whether an event or a receipt of the header scan was written since then."""
    last_event = max(store.list(EVENTS), default=None)
    keys = [*([last_event] if last_event else []), *store.list(f"{LEDGER}/{SCAN}")]
    return any(store.modified(key) > since for key in keys)


def _series_of(key: str) -> str:
    """``dicom/<study>/<series>/<name>/...`` and ``volumes/...`` alike."""
    parts = key.split("/")
    return parts[2] if len(parts) > 3 else ""


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, BATCH)):
        yield batch
