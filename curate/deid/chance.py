"""Whether bytes can hold any of many long patterns, told at a fraction of the cost of searching for them.

After Wu and Manber (1994): of the first eight bytes of every pattern a table knows at which distance from their end
each pair of bytes can stand, so that a window whose last pair stands nowhere moves on by seven bytes. A window that
could begin a pattern by all four of its pairs ends the question: the caller searches then. So no pattern is missed, and
what is no pattern costs time only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from curate.compiled import compiled, warms_up

WINDOW = 8  # bytes: of the shortest pattern

_LOWER = np.frombuffer(bytes(range(256)).lower(), np.uint8)


class Sieve:
    """Patterns of at least WINDOW bytes, in ASCII lower case. Raises ``ValueError`` for a shorter one."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._shifts = np.full(1 << 16, WINDOW - 1, np.uint8)
        self._pairs = np.zeros((WINDOW // 2, 1 << 16), np.bool_)
        for pattern in patterns:
            if len(pattern) < WINDOW:
                raise ValueError("a pattern is shorter than the window")
            for at in range(WINDOW - 1):
                pair = pattern[at] << 8 | pattern[at + 1]
                self._shifts[pair] = min(int(self._shifts[pair]), WINDOW - 2 - at)
                if at % 2 == 0:
                    self._pairs[at // 2, pair] = True

    def may_hold(self, content: bytes, start: int, stop: int) -> bool:
        """Whether a pattern may lie within bytes start <= n < stop, ASCII case ignored. False is certain."""
        stop = min(stop, len(content))
        return bool(_may_hold(np.frombuffer(content, np.uint8), max(start, 0), stop, self._shifts, self._pairs, _LOWER))


@compiled
def _may_hold(content: Any, start: int, stop: int, shifts: Any, pairs: Any, lower: Any) -> bool:
    last = start + WINDOW - 1
    while last < stop:
        shift = shifts[np.int64(lower[content[last - 1]]) << 8 | np.int64(lower[content[last]])]
        if shift > 0:
            last += shift
            continue
        first, could = last - WINDOW + 1, True
        for n in range(WINDOW // 2):
            at = first + 2 * n
            could = could and pairs[n, np.int64(lower[content[at]]) << 8 | np.int64(lower[content[at + 1]])]
        if could:
            return True
        last += 1
    return False


@warms_up
def _warm() -> None:
    Sieve([bytes(WINDOW)]).may_hold(bytes(WINDOW), 0, WINDOW)
