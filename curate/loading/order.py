"""Stateless order of samples: which sample comes when is a pure function of (seed, epoch, position).

Nothing is drawn from a generator that has to be carried along, so global batch b is the same on 1 or 64 ranks, with any
number of loader workers, before and after a resume at any step. What has to be remembered is ``State``. The hash is
SplitMix64 (Steele, Lea, Flood 2014), written out here because library generators may change between releases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.identity import Json

Indices = NDArray[np.int64]

DRAWS, PLACES = 2, 3  # streams: what is drawn for a sample, and the order of an epoch, never share a hash
_ORDER = 1
_PARTS = 1 << 8  # streams of other kinds lie below
_VISIT = 1 << 40  # more than any number of samples


@dataclass(frozen=True, slots=True)
class State:
    """How far a run is: ``consumed`` samples of ``epoch`` have been used, of the manifest with this digest."""

    seed: int
    manifest_digest: str
    epoch: int = 0
    consumed: int = 0

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Json], *, seed: int, manifest_digest: str) -> State:
        """Read a state back. Raises ``Misconfigured`` for one of another seed or manifest: its order would lie."""
        if record.get("seed") != seed or record.get("manifest_digest") != manifest_digest:
            raise Misconfigured(
                "the checkpoint was made with another seed or another manifest; train into another folder"
            )
        epoch, consumed = record.get("epoch"), record.get("consumed")
        if not isinstance(epoch, int) or not isinstance(consumed, int) or min(epoch, consumed) < 0:
            raise Misconfigured("the checkpoint's position is not a pair of whole numbers")
        return cls(seed, manifest_digest, epoch, consumed)


@dataclass(frozen=True, slots=True)
class Batch:
    """One global batch: the samples of all ranks together, and the state once they are used."""

    epoch: int
    number: int  # counted from 0 within the epoch
    indices: Indices  # (size,); the last batch of an epoch may be shorter
    visits: Indices  # (size,): how often the epoch has used each of them before
    after: State


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank takes of a global batch. ``indices``: int64 (n,); ``counts``: bool (n,), False for padding."""

    indices: Indices
    counts: NDArray[np.bool_]


class Order(Protocol):
    """Which samples an epoch visits, one after the other: a pure function of (seed, epoch). See ``orders``."""

    def __len__(self) -> int:
        """Visits in an epoch."""

    def epoch(self, *, seed: int, epoch: int) -> Indices:
        """Index of the sample at each position; int64 (len,)."""


@dataclass(frozen=True, slots=True)
class Shuffled:
    """Every sample once, in an order of the epoch's own."""

    samples: int

    def __len__(self) -> int:
        return self.samples

    def epoch(self, *, seed: int, epoch: int) -> Indices:
        return epoch_order(self.samples, seed=seed, epoch=epoch)


def epoch_order(samples: int, *, seed: int, epoch: int, part: int = 0) -> Indices:
    """The permutation of 0..samples-1 in which an epoch visits them; int64 (samples,). ``part``: one of several."""
    keys = _mix(np.arange(samples, dtype=np.uint64) ^ _stream(seed, epoch, _ORDER + _PARTS * part))
    return np.argsort(keys, kind="stable").astype(np.int64)


def batches(state: State, *, samples: int | Order, batch_size: int, epochs: int) -> Iterator[Batch]:
    """Every global batch from ``state`` to the end of the last epoch. Nothing is missing and nothing comes twice.

    ``samples``: how many, to be shuffled, or an order of one's own. The batch size may change at a resume: the rest of
    the epoch is then cut anew, still without loss or repeat.
    """
    order = Shuffled(samples) if isinstance(samples, int) else samples
    length = len(order)
    if length < 1 or batch_size < 1:
        raise ValueError("samples and batch_size: expected at least 1")
    while state.epoch < epochs:
        indices = order.epoch(seed=state.seed, epoch=state.epoch)
        visits = _earlier(indices)
        for start in range(state.consumed, length, batch_size):
            end = min(start + batch_size, length)
            after = replace(state, consumed=end) if end < length else replace(state, epoch=state.epoch + 1, consumed=0)
            yield Batch(state.epoch, start // batch_size, indices[start:end], visits[start:end], after)
        state = replace(state, epoch=state.epoch + 1, consumed=0)


def rank_share(batch: Indices, *, rank: int, world: int) -> Share:
    """The part of a global batch that a rank computes: every world-th sample from its own.

    Ranks take equally many, so that collectives match: a rank that comes short repeats the batch's first sample with
    ``counts`` False, and such padding must weigh nothing in the loss.
    """
    if not 0 <= rank < world:
        raise ValueError("rank: expected 0 <= rank < world")
    own = batch[rank::world]
    missing = -(-len(batch) // world) - len(own)
    padded = np.concatenate([own, np.repeat(batch[:1], missing)])
    return Share(padded, np.arange(len(padded)) < len(own))


def uniforms(
    count: int, *, seed: int, epoch: int, index: int, visit: int = 0, kind: int = DRAWS
) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) that belong to one visit of a sample in an epoch, whoever draws them; float64."""
    stream = _mix(np.array([index + _VISIT * visit], dtype=np.uint64) ^ _stream(seed, epoch, kind))
    bits = _mix(np.arange(count, dtype=np.uint64) + stream)
    draws: NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return draws


def _earlier(indices: Indices) -> Indices:
    """At each position, how often the same index stood before it."""
    sorting = np.argsort(indices, kind="stable")
    ordered = indices[sorting]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    places = np.arange(len(indices))
    earlier = np.empty(len(indices), np.int64)
    earlier[sorting] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return earlier


def _stream(seed: int, epoch: int, kind: int) -> NDArray[np.uint64]:
    """One 64-bit number for (seed, epoch, kind), as an array of one: numpy warns when scalars wrap, arrays may."""
    value = np.zeros(1, dtype=np.uint64)
    for part in (seed, epoch, kind):
        value = _mix(value ^ np.array([part & (2**64 - 1)], dtype=np.uint64))
    return value


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
