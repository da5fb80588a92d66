"""One optimiser step over a global batch, however it is cut into ranks and parts.

Every term of the loss is divided by its weight over the whole batch, so one rank or many, one part or many, take the
same step up to rounding.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pipelines.train.parallel import Ranks, gradients_stay_here
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Batch, Task

_LEAST = 1e-9


def take_step(
    task: Task[Any, Any],
    settings: TrainSettings,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    parts: Sequence[Batch],
    rate: float,
    ranks: Ranks,
) -> torch.Tensor:
    """Train on this rank's parts of a batch, on the device; gives float64 (2,): the first term's sum on this
    rank, and its weight over all.

    Nothing here waits for a GPU. Every rank has equally many parts.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    weights = ranks.total(torch.stack([task.weights(part).double() for part in parts]).sum(dim=0))
    priors = weights.new_tensor([term.prior for term in task.terms])
    factors = weights.new_tensor([term.factor for term in task.terms])
    # DDP and FSDP take the mean over ranks; the loss is a sum
    scales = ranks.world * factors / (weights + priors).clamp(min=_LEAST)
    first = weights.new_zeros(())
    optimiser.zero_grad(set_to_none=True)
    for number, part in enumerate(parts, 1):
        with gradients_stay_here(model, number < len(parts)):
            with autocast(settings, ranks.device):
                outputs = model(*part.inputs)
            losses = task.losses(outputs, part)
            (losses * scales.to(losses.dtype)).sum().backward()  # type: ignore[no-untyped-call]
        first = first + losses[0].detach().double()
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimiser.step()
    return torch.stack([first, (weights[0] + priors[0]).clamp(min=_LEAST)])


def autocast(settings: TrainSettings, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bf16 where the settings ask for it."""
    is_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bf16)


def learning_rate_at(step: int, steps: int, settings: TrainSettings) -> float:
    """Learning rate of step 1..steps: rises in a line, then falls as a cosine to nearly nothing."""
    warm, peak = max(1, round(settings.warm_up * steps)), settings.learning_rate
    if step <= warm:
        return peak * (0.05 + 0.95 * step / warm)
    return peak * (0.001 + 0.999 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2)
