"""Where bytes lie: a store of named immutable objects, opened from a URL."""

from curate.storage.digests import sha256_bytes, sha256_file
from curate.storage.store import LocalStore, Store, open_store

__all__ = ["LocalStore", "Store", "open_store", "sha256_bytes", "sha256_file"]
