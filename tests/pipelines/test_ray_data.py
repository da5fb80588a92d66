"""The Ray Dataset has the rows of the manifest, in order, with the very voxels that the loader gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cluster.session import start
from curate.loading import Augmentation, CropShape
from curate.loading.dataset import Draw, StudyDataset
from curate.loading.samples import cervical_samples
from pipelines.ray_data import to_ray_data
from tests.support.training_store import cervical_store


def test_rows_come_in_order_with_the_loaders_own_voxels(tmp_path: Path) -> None:
    samples = cervical_samples(cervical_store(tmp_path, studies=4))
    dataset = StudyDataset(
        str(tmp_path),
        samples,
        CropShape((4, 6, 6), (3.0, 3.0, 3.0)),
        augmentation=Augmentation(shift_mm=3, turn_degrees=5),
        seed=1,
        mark_stride=2,
    )
    with start(None, 1):
        rows = to_ray_data(dataset, epoch=3, blocks=2).take_all()
    assert [row["study_key"] for row in rows] == [sample.study_key for sample in samples]
    assert [row["split"] for row in rows] == [sample.split for sample in samples]
    for index, row in enumerate(rows):
        wanted = dataset[Draw(index, 3)]
        assert row["index"] == index
        for name in ("crops", "present", "marks", "targets"):
            assert np.array_equal(row[name], getattr(wanted, name)[0].numpy())
    assert rows[0]["crops"].dtype == np.float32
