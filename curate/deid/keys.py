"""Where a project key comes from: an environment variable, or a file that only its owner can read.

The key is given as 64 or more hexadecimal digits, as Base64, or as raw text; it must hold at least 32 bytes once
decoded. No message ever shows the value, and files are named by what is wrong with them, not by their path.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from pathlib import Path

from curate.deid.pseudonyms import KEY_BYTES, Keyed, Pseudonyms, PublicIds
from curate.errors import Misconfigured

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_LARGEST_FILE = 65536


def load_key(source: str) -> bytes:
    """Read the key that ``env:NAME`` or ``file:PATH`` names.

    Raises Misconfigured when the source is of another kind, is missing or empty, when the file can be read by others
    (mode 0600 or 0400 is asked for), or when fewer than 32 bytes are left after decoding.
    """
    kind, _, name = source.partition(":")
    if not name or kind not in ("env", "file"):
        raise Misconfigured("the key source must be env:NAME or file:PATH")
    content = _from_environment(name) if kind == "env" else _from_file(Path(name))
    key = decode_key(content)
    if len(key) < KEY_BYTES:
        raise Misconfigured(f"the key holds {len(key)} bytes after decoding; at least {KEY_BYTES} are needed")
    return key


def make_pseudonyms(profile_name: str, key_source: str | None) -> Pseudonyms:
    """Pseudonyms for a profile: keyed, except for ``public``, which keeps ids and takes no key.

    Raises Misconfigured when a profile that needs a key has none.
    """
    if profile_name == "public":
        return PublicIds()
    if not key_source:
        raise Misconfigured(f"deid.key: profile {profile_name!r} needs a key source (env:NAME or file:PATH)")
    return Keyed(load_key(key_source))


def decode_key(content: bytes) -> bytes:
    """Bytes of a key written as hexadecimal digits, as Base64 or, when it is neither, as it stands."""
    text = content.strip()
    try:
        letters = text.decode("ascii")
    except UnicodeDecodeError:
        return content
    if _HEX.fullmatch(letters):
        return bytes.fromhex(letters)
    try:
        decoded = base64.b64decode(letters, validate=True)
    except binascii.Error:
        return text
    return decoded if len(decoded) >= KEY_BYTES else text


def _from_environment(name: str) -> bytes:
    value = os.environb.get(name.encode())
    if not value:
        raise Misconfigured(f"the environment variable {name} that should hold the key is not set")
    return value


def _from_file(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise Misconfigured("the key file cannot be opened") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Misconfigured("the key file is not a regular file")
        if status.st_mode & 0o177 or status.st_uid not in (os.geteuid(), 0):
            raise Misconfigured("the key file must belong to you and have mode 0600 or 0400")
        return os.read(handle, _LARGEST_FILE)
    finally:
        os.close(handle)
