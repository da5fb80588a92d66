"""From what a spec or a command line names to the store there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from curate.errors import Misconfigured
from curate.storage.local import LocalStore
from curate.storage.objects import ObjectStore
from curate.storage.requests import SCHEMES
from curate.storage.store import Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def open_store(url: str | Path, *, mode: int = 0o777) -> Store:
    """Open the store at a path, a ``file://`` URL, or ``s3://bucket/prefix`` (``gs://``, ``az://``) of an object store.

    Cheap: nothing is asked of the storage, and a folder is made on the first write; ``prove_store`` asks whether the
    storage keeps its promises. ``mode`` is the mode of new folders (0o700 for the private zone); who may look into a
    bucket is said by its policy.

    Raises ``Misconfigured`` for a scheme that is not supported and a URL that is none.
    """
    if is_url(url):
        return ObjectStore(plain_url(str(url)))
    return LocalStore(as_path(url), mode=mode)


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL of an object store (or of something unknown) and not a folder."""
    return isinstance(place, str) and "://" in place and not place.startswith("file://")


def as_path(place: str | Path) -> Path:
    """The folder that a path or ``file://`` URL names."""
    text = str(place)
    return Path(unquote(urlsplit(text).path)) if text.startswith("file://") else Path(text)


def plain_url(url: str) -> str:
    """``scheme://bucket/prefix`` in one spelling. Raises ``Misconfigured`` for a scheme that is not supported, and for
    a URL that holds more than bucket and prefix, which is not repeated: it may be a password."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise Misconfigured(f"store URL: scheme '{parts.scheme}' is not supported; give a folder or one of {known}")
    prefix = parts.path.strip("/")
    is_plain = not (parts.query or parts.fragment) and _BUCKET.fullmatch(parts.netloc)
    if not is_plain or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise Misconfigured(
            f"store URL: expected {parts.scheme}://BUCKET/PREFIX; credentials and endpoint come from the environment"
        )
    return f"{parts.scheme}://{parts.netloc}/{prefix}".rstrip("/")


def lies_within(place: str | Path, other: str | Path) -> bool:
    """Whether a folder or URL is another one, or lies in it."""
    if is_url(place) != is_url(other):
        return False
    if is_url(place):
        return f"{plain_url(str(place))}/".startswith(f"{plain_url(str(other))}/")
    return as_path(place).resolve().is_relative_to(as_path(other).resolve())
