"""UIDs under the project key, computed a second time from the published recipe instead of the writer's code.

HMAC-SHA256 over the recipe's name, then each part with its length (4 bytes, big endian) in front; the first 128 bits
as a version 8 UUID (RFC 9562) below 2.25 (PS3.5 B.2).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from uuid import UUID

from curate.deid.verification.words import is_standard

Rename = Callable[[str], str]

_RECIPE = b"spine-curate/1"


def renames(key: bytes | None) -> Rename:
    """The function from old UIDs to new ones; without a key, UIDs stay."""
    return (lambda uid: uid.strip(" \0\t\r\n")) if key is None else (lambda uid: _uid(key, uid.strip(" \0\t\r\n")))


def _uid(key: bytes, uid: str) -> str:
    if not uid or is_standard(uid):
        return uid
    message = _RECIPE + b"".join(len(part).to_bytes(4, "big") + part for part in (b"uid", uid.encode()))
    bits = bytearray(hmac.new(key, message, hashlib.sha256).digest()[:16])
    bits[6] = bits[6] & 0x0F | 0x80
    bits[8] = bits[8] & 0x3F | 0x80
    return f"2.25.{UUID(bytes=bytes(bits)).int}"
