"""Orders of an epoch beside the plain shuffle: volumes near in time, and classes in balance.

Each is a pure function of (seed, epoch) over numbers known from the tables, so every rank makes the same one, and
global batches, resume and change of the number of ranks are as exact as for ``Shuffled``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curate.loading.order import Indices, epoch_order


@dataclass(frozen=True, slots=True)
class Windowed:
    """Every sample equally often, and those of a volume near in time: for volumes that lie far away.

    Volumes are shuffled and taken ``window`` at a time; all their samples are shuffled among each other. So no more
    than the volumes of two windows are in use at once, and a cache of that many objects reads each of them once an
    epoch. ``volumes``: of each sample, what it is read from (its uri). ``visits``: how often an epoch visits each
    sample, all within its window: so many crops of a volume that is fetched once.
    """

    volumes: Sequence[str]
    window: int
    visits: int = 1

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a window without volumes or an epoch without visits."""
        if self.window < 1 or self.visits < 1:
            raise ValueError("window, visits: expected at least 1")

    def __len__(self) -> int:
        return len(self.volumes) * self.visits

    def epoch(self, *, seed: int, epoch: int) -> Indices:
        names, own = np.unique(np.array(self.volumes), return_inverse=True)
        place = np.empty(len(names), np.int64)
        place[epoch_order(len(names), seed=seed, epoch=epoch, part=1)] = np.arange(len(names))
        shuffled = epoch_order(len(self), seed=seed, epoch=epoch) % max(len(own), 1)
        window = place[own[shuffled]] // self.window
        return shuffled[np.argsort(window, kind="stable")]


@dataclass(frozen=True, slots=True)
class Balanced:
    """Classes in given shares, rare ones by coming back: ``length`` visits an epoch (None: as many as samples).

    ``classes``: the class of each sample. ``shares``: how much of an epoch each class gets, in proportion (None: all
    alike); a class that is not named, such as what was not graded, is left out. The number of visits of a class is its
    share of ``length``, rounded so that they add up. A class's samples are visited equally often, at most one time more
    or less, and never again before all others have been; which ones come more often changes from epoch to epoch.
    """

    classes: Sequence[int]
    shares: Mapping[int, float] | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        """Raises ``ValueError`` when a class has a share and no samples, or no class has a share."""
        shares = self._shares()
        if not shares or not set(shares) <= set(self.classes):
            raise ValueError("shares: expected classes that some sample has")
        if min(shares.values()) <= 0:
            raise ValueError("shares: expected numbers above 0")

    def __len__(self) -> int:
        return len(self.classes) if self.length is None else self.length

    def epoch(self, *, seed: int, epoch: int) -> Indices:
        found = np.array(self.classes)
        chosen = []
        for part, (name, visits) in enumerate(self._visits().items(), 2):
            members = np.flatnonzero(found == name)
            # one permutation for all rounds: between two visits of a sample lie all the others
            order = epoch_order(len(members), seed=seed, epoch=epoch, part=part)
            chosen.append(members[np.resize(order, visits)])
        return _interleave(chosen, seed=seed, epoch=epoch)

    def _shares(self) -> dict[int, float]:
        return (
            dict.fromkeys(sorted(set(self.classes)), 1.0) if self.shares is None else dict(sorted(self.shares.items()))
        )

    def _visits(self) -> dict[int, int]:
        """Visits of each class: ends of the shares laid one after the other, rounded."""
        shares = self._shares()
        ends = np.rint(np.cumsum(list(shares.values())) / sum(shares.values()) * len(self)).astype(int)
        return dict(zip(shares, np.diff(ends, prepend=0).tolist(), strict=True))


def _interleave(parts: Sequence[Indices], *, seed: int, epoch: int) -> Indices:
    """All parts mixed, each kept in its own order."""
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    owner = owner[epoch_order(len(owner), seed=seed, epoch=epoch)]
    mixed = np.empty(len(owner), np.int64)
    for number, part in enumerate(parts):
        mixed[owner == number] = part
    return mixed
