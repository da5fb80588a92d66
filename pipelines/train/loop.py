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

from curate.loading import Augmentation, State, StudySample
from curate.loading.dataset import ElasticBatches, StudyBatch, StudyDataset, draws, join, load
from curate.loading.order import rank_share
from pipelines.train.checkpoint import Record, load_checkpoint, save_checkpoint
from pipelines.train.settings import Step, TrainSettings
from pipelines.train.task import Answers, Constants, Losses, Task

_GUIDANCE = 1.0  # weight of looking where readers looked, against the challenge's loss
_PLACES = 0.5  # weight of judging each crop by itself
_WARM_UP = 0.2  # share of the steps in which the learning rate rises
_CLIP = 1.0
_CHECKPOINTS = 4  # in a run


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything that a rank needs to know. ``root``: URL of the store that the crops' uris are relative to."""

    task: Task
    root: str
    train: Sequence[StudySample]
    held_out: Sequence[StudySample]
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
    dataset = StudyDataset(
        assignment.root,
        assignment.train,
        task.shape,
        augmentation=task.augmentation,
        seed=settings.seed,
        mark_stride=task.mark_stride,
    )
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
    loader = load(dataset, sampler, pin=own.device.type == "cuda")
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


def _step(
    task: Task, model: nn.Module, optimiser: torch.optim.Optimizer, batch: StudyBatch, rate: float, world: int
) -> float:
    """One optimiser step; gives the challenge's loss over the global batch."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=batch.crops.is_cuda):
        outputs = model(batch.crops, batch.present)
    losses = task.losses(outputs, batch)
    challenge, weight, guided, judged = _totals(losses, world)
    total = losses.challenge / weight + _GUIDANCE * losses.guidance / (guided + 1) + _PLACES * losses.places / judged
    optimiser.zero_grad(set_to_none=True)
    (total * world).backward()  # type: ignore[no-untyped-call]  # DDP takes the mean over ranks; this is a sum
    nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimiser.step()
    return challenge / weight


def _totals(losses: Losses, world: int) -> tuple[float, float, float, float]:
    """Challenge loss, its weight, and the numbers of guided and of judged crops, over all ranks."""
    parts = (losses.challenge.detach(), losses.weight, losses.guided, losses.judged)
    sums = torch.stack([part.double() for part in parts])
    if world > 1:
        dist.all_reduce(sums)
    challenge, weight, guided, judged = sums.tolist()
    return challenge, max(weight, 1e-9), guided, max(judged, 1.0)


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
    dataset = StudyDataset(assignment.root, studies, task.shape, augmentation=Augmentation(), seed=0)
    answers = torch.zeros((len(studies), *assignment.constants.shape), dtype=torch.float64, device=own.device)
    for start in range(0, len(studies), own.world):
        share = rank_share(np.arange(start, min(start + own.world, len(studies))), rank=own.rank, world=own.world)
        batch = join([dataset[draw] for draw in draws(share, epoch=None)]).to(own.device)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=batch.crops.is_cuda):
            outputs = model(batch.crops, batch.present)
        answers[batch.index] += task.answers(outputs) * batch.weight[:, None, None]
    if own.world > 1:
        dist.all_reduce(answers)
    result: Any = answers.cpu().numpy()
    return np.asarray(result, dtype=np.float64)
