"""Whether the storage behind a store keeps what the commit protocol builds on. Not every server does.

Some S3 servers ignore ``If-None-Match`` and replace what is there; some answer a request for a range with everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from curate.errors import Misconfigured, Unavailable
from curate.storage.requests import WHOLE_FOR_PART
from curate.storage.store import Store

PROBE = "probe-"  # how the key of a probe begins; one that a killed process left means nothing and may be deleted

_FIRST, _SECOND = b"the first content stands", b"another one is refused"
_START, _LENGTH = 4, 5


def prove_store(store: Store) -> None:
    """Write a probe, try to create it again with other bytes, read it and a part of it back, and remove it.

    Six requests: made once a run, by the driver, before anything else is written. Raises ``Misconfigured``, naming the
    store and what it does wrong; ``Unavailable``, naming it too, when the storage refuses.
    """
    key = f"{PROBE}{secrets.token_hex(8)}"
    try:
        faults = list(_find_faults(store, key))
        store.delete(key)
    except Unavailable as error:
        raise Unavailable(f"{store.url}: {error}") from None
    if faults:
        raise Misconfigured(f"{store.url}: {'; '.join(faults)}. No run is safe on it; use another server")


def _find_faults(store: Store, key: str) -> Iterator[str]:
    store.put_new(key, _FIRST)  # False when the answer to the request that created it was lost
    is_refused = not store.put_new(key, _SECOND)
    found = store.get(key)
    if not is_refused or found != _FIRST:
        yield "the storage there replaces an object silently where it is to create one only if there is none"
    try:
        part = store.get_range(key, _START, _LENGTH)
    except Misconfigured:
        part = b""
    if part != found[_START : _START + _LENGTH]:
        yield WHOLE_FOR_PART
