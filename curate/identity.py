"""Fingerprints: what a result was made from, as one string.

Two runs that agree on stage, version, parameters and inputs agree on the fingerprint, whoever computes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
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
    return digest_json({"stage": stage, "version": version, "parameters": parameters, "inputs": sorted(inputs)})
