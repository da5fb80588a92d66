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


def canonical_json(value: Json) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_json(value: Json) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def fingerprint(stage: str, version: int, parameters: str, inputs: Iterable[str]) -> str:
    """H(stage, version, parameters digest, sorted input digests), 64 hexadecimal digits."""
    return fingerprinter(stage, version, parameters)(inputs)


def fingerprinter(stage: str, version: int, parameters: str) -> Callable[[Iterable[str]], str]:
    """``fingerprint`` for many items of one stage: what they share is encoded once, which is most of the work."""
    shared = canonical_json({"stage": stage, "version": version, "parameters": parameters, "inputs": []})
    before, after = shared.split(b"[]", 1)  # of the keys, "inputs" is the first

    def of(inputs: Iterable[str]) -> str:
        encoded = ",".join(map(encode_basestring, sorted(inputs)))
        return hashlib.sha256(b"%b[%b]%b" % (before, encoded.encode(), after)).hexdigest()

    return of
