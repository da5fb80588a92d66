"""What a model says of studies: every rank answers its part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from curate.loading.dataset import draws
from curate.loading.loader import Loader
from curate.loading.order import rank_share
from pipelines.train.opening import opener
from pipelines.train.parallel import Ranks
from pipelines.train.settings import TrainSettings
from pipelines.train.step import autocast
from pipelines.train.task import Answers, Sample, Task


@torch.no_grad()
def answer(
    task: Task[Any, Any], root: str, samples: Sequence[Sample], model: nn.Module, settings: TrainSettings, ranks: Ranks
) -> Answers:
    """float64 (studies, ...), the same on every rank; a collective. The model is left as it was."""
    open_url = opener(root, settings.cache_gigabytes)
    dataset: Any = task.dataset(root, samples, augment=False, seed=0, open_url=open_url)
    size = max(1, settings.batch_size // settings.accumulate)
    shares = (
        rank_share(np.arange(start, min(start + size, len(samples))), rank=ranks.rank, world=ranks.world)
        for start in range(0, len(samples), size)
    )
    asked = (draws(share, epoch=None) for share in shares)
    was_training = model.training
    model.eval()
    answers: torch.Tensor | None = None
    with Loader(dataset, asked, threads=settings.threads, pin=True, device=ranks.device) as loader:
        for batch in loader:
            with autocast(settings, ranks.device):
                outputs = model(*batch.inputs)
            said = task.answers(outputs).double()
            said = said * batch.weight.reshape(-1, *[1] * (said.ndim - 1))
            if answers is None:
                answers = torch.zeros((len(samples), *said.shape[1:]), dtype=torch.float64)
            answers.index_add_(0, batch.index.cpu(), said.cpu())
    model.train(was_training)
    if answers is None:
        raise ValueError("samples: expected at least one")
    result: Answers = ranks.total_on_host(answers).numpy()
    return result
