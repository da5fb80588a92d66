"""The last steps before anything counts as written: no known identifier is in it, and it reads back as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from cluster.outcomes import Output
from curate.deid.leaks import Leak
from curate.errors import Quarantined
from curate.reasons import Reason
from curate.storage import Store, sha256_bytes

_REQUESTS = 8  # at a time


def publish(store: Store, key: str, content: bytes) -> Output:
    """Publish and read back: what a receipt names is in the store with these bytes.

    Raises Quarantined(VERIFICATION_FAILED) when it is not, and as ``Store.put_new`` does.
    """
    store.put_new(key, content)
    written = store.get(key)
    if written != content:
        raise Quarantined(Reason.VERIFICATION_FAILED, "a written object reads back with other bytes")
    return Output(key, sha256_bytes(written), len(written))


def publish_all(store: Store, contents: Mapping[str, bytes]) -> dict[str, Output]:
    """``publish`` each by its key, several at a time: each waits for the disk, which takes what has gathered at once,
    or for two answers over a network."""
    with ThreadPoolExecutor(_REQUESTS) as threads:
        written = threads.map(lambda key: publish(store, key, contents[key]), contents)
        return dict(zip(contents, written, strict=True))


def refuse_leaks(leaks: Iterable[Leak]) -> None:
    """Raises Quarantined(LEAK_FOUND) that counts what was found by its kind, when anything was."""
    kinds = Counter(leak.kind for leak in leaks)
    if kinds:
        raise Quarantined(
            Reason.LEAK_FOUND, ", ".join(f"{kind} {count} times" for kind, count in sorted(kinds.items()))
        )
