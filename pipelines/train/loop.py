"""What each rank does: read its part of every batch, step together, score, checkpoint, and answer what was held out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, TypeVar

import torch
from torch import nn

from curate.errors import Misconfigured
from curate.loading import State
from curate.loading.dataset import Draw, ElasticBatches
from curate.loading.loader import Loader
from curate.scoring import SubmissionError
from pipelines.train.checkpoint import Checkpoints, Progress, Record, gather, load_weights
from pipelines.train.evaluate import answer
from pipelines.train.opening import opener
from pipelines.train.parallel import Ranks, spread
from pipelines.train.reports import Began, Evaluation, Report, Step
from pipelines.train.settings import TrainSettings
from pipelines.train.step import learning_rate_at, take_step
from pipelines.train.task import Answers, Constants, Sample, Task
from pipelines.train.visiting import order_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything that a rank needs to know.

    ``root``: URL of the store that the samples' uris are relative to. ``place``: folder or URL of the checkpoints.
    """

    task: Task[Any, Any]
    root: str
    train: Sequence[Sample]
    held_out: Sequence[Sample]
    constants: Constants
    settings: TrainSettings
    manifest_digest: str
    place: str

    @property
    def visits(self) -> int:
        """Of studies, in an epoch."""
        return len(self.train) * self.settings.visits

    @property
    def steps(self) -> int:
        return self.settings.epochs * -(-self.visits // self.settings.batch_size)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``answers``: float64 (held-out studies, ...) of the weights that count; None when the run was told to leave.
    ``step``: of the checkpoint that holds these weights, or where the next run goes on."""

    answers: Answers | None
    step: int


def train_rank(assignment: Assignment, ranks: Ranks, tell: Callable[[Report], bool]) -> Outcome:
    """Train from the last checkpoint to the end, then answer; a collective, the same on every rank.

    ``tell`` is called on rank 0 alone; once it gives True, the ranks make a checkpoint after the step they are at, and
    leave. Raises ``Misconfigured`` when the checkpoints are of another run, ``Unavailable`` when storage refuses.
    """
    run = _Run(assignment, ranks, tell)
    if not run.train():
        return Outcome(None, run.progress.step)
    return run.answer()


def read_ahead(
    assignment: Assignment, state: State, *, rank: int, world: int, device: torch.device
) -> tuple[ElasticBatches, Loader[Draw, Any]]:
    """A rank's shares of the batches from ``state`` on, and what reads them, each in ``accumulate`` parts."""
    settings = assignment.settings
    sampler = ElasticBatches(
        state,
        samples=order_of(settings, assignment.task, assignment.train),
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        rank=rank,
        world=world,
    )
    dataset: Any = assignment.task.dataset(
        assignment.root,
        assignment.train,
        augment=True,
        seed=settings.seed,
        open_url=opener(assignment.root, settings.cache_gigabytes),
    )
    loader: Loader[Draw, Any] = Loader(
        dataset,
        cut(sampler, settings.accumulate),
        threads=settings.threads,
        look_ahead=2 * settings.accumulate,
        pin=True,
        device=device,
    )
    return sampler, loader


def cut(shares: Iterable[Sequence[T]], parts: int) -> Iterator[list[T]]:
    """Each share in up to ``parts`` pieces, nearly equal, none of them empty."""
    for share in shares:
        count = min(parts, len(share))
        bounds = [len(share) * n // count for n in range(count + 1)]
        for start, end in pairwise(bounds):
            yield list(share[start:end])


class _Run:
    """A rank's state between steps. ``progress`` is all of it that a checkpoint holds besides tensors."""

    def __init__(self, assignment: Assignment, ranks: Ranks, tell: Callable[[Report], bool]) -> None:
        settings = assignment.settings
        if settings.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to repeat itself
        torch.use_deterministic_algorithms(settings.deterministic)
        torch.manual_seed(settings.seed)
        self.assignment, self.ranks, self._tell = assignment, ranks, tell
        self.bare: nn.Module = assignment.task.model(assignment.constants).to(ranks.device)
        self.model = spread(self.bare, ranks, settings.strategy)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.checkpoints = Checkpoints(assignment.place)
        self.progress = Progress(State(settings.seed, assignment.manifest_digest))
        self._saved = 0
        self._leave = False
        if steps := self.checkpoints.steps():
            self._saved = steps[-1]
            self.progress = self.checkpoints.load(steps[-1], self.bare, self.optimiser, state=self.progress.state)

    def tell(self, report: Report) -> None:
        if self.ranks.rank == 0:
            self._leave |= self._tell(report)

    def train(self) -> bool:
        """Every step that is left; False when told to leave."""
        assignment, settings = self.assignment, self.assignment.settings
        if self._is_over:
            return True
        self.tell(Began(self.progress.step, assignment.steps))
        sampler, loader = read_ahead(
            assignment, self.progress.state, rank=self.ranks.rank, world=self.ranks.world, device=self.ranks.device
        )
        self.model.train()
        with loader:
            parts, meter = iter(loader), _Meter(loader)
            for share, after in zip(sampler, sampler.states, strict=True):
                if self.ranks.any(self._leave):
                    self._save()
                    return False
                batches = list(islice(parts, min(settings.accumulate, len(share))))
                self._step(batches, after, meter)
                if self._is_over:
                    break
        return True

    def answer(self) -> Outcome:
        """With the weights that count."""
        assignment, chosen = self.assignment, self.progress.step
        if assignment.settings.patience or assignment.settings.select == "best":
            chosen = self.progress.best_step or chosen
        if chosen != self.progress.step:
            load_weights(self.checkpoints.place_of(chosen), self.bare)
        answers = answer(
            assignment.task, assignment.root, assignment.held_out, self.bare, assignment.settings, self.ranks
        )
        return Outcome(answers, chosen)

    @property
    def _is_over(self) -> bool:
        settings, progress = self.assignment.settings, self.progress
        return progress.state.epoch >= settings.epochs or 0 < settings.patience <= progress.stale

    def _step(self, parts: Sequence[Any], after: State, meter: _Meter) -> None:
        assignment, settings = self.assignment, self.assignment.settings
        step = self.progress.step + 1
        # whatever the model draws (dropout) belongs to the step and the rank, so that a resumed run draws the same
        torch.manual_seed((settings.seed * 1_000_003 + step) * 1_009 + self.ranks.rank)
        rate = learning_rate_at(step, assignment.steps, settings)
        first = take_step(assignment.task, settings, self.model, self.optimiser, parts, rate, self.ranks)
        before, self.progress = self.progress, replace(self.progress, state=after, step=step)
        meter.count(_studies(before.state, after, assignment.visits))
        if step % settings.report_steps == 0 or step == assignment.steps:
            total, weight = self.ranks.total(first).tolist()
            loss = total / (weight / self.ranks.world)
            self.tell(meter.step(step, assignment.steps, before.state.epoch, loss, rate))
        if not after.consumed and (after.epoch % settings.evaluates_every == 0 or after.epoch == settings.epochs):
            self._evaluate()
            self._save()
            meter.restart()
        elif settings.checkpoint_steps and step % settings.checkpoint_steps == 0:
            self._save()
            meter.restart()

    def _evaluate(self) -> None:
        """Score the validation split, where there is one."""
        assignment, progress = self.assignment, self.progress
        samples = [sample for sample in assignment.held_out if sample.split == "validation"]
        if not samples:
            return
        answers = answer(assignment.task, assignment.root, samples, self.bare, assignment.settings, self.ranks)
        try:
            score = assignment.task.score(samples, answers)
        except SubmissionError:
            if assignment.settings.patience:
                raise Misconfigured("train.patience: the validation split has nothing that can be scored") from None
            return
        is_best = progress.best_score is None or score.score < progress.best_score
        if is_best:
            self.progress = replace(progress, best_step=progress.step, best_score=score.score, stale=0)
        else:
            self.progress = replace(progress, stale=progress.stale + 1)
        self.tell(Evaluation(progress.step, progress.state.epoch, score.score, score.parts, is_best))

    def _save(self) -> None:
        if self.progress.step == self._saved:
            return
        assignment, self._saved = self.assignment, self.progress.step
        tensors = gather(self.bare, self.optimiser)
        if self.ranks.rank == 0:
            settings, constants = assignment.settings.to_json(), assignment.constants.tolist()
            self.checkpoints.save(Record(assignment.task.name, settings, constants, self.progress), tensors)


class _Meter:
    """How fast it goes, and how much of the time is spent waiting for data."""

    def __init__(self, loader: Loader[Any, Any]) -> None:
        self._loader = loader
        self.restart()

    def restart(self) -> None:
        self._began, self._waited = time.perf_counter(), self._loader.waited_s
        self._studies = self._steps = 0

    def count(self, studies: int) -> None:
        self._studies += studies
        self._steps += 1

    def step(self, step: int, steps: int, epoch: int, loss: float, rate: float) -> Step:
        seconds = max(time.perf_counter() - self._began, 1e-9)
        wait = (self._loader.waited_s - self._waited) / seconds
        report = Step(step, steps, epoch, loss, rate, self._studies / seconds, seconds / self._steps, min(wait, 1.0))
        self.restart()
        return report


def _studies(before: State, after: State, visits: int) -> int:
    return (after.consumed or visits) - before.consumed
