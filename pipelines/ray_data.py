"""Crops as a Ray Dataset, for trainers whose input is one. The loaders of ``curate.loading`` do without Ray.

Ray Data knows neither the stateless order nor a resume: rows come in the order of the samples, which is that of the
manifest, and whoever wants another shuffles. A row whose reading kills its process is tried again without end, which
is Ray Data's own way.
"""

from __future__ import annotations

from typing import Any

from curate.loading.dataset import Draw, StudyDataset


def to_ray_data(dataset: StudyDataset, *, epoch: int | None = None, blocks: int | None = None) -> Any:
    """A ``ray.data.Dataset`` with a row a sample, in order; crops are read when the rows are, by Ray's workers.

    Columns: ``index``, ``study_key``, ``split``; ``crops`` float32 (T, D, H, W), ``present`` bool (T,), ``marks`` bool
    (T, cells), ``targets`` int64 (labels,), as in ``StudyBatch``. ``epoch``: of which the augmentation is; None: none.
    ``blocks``: parts that are read as one task each. Ray must run already, or Ray Data starts one of its own.
    """
    import ray.data

    rows = [
        {"index": index, "study_key": sample.study_key, "split": sample.split}
        for index, sample in enumerate(dataset.samples)
    ]

    def read(row: dict[str, Any]) -> dict[str, Any]:
        batch = dataset[Draw(row["index"], epoch)]
        tensors = {"crops": batch.crops, "present": batch.present, "marks": batch.marks, "targets": batch.targets}
        return {**row, **{name: tensor[0].numpy() for name, tensor in tensors.items()}}

    given = ray.data.from_items(rows, override_num_blocks=blocks)
    given.context.execution_options.preserve_order = True
    return given.map(read)
