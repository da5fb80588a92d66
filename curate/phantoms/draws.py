"""Everything random comes from the seed and a name, so that more studies leave the earlier ones as they were."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(seed: int, *names: object) -> int:
    """A 128-bit number of the seed and the names."""
    text = "\x1f".join(["spine-curate phantoms", str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def generator(seed: int, *names: object) -> np.random.Generator:
    """A random generator of its own for the seed and the names."""
    return np.random.default_rng(digest(seed, *names))


def uid(seed: int, *names: object) -> str:
    """A DICOM UID under the root for UUIDs, 2.25 (PS3.5 B.2)."""
    return f"2.25.{digest(seed, 'uid', *names)}"
