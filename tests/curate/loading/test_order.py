"""The order of samples: a pure function, the same for every way of splitting the work."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Misconfigured
from curate.loading.order import State, batches, epoch_order, rank_share, uniforms

START = State(seed=3, manifest_digest="d")
GOLDEN_ORDER = [2, 1, 5, 6, 3, 4, 0, 7]
GOLDEN_DRAWS = [0.998501570299455, 0.052287872489378, 0.268445615092058]


@settings(deadline=None)
@given(samples=st.integers(1, 200), seed=st.integers(-(2**63), 2**64), epoch=st.integers(0, 10**6))
def test_every_epoch_visits_every_sample_once(samples: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(samples, seed=seed, epoch=epoch).tolist()) == list(range(samples))


def test_the_order_is_written_in_stone() -> None:
    """Known values: a release of a library, or of ours, that changed them would change every trained model."""
    assert epoch_order(8, seed=0, epoch=0).tolist() == GOLDEN_ORDER
    assert uniforms(3, seed=0, epoch=0, index=0).tolist() == pytest.approx(GOLDEN_DRAWS, abs=1e-12)


def test_epochs_and_seeds_give_other_orders() -> None:
    orders = {tuple(epoch_order(50, seed=seed, epoch=epoch).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_no_position_prefers_a_sample() -> None:
    first = [int(epoch_order(10, seed=1, epoch=epoch)[0]) for epoch in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert counts.min() > 140  # 200 expected, standard deviation 13
    assert counts.max() < 260


def test_nothing_warns_when_numbers_wrap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epoch_order(5, seed=2**64 - 1, epoch=2**40)
        uniforms(5, seed=2**64 - 1, epoch=2**40, index=7)


@settings(deadline=None)
@given(
    samples=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    world=st.integers(1, 9),
    epochs=st.integers(1, 3),
)
def test_ranks_together_do_each_batch_exactly(samples: int, batch_size: int, world: int, epochs: int) -> None:
    for batch in batches(START, samples=samples, batch_size=batch_size, epochs=epochs):
        shares = [rank_share(batch.indices, rank=rank, world=world) for rank in range(world)]
        assert len({len(share.indices) for share in shares}) == 1
        counted = [index for share in shares for index in share.indices[share.counts].tolist()]
        assert sorted(counted) == sorted(batch.indices.tolist())
        assert all(set(share.indices.tolist()) <= set(batch.indices.tolist()) for share in shares)


def test_global_batches_do_not_depend_on_the_number_of_ranks() -> None:
    alone = [batch.indices.tolist() for batch in batches(START, samples=23, batch_size=6, epochs=2)]
    for world in (2, 3, 64):
        for number, batch in enumerate(batches(START, samples=23, batch_size=6, epochs=2)):
            gathered = [rank_share(batch.indices, rank=rank, world=world) for rank in range(world)]
            joined = [index for share in gathered for index in share.indices[share.counts].tolist()]
            assert sorted(joined) == sorted(alone[number])


@settings(deadline=None)
@given(samples=st.integers(1, 40), batch_size=st.integers(1, 9), stop=st.integers(0, 60))
def test_a_resume_at_any_step_goes_on_as_if_nothing_happened(samples: int, batch_size: int, stop: int) -> None:
    whole = list(batches(START, samples=samples, batch_size=batch_size, epochs=3))
    stop = min(stop, len(whole) - 1)
    state = State.from_json(whole[stop].after.to_json(), seed=3, manifest_digest="d")
    rest = list(batches(state, samples=samples, batch_size=batch_size, epochs=3))
    assert [b.indices.tolist() for b in rest] == [b.indices.tolist() for b in whole[stop + 1 :]]
    assert [b.after for b in rest] == [b.after for b in whole[stop + 1 :]]


@settings(deadline=None)
@given(samples=st.integers(1, 40), first=st.integers(1, 9), second=st.integers(1, 9), stop=st.integers(0, 20))
def test_another_batch_size_after_a_resume_loses_nothing(samples: int, first: int, second: int, stop: int) -> None:
    before = list(batches(START, samples=samples, batch_size=first, epochs=2))
    stop = min(stop, len(before) - 1)
    after = batches(before[stop].after, samples=samples, batch_size=second, epochs=2)
    visits = [i for b in before[: stop + 1] for i in b.indices.tolist()] + [
        i for b in after for i in b.indices.tolist()
    ]
    assert sorted(visits) == sorted(2 * list(range(samples)))


def test_a_state_of_another_manifest_or_seed_is_refused() -> None:
    record = State(3, "d", 1, 5).to_json()
    with pytest.raises(Misconfigured, match="another seed or another manifest"):
        State.from_json(record, seed=3, manifest_digest="other")
    with pytest.raises(Misconfigured, match="another seed or another manifest"):
        State.from_json(record, seed=4, manifest_digest="d")


@pytest.mark.parametrize("broken", [{"epoch": -1}, {"consumed": "3"}, {"epoch": None}])
def test_a_state_without_a_position_is_refused(broken: dict[str, object]) -> None:
    record = {**State(3, "d", 1, 5).to_json(), **broken}
    with pytest.raises(Misconfigured, match="position"):
        State.from_json(record, seed=3, manifest_digest="d")  # type: ignore[arg-type]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(batches(START, samples=0, batch_size=1, epochs=1))
    with pytest.raises(ValueError, match="rank"):
        rank_share(np.arange(3), rank=2, world=2)


def test_draws_belong_to_a_sample_of_an_epoch_and_are_uniform() -> None:
    some = np.concatenate(
        [uniforms(50, seed=1, epoch=epoch, index=index) for epoch in range(10) for index in range(20)]
    )
    assert len(np.unique(some)) == len(some)
    assert 0 <= some.min() < some.max() < 1
    assert abs(some.mean() - 0.5) < 0.01
    assert abs(some.std() - np.sqrt(1 / 12)) < 0.01
    assert uniforms(4, seed=1, epoch=2, index=3).tolist() == uniforms(9, seed=1, epoch=2, index=3)[:4].tolist()
