"""One file to another: the whole of de-identification for a notebook or a shell."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from curate.deid.engine import deidentify_bytes
from curate.deid.keys import load_key
from curate.deid.profile import Profile, load_profile
from curate.deid.pseudonyms import Keyed, Pseudonyms, PublicIds
from curate.deid.records.audit import FileAudit
from curate.errors import Misconfigured, Unavailable


def deidentify_file(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    profile: str | Profile,
    key: bytes | str | None,
    site: str = "",
) -> FileAudit:
    """De-identify ``source`` into ``destination``, which appears whole or not at all and replaces what was there.

    ``profile`` is a name for ``load_profile`` or a Profile; ``key`` is the key itself (32 bytes and more), its source
    (``env:NAME``, ``file:PATH``), or None for a profile that keeps ids. The name of the destination is the caller's:
    it must not be made from the source's. Raises what ``deidentify_bytes`` does, Misconfigured for a wrong key,
    profile or path, Unavailable when a disk refuses. No message holds a path.
    """
    chosen = load_profile(profile) if isinstance(profile, str) else profile
    pseudonyms = _pseudonyms(chosen, key)
    try:
        raw = Path(source).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise Misconfigured("the source is not a file") from None
    except OSError:
        raise Unavailable("the source cannot be read") from None
    result = deidentify_bytes(raw, chosen, pseudonyms, site=site)
    _publish(Path(destination), result.content)
    return result.audit


def _pseudonyms(profile: Profile, key: bytes | str | None) -> Pseudonyms:
    if profile.keeps_ids:
        return PublicIds()
    if key is None:
        raise Misconfigured(f"deid.key: profile {profile.name!r} needs a key")
    return Keyed(load_key(key) if isinstance(key, str) else key)


def _publish(destination: Path, content: bytes) -> None:
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=destination.parent, prefix=".deid-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, destination)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
            raise Misconfigured("the destination is not a place for a file") from None
        raise Unavailable("the destination cannot be written") from None
