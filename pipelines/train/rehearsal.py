"""What a training run will take: memory and time of one rank, measured on a few steps with the real data.

Nothing is written. Activations are counted as autograd keeps them for the backward pass, so the number is the same on
any device; what a library's kernels need besides (workspaces) is not in it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from curate.loading import State
from pipelines.train.checkpoint import Checkpoints, Progress, Record, gather
from pipelines.train.loop import Assignment, read_ahead
from pipelines.train.parallel import Ranks
from pipelines.train.run import assign, place_of, recipe_named, stage_settings
from pipelines.train.settings import StagedSettings, TrainSettings
from pipelines.train.step import autocast, learning_rate_at, take_step

_TIMED_STEPS = 3


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One stage. Bytes are those of one rank: with fsdp its share of weights, gradients and optimiser.

    ``seconds``: of the whole run, with every rank as fast as this process, evaluations not counted.
    ``wait_share``: how much of a step was waiting for data, 0..1.
    """

    stage: str
    device: str
    parameters: int
    weight_bytes: int
    gradient_bytes: int
    optimiser_bytes: int
    activation_bytes: int
    batch_bytes: int
    steps: int
    step_seconds: float
    wait_share: float

    @property
    def memory_bytes(self) -> int:
        return self.weight_bytes + self.gradient_bytes + self.optimiser_bytes + self.activation_bytes + self.batch_bytes

    @property
    def seconds(self) -> float:
        return self.steps * self.step_seconds


def rehearse_stages(
    recipe_name: str, store_url: str, manifests: Mapping[str, pa.Table], settings: StagedSettings
) -> list[Rehearsal]:
    """See ``pipelines.train.rehearse``. A later stage is given earlier ones untrained."""
    recipe = recipe_named(recipe_name)
    by_stage = stage_settings(recipe, settings)
    root = place_of(store_url)
    found: list[Rehearsal] = []
    with tempfile.TemporaryDirectory(prefix="curate-rehearsal-") as folder:
        checkpoints: dict[str, str] = {}
        for stage in recipe.stages:
            task = stage.make(root, checkpoints)
            assignment = assign(task, root, manifests, by_stage[stage.name], folder, stage.name)
            found.append(rehearse_stage(stage.name, assignment))
            if stage is not recipe.stages[-1]:
                checkpoints[stage.name] = _untrained(assignment)
    return found


def rehearse_stage(name: str, assignment: Assignment) -> Rehearsal:
    """Train a few steps as one of the ranks would, and throw the model away."""
    settings, task = assignment.settings, assignment.task
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ranks = Ranks(device=device)
    torch.manual_seed(settings.seed)
    model = task.model(assignment.constants).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    state = State(settings.seed, assignment.manifest_digest)
    sampler, loader = read_ahead(assignment, state, rank=0, world=settings.workers, device=device)
    times: list[float] = []
    waits: list[float] = []
    batch_bytes = activation_bytes = 0
    with loader:
        parts = iter(loader)
        for step, share in enumerate(islice(sampler, _TIMED_STEPS + 1), 1):
            began, waited = time.perf_counter(), loader.waited_s
            batches = list(islice(parts, min(settings.accumulate, len(share))))
            if step == 1:
                batch_bytes = sum(_nbytes(tensor) for batch in batches for tensor in batch.inputs)
                activation_bytes = _activations(task, settings, model, batches[0])
            take_step(task, settings, model, optimiser, batches, learning_rate_at(step, 100, settings), ranks)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
            waits.append(loader.waited_s - waited)
    timed = slice(1, None) if len(times) > 1 else slice(None)  # the first opens files and compiles
    shared = settings.workers if settings.strategy == "fsdp" else 1
    weights = sum(_nbytes(tensor) for tensor in (*model.parameters(), *model.buffers()))
    moments = sum(_nbytes(value) for kept in optimiser.state.values() for value in kept.values())
    return Rehearsal(
        stage=name,
        device=device.type,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weight_bytes=weights // shared,
        gradient_bytes=sum(_nbytes(p) for p in model.parameters() if p.requires_grad) // shared,
        optimiser_bytes=moments // shared,
        activation_bytes=activation_bytes,
        batch_bytes=batch_bytes,
        steps=assignment.steps,
        step_seconds=sum(times[timed]) / len(times[timed]),
        wait_share=min(1.0, sum(waits[timed]) / sum(times[timed])),
    )


def _activations(task: Any, settings: TrainSettings, model: nn.Module, batch: Any) -> int:
    """Bytes that autograd keeps of one part of a batch, weights aside, each storage once."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers(), *batch.inputs)}
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []  # while they live, no two have the same address

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with autocast(settings, batch.weight.device):
            outputs = model(*batch.inputs)
        task.losses(outputs, batch).sum().backward()
    model.zero_grad(set_to_none=True)
    return sum(kept.values())


def _nbytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _untrained(assignment: Assignment) -> str:
    """Where a model lies that has learned nothing, for a later stage to be made with."""
    torch.manual_seed(assignment.settings.seed)
    model = assignment.task.model(assignment.constants)
    optimiser = torch.optim.AdamW(model.parameters())
    checkpoints = Checkpoints(assignment.place)
    progress = Progress(State(assignment.settings.seed, assignment.manifest_digest))
    settings, constants = assignment.settings.to_json(), assignment.constants.tolist()
    checkpoints.save(Record(assignment.task.name, settings, constants, progress), gather(model, optimiser))
    return checkpoints.place_of(0)
