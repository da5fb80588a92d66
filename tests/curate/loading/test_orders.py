"""Orders beside the plain shuffle keep their promises for every seed, epoch, share of ranks and place of a resume."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.loading.order import Order, Shuffled, State, batches, rank_share
from curate.loading.orders import Balanced, Windowed

VOLUMES = [f"v{n % 10}" for n in range(40)]
CLASSES = [0] * 30 + [1] * 8 + [2] * 2 + [-1] * 5


@settings(deadline=None)
@given(
    volumes=st.lists(st.integers(0, 9), min_size=1, max_size=50),
    window=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 99),
)
def test_windows_visit_every_sample_once_and_finish_their_volumes(
    volumes: list[int], window: int, seed: int, epoch: int
) -> None:
    order = Windowed([str(volume) for volume in volumes], window)
    visited = order.epoch(seed=seed, epoch=epoch)
    assert sorted(visited.tolist()) == list(range(len(volumes)))
    seen = [volumes[index] for index in visited]
    finished: list[set[int]] = []
    for volume in seen:
        if not finished or (volume not in finished[-1] and len(finished[-1]) == window):
            finished.append(set())
        finished[-1].add(volume)
    assert all(len(volumes_of) <= window for volumes_of in finished)
    assert sum(len(volumes_of) for volumes_of in finished) == len(set(volumes))  # none is opened in two windows


def test_within_a_window_volumes_are_mixed_and_epochs_differ() -> None:
    order = Windowed(VOLUMES, 5)
    first = [VOLUMES[index] for index in order.epoch(seed=1, epoch=0)]
    assert len(set(first[:20])) == 5
    assert first[:20] != sorted(first[:20])
    assert sum(a != b for a, b in itertools.pairwise(first[:20])) > 10
    assert first != [VOLUMES[index] for index in order.epoch(seed=1, epoch=1)]
    assert not np.array_equal(order.epoch(seed=1, epoch=0), order.epoch(seed=2, epoch=0))


def test_a_window_of_all_volumes_is_the_plain_shuffle() -> None:
    plain = Shuffled(len(VOLUMES)).epoch(seed=3, epoch=4)
    assert np.array_equal(Windowed(VOLUMES, 10).epoch(seed=3, epoch=4), plain)


def test_a_window_keeps_few_volumes_in_use() -> None:
    """Volumes in use at a time: from the first to the last batch that needs them."""
    order = Windowed(VOLUMES, 2)
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    for number, batch in enumerate(batches(State(1, "d"), samples=order, batch_size=3, epochs=1)):
        for index in batch.indices:
            first.setdefault(VOLUMES[index], number)
            last[VOLUMES[index]] = number
    in_use = [sum(first[v] <= number <= last[v] for v in first) for number in range(14)]
    assert max(in_use) <= 4


def test_classes_get_their_shares_exactly() -> None:
    order = Balanced(CLASSES, {0: 2, 1: 1, 2: 1}, length=100)
    for epoch in range(3):
        visited = order.epoch(seed=1, epoch=epoch)
        counts = Counter(CLASSES[index] for index in visited)
        assert counts == {0: 50, 1: 25, 2: 25}
        for name in (0, 1, 2):
            visits = Counter(index for index in visited.tolist() if CLASSES[index] == name)
            assert len(visits) == CLASSES.count(name)
            assert max(visits.values()) - min(visits.values()) <= 1


def test_without_shares_all_classes_are_alike_and_an_epoch_is_as_long_as_the_samples() -> None:
    order = Balanced(CLASSES[:40])
    counts = Counter(CLASSES[index] for index in order.epoch(seed=9, epoch=0))
    assert len(order) == 40
    assert sorted(counts.values()) == [13, 13, 14]


def test_a_sample_comes_back_only_after_all_others_of_its_class() -> None:
    visited = Balanced(CLASSES, {1: 1}, length=30).epoch(seed=4, epoch=2).tolist()
    for start in range(23):
        assert len(set(visited[start : start + 8])) == 8


def test_a_class_too_large_for_its_share_takes_turns_over_epochs() -> None:
    order = Balanced(CLASSES, {0: 1, 2: 1}, length=20)
    seen = {index for epoch in range(12) for index in order.epoch(seed=4, epoch=epoch).tolist() if CLASSES[index] == 0}
    assert seen == set(range(30))


def test_classes_are_spread_over_the_epoch() -> None:
    order = Balanced(CLASSES, {0: 1, 1: 1}, length=200)
    first_half = [CLASSES[index] for index in order.epoch(seed=4, epoch=0)[:100]]
    assert 35 < first_half.count(1) < 65


@pytest.mark.parametrize("shares", [{3: 1.0}, {0: 0.0, 1: 1.0}, {0: -1.0}, {}])
def test_shares_that_cannot_be_are_refused(shares: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        Balanced(CLASSES, shares)


@pytest.mark.parametrize(("window", "visits"), [(0, 1), (3, 0)])
def test_a_window_without_volumes_or_visits_is_refused(window: int, visits: int) -> None:
    with pytest.raises(ValueError, match="window"):
        Windowed(VOLUMES, window, visits)


def test_a_window_may_visit_each_sample_several_times_while_its_volume_is_near() -> None:
    order = Windowed(VOLUMES, 2, visits=3)
    visited = order.epoch(seed=6, epoch=1).tolist()
    assert len(order) == len(visited) == 120
    assert Counter(visited) == dict.fromkeys(range(40), 3)
    in_windows = [{VOLUMES[index] for index in visited[start : start + 24]} for start in range(0, 120, 24)]
    assert [len(volumes) for volumes in in_windows] == [2] * 5
    assert len(set.union(*in_windows)) == 10
    first = visited[:24]
    assert first[:8] != first[8:16]  # shuffled among each other, not one round after the other


def positions(order: Order, state: State, *, batch_size: int, world: int) -> list[list[tuple[int, int, int]]]:
    """Every global batch as its ranks put it together: (epoch, index, visit), padding left out."""
    found = []
    for batch in batches(state, samples=order, batch_size=batch_size, epochs=2):
        rows = []
        for rank in range(world):
            share = rank_share(np.arange(len(batch.indices)), rank=rank, world=world)
            own = share.indices[share.counts]
            rows += [(batch.epoch, int(batch.indices[n]), int(batch.visits[n])) for n in own]
        found.append(sorted(rows))
    return found


@pytest.mark.parametrize(
    "order",
    [
        Shuffled(23),
        Windowed(VOLUMES, 3),
        Windowed(VOLUMES[:17], 4, visits=3),
        Balanced(CLASSES, {0: 1, 1: 1, 2: 1}, length=50),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 8, 13])
def test_global_batches_are_the_same_for_any_ranks_and_any_resume(order: Order, batch_size: int) -> None:
    start = State(5, "d")
    wanted = positions(order, start, batch_size=batch_size, world=1)
    states = [start, *(b.after for b in batches(start, samples=order, batch_size=batch_size, epochs=2))]
    for world in (2, 4, 8):
        assert positions(order, start, batch_size=batch_size, world=world) == wanted
    for step, state in enumerate(states):
        world = (1, 2, 4, 8)[step % 4]
        assert positions(order, state, batch_size=batch_size, world=world) == wanted[step:]
    everything = [visit for batch in wanted for visit in batch]
    assert len(set(everything)) == len(everything) == 2 * len(order)  # no visit is missing, none comes twice
