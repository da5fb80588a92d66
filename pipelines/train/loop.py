"""What each rank does: read its part of every batch, step together, checkpoint, answer its part of what was held out.

Losses are divided by what the whole global batch weighs, so one rank or many take the same steps up to rounding.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader

from curate.loading import State
from curate.loading.dataset import ElasticBatches, draws
from curate.loading.order import rank_share
from pipelines.train.checkpoint import Record, load_checkpoint, save_checkpoint
from pipelines.train.settings import Step, TrainSettings
from pipelines.train.task import Answers, Batch, Constants, Sample, Task

_WARM_UP = 0.2  # share of the steps in which the learning rate rises
_CLIP = 1.0
_CHECKPOINTS = 4  # in a run


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything that a rank needs to know. ``root``: URL of the store that the crops' uris are relative to."""

    task: Task[Any, Any]
    root: str
    train: Sequence[Sample]
    held_out: Sequence[Sample]
    constants: Constants
    settings: TrainSettings
    manifest_digest: str

    @property
    def steps(self) -> int:
        return self.settings.epochs * -(-len(self.train) // self.settings.batch_size)


@dataclass(frozen=True, slots=True)
class Rank:
    """Who this process is among the ranks, and what it may ask of the outside. Rank 0 alone tells of steps."""

    rank: int
    world: int
    device: torch.device
    wrap: Callable[[nn.Module], nn.Module]
    tell: Callable[[Step], None]
    save: Callable[[Path | None, State, float], None]  # a collective: every rank calls it; a folder on rank 0 alone
    resume: Path | None


def train_rank(assignment: Assignment, own: Rank) -> Answers:
    """Train to the end, then answer: float64 (held-out studies, targets, classes), the same on every rank."""
    settings, task = assignment.settings, assignment.task
    torch.manual_seed(settings.seed)
    bare = task.model(assignment.constants).to(own.device)
    optimiser = torch.optim.AdamW(bare.parameters(), lr=settings.learning_rate, weight_decay=0.02)
    state = State(settings.seed, assignment.manifest_digest)
    if own.resume is not None:
        state = load_checkpoint(own.resume, bare, optimiser, state=state)
    if state.epoch < settings.epochs:
        _run_epochs(assignment, own, own.wrap(bare), bare, optimiser, state)
    return _answer(assignment, own, bare)


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Learning rate of step 1..steps: rises in a line, then falls as a cosine to nearly nothing."""
    warm = max(1, round(_WARM_UP * steps))
    if step <= warm:
        return peak * (0.05 + 0.95 * step / warm)
    return peak * (0.001 + 0.999 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2)


def _run_epochs(
    assignment: Assignment,
    own: Rank,
    model: nn.Module,
    bare: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: State,
) -> None:
    settings, task = assignment.settings, assignment.task
    dataset = task.dataset(assignment.root, assignment.train, augment=True, seed=settings.seed)
    sampler = ElasticBatches(
        state,
        samples=len(assignment.train),
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        rank=own.rank,
        world=own.world,
    )
    done = assignment.steps - len(sampler)
    every = -(-settings.epochs // _CHECKPOINTS)
    model.train()
    began = time.perf_counter()
    loader: Any = DataLoader(
        dataset, batch_sampler=sampler, collate_fn=join, num_workers=0, pin_memory=own.device.type == "cuda"
    )
    for step, (batch, after) in enumerate(zip(loader, sampler.states, strict=True), done + 1):
        rate = learning_rate_at(step, assignment.steps, settings.learning_rate)
        loss = _step(task, model, optimiser, batch.to(own.device), rate, own.world)
        if own.rank == 0:
            now = time.perf_counter()
            epoch = after.epoch if after.consumed else after.epoch - 1
            tail = len(assignment.train) % settings.batch_size if not after.consumed else 0
            size = tail or min(settings.batch_size, len(assignment.train))
            own.tell(Step(step, assignment.steps, epoch, loss, rate, size / (now - began)))
            began = now
        if not after.consumed and (after.epoch % every == 0 or after.epoch == settings.epochs):
            _checkpoint(assignment, own, bare, optimiser, after, loss)
            began = time.perf_counter()


def join(batches: Sequence[Any]) -> Any:
    """Batches of one -> one batch, as their own class does it."""
    return type(batches[0]).join(batches)


def _step(
    task: Task[Any, Any], model: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch, rate: float, world: int
) -> float:
    """One optimiser step; gives the first term of the loss over the global batch."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=batch.weight.is_cuda):
        outputs = model(*batch.inputs)
    losses = task.losses(outputs, batch)
    sums, weights = _totals(losses, task.weights(batch), world)
    scales = [term.factor / max(weight + term.prior, 1e-9) for term, weight in zip(task.terms, weights, strict=True)]
    total = (losses * losses.new_tensor(scales)).sum()
    optimiser.zero_grad(set_to_none=True)
    (total * world).backward()  # type: ignore[no-untyped-call]  # DDP takes the mean over ranks; this is a sum
    nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimiser.step()
    return sums[0] / max(weights[0] + task.terms[0].prior, 1e-9)


def _totals(losses: torch.Tensor, weights: torch.Tensor, world: int) -> tuple[list[float], list[float]]:
    """The terms' sums and their weights, over all ranks."""
    both = torch.stack([losses.detach().double(), weights.to(losses.device).double()])
    if world > 1:
        dist.all_reduce(both)
    sums, total = both.tolist()
    return sums, total


def _checkpoint(
    assignment: Assignment,
    own: Rank,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: State,
    loss: float,
) -> None:
    if own.rank:
        own.save(None, state, loss)
        return
    settings = assignment.settings.to_json()
    record = Record(assignment.task.name, settings, assignment.constants.tolist(), state)
    with tempfile.TemporaryDirectory(prefix="curate-checkpoint-") as folder:
        save_checkpoint(Path(folder), record, model, optimiser)
        own.save(Path(folder), state, loss)


@torch.no_grad()
def _answer(assignment: Assignment, own: Rank, model: nn.Module) -> Answers:
    """Every rank answers its part of the held-out studies; the parts are added up."""
    task, studies = assignment.task, assignment.held_out
    model.eval()
    dataset: Any = task.dataset(assignment.root, studies, augment=False, seed=0)
    answers = torch.zeros((len(studies), *assignment.constants.shape), dtype=torch.float64, device=own.device)
    for start in range(0, len(studies), own.world):
        share = rank_share(np.arange(start, min(start + own.world, len(studies))), rank=own.rank, world=own.world)
        batch = join([dataset[draw] for draw in draws(share, epoch=None)]).to(own.device)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=batch.weight.is_cuda):
            outputs = model(*batch.inputs)
        said = task.answers(outputs)
        answers[batch.index] += said * batch.weight.reshape(-1, *[1] * (said.ndim - 1))
    if own.world > 1:
        dist.all_reduce(answers)
    result: Any = answers.cpu().numpy()
    return np.asarray(result, dtype=np.float64)
