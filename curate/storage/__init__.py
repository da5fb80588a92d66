"""Where bytes lie: a store of named immutable objects, opened from a path or URL."""

from curate.storage.cache import CachedStore, NodeCache
from curate.storage.digests import sha256_bytes, sha256_file
from curate.storage.local import LocalStore
from curate.storage.many import get_each
from curate.storage.opening import is_url, lies_within, open_store, plain_url
from curate.storage.proof import prove_store
from curate.storage.store import Store

__all__ = [
    "CachedStore",
    "LocalStore",
    "NodeCache",
    "Store",
    "get_each",
    "is_url",
    "lies_within",
    "open_store",
    "plain_url",
    "prove_store",
    "sha256_bytes",
    "sha256_file",
]
