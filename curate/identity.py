"""Fingerprints: what a result was made from, as one string.

Two runs that agree on stage, version, parameters and inputs agree on the fingerprint, whoever computes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Json) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused (ValueError)."""
    return _ENCODER.encode(value).encode()


def digest_json(value: Json) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def fingerprint(stage: str, version: int, parameters: str, inputs: Iterable[str]) -> str:
    """H(stage, version, parameters digest, sorted input digests), 64 hexadecimal digits."""
    return fingerprinter(stage, version, parameters)(inputs)


def fingerprinter(stage: str, version: int, parameters: str) -> Callable[[Iterable[str]], str]:
    """``fingerprint`` for many items of one stage."""
    digest = list_digester("inputs", {"stage": stage, "version": version, "parameters": parameters})
    return lambda inputs: digest(sorted(inputs))


def list_digester(name: str, shared: Mapping[str, Json]) -> Callable[[Iterable[str]], str]:
    """``digest_json({**shared, name: list})`` for many lists: what they share is encoded once, most of the work."""
    before, after = canonical_json({**shared, name: []}).split(b'"%b":[]' % name.encode(), 1)  # in no string: quotes
    before += b'"%b":[' % name.encode()
    after = b"]" + after
    sha256, quoted = hashlib.sha256, encode_basestring  # names that are looked up a million times

    def digest(values: Iterable[str]) -> str:
        return sha256(before + ",".join(map(quoted, values)).encode() + after).hexdigest()

    return digest
