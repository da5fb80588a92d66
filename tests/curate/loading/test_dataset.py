"""The torch Dataset and its sampler: what a rank sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.loading import Augmentation, CropShape, State, StudySample
from curate.loading.dataset import Draw, ElasticBatches, StudyBatch, StudyDataset, draws, load
from curate.loading.order import rank_share
from curate.loading.samples import cervical_samples
from tests.support.training_store import cervical_store

SHAPE = CropShape((8, 12, 12), (2.0, 2.0, 2.0))
REACH = Augmentation(shift_mm=2, turn_degrees=5, zoom=0.1, gain=0.1, offset=0.1, mirror=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def samples(root: Path) -> list[StudySample]:
    return cervical_samples(cervical_store(root, studies=5))


def dataset(root: Path, samples: Sequence[StudySample], **options: object) -> StudyDataset:
    settings: dict[str, object] = {"augmentation": REACH, "seed": 1, "mark_stride": 2, **options}
    return StudyDataset(str(root), samples, SHAPE, **settings)  # type: ignore[arg-type]


def test_a_study_is_its_crops_labels_and_marks(root: Path, samples: list[StudySample]) -> None:
    batch = dataset(root, samples)[Draw(1, None)]
    assert batch.crops.shape == (1, 7, 8, 12, 12)
    assert batch.crops.dtype == torch.float32
    assert batch.crops.abs().max() <= 1
    assert batch.marks.shape == (1, 7, 4 * 6 * 6)
    assert batch.targets.tolist() == [list(samples[1].targets)]
    assert batch.present.all()
    assert batch.index.tolist() == [1]
    assert batch.weight.tolist() == [1.0]


def test_marks_lie_on_the_cells_that_show_the_gap(root: Path, samples: list[StudySample]) -> None:
    batch = dataset(root, samples)[Draw(1, None)]
    for slot, target in enumerate(samples[1].targets[1:]):
        marked = batch.marks[0, slot].reshape(4, 6, 6)
        assert bool(marked.any()) == (target == 1)
        if target == 1:
            where = marked.nonzero().float().mean(dim=0) - torch.tensor([1.5, 2.5, 2.5])
            assert where.abs().max() < 0.6  # the gap runs through the middle of the block
            assert not marked[:, :, 0].any()


@pytest.mark.parametrize("mirror", [True, False])
def test_marks_move_with_the_jitter(root: Path, samples: list[StudySample], mirror: bool) -> None:
    """Bright block, dark gap under the mark: wherever the crop was moved, marked cells are darker than the block."""
    reach = Augmentation(shift_mm=4, turn_degrees=8, zoom=0.1, mirror=mirror)
    jittered = dataset(root, samples, augmentation=reach)
    slot = samples[1].targets[1:].index(1)
    for epoch in range(6):
        batch = jittered[Draw(1, epoch)]
        cells = torch.nn.functional.avg_pool3d(batch.crops[0, slot][None], 2)[0].flatten()
        marked = batch.marks[0, slot]
        assert marked.any()
        brightest = cells[~marked].max()
        assert cells[marked].mean() < brightest - 0.4


def test_augmentation_depends_on_seed_epoch_and_index_alone(root: Path, samples: list[StudySample]) -> None:
    first, second = dataset(root, samples), dataset(root, samples)
    second[Draw(3, 9)]
    second[Draw(0, 2)]
    assert torch.equal(first[Draw(1, 4)].crops, second[Draw(1, 4)].crops)
    assert not torch.equal(first[Draw(1, 4)].crops, first[Draw(1, 5)].crops)
    assert not torch.equal(first[Draw(1, 4)].crops, dataset(root, samples, seed=2)[Draw(1, 4)].crops)


def test_without_an_epoch_nothing_is_augmented(root: Path, samples: list[StudySample]) -> None:
    plain = dataset(root, samples, augmentation=Augmentation())
    assert torch.equal(dataset(root, samples)[Draw(1, None)].crops, plain[Draw(1, 7)].crops)


def test_missing_crops_are_absent_and_dark(root: Path, samples: list[StudySample]) -> None:
    holed = StudySample("s", "train", samples[0].targets, (None, *samples[0].crops[1:]), samples[0].marks)
    batch = dataset(root, [holed])[Draw(0, 1)]
    assert batch.present.tolist() == [[False] + [True] * 6]
    assert not batch.crops[0, 0].any()


def test_without_a_stride_there_are_no_cells(root: Path, samples: list[StudySample]) -> None:
    assert dataset(root, samples, mark_stride=None)[Draw(1, 0)].marks.shape == (1, 7, 0)


def test_ranks_read_the_same_studies_as_one_would(root: Path, samples: list[StudySample]) -> None:
    """Crops of a global batch are the same bytes, whoever reads them; padding weighs nothing."""
    found: dict[int, list[dict[int, torch.Tensor]]] = {}
    for world in (1, 2, 3):
        steps: list[dict[int, torch.Tensor]] = [{} for _ in range(4)]
        for rank in range(world):
            sampler = ElasticBatches(State(1, "d"), samples=5, batch_size=4, epochs=2, rank=rank, world=world)
            assert len(sampler) == len(sampler.states) == 4
            for step, batch in enumerate(load(dataset(root, samples), sampler)):
                for row in range(len(batch.index)):
                    if batch.weight[row] > 0:
                        assert int(batch.index[row]) not in steps[step]
                        steps[step][int(batch.index[row])] = batch.crops[row]
        found[world] = steps
    for world in (2, 3):
        for alone, together in zip(found[1], found[world], strict=True):
            assert alone.keys() == together.keys()
            assert all(torch.equal(alone[index], together[index]) for index in alone)


def test_a_sampler_started_from_a_state_goes_on_there() -> None:
    whole = ElasticBatches(State(1, "d"), samples=7, batch_size=3, epochs=2, rank=0, world=2)
    rest = ElasticBatches(whole.states[1], samples=7, batch_size=3, epochs=2, rank=0, world=2)
    assert list(rest) == list(whole)[2:]
    assert rest.states == whole.states[2:]


def test_draws_carry_the_padding() -> None:
    share = rank_share(np.array([4, 9, 2]), rank=1, world=2)
    assert draws(share, epoch=3) == [Draw(9, 3, True), Draw(4, 3, False)]


def test_batches_are_joined_and_moved_as_one(root: Path, samples: list[StudySample]) -> None:
    made = dataset(root, samples)
    batch = StudyBatch.join([made[Draw(0, None)], made[Draw(2, None, counts=False)]]).to(torch.device("cpu"))
    assert batch.crops.shape[0] == 2
    assert batch.index.tolist() == [0, 2]
    assert batch.weight.tolist() == [1.0, 0.0]


def test_each_visit_has_a_key_of_its_own(root: Path, samples: list[StudySample]) -> None:
    made = dataset(root, samples)
    visits = [Draw(0, 0), Draw(0, 1), Draw(1, 0), Draw(0, 0, visit=1), Draw(0, None)]
    batch = StudyBatch.join([made[visit] for visit in visits])
    assert batch.key is not None
    assert len(set(batch.key.tolist())) == len(visits)
    again = dataset(root, samples)[Draw(1, 0, counts=False)].key
    assert again is not None
    assert again[0] == batch.key[2]
    other = dataset(root, samples, seed=2)[Draw(1, 0)].key
    assert other is not None
    assert other[0] != batch.key[2]
