"""Checkpoints of a run in a store, local folder or bucket alike: plain arrays and one JSON file, so safe to open.

Below the run's place lies a folder a checkpoint, named by the number of steps: ``weights.npz``, the model's tensors by
name; ``optimiser.npz``, what AdamW remembers of each; ``checkpoint.json``, everything else, written last: without it
there is no checkpoint. The store is the truth: a run that was killed, a rank that was lost and another day's run all go
on from what it holds.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from curate.errors import Misconfigured
from curate.identity import Json, canonical_json
from curate.loading import State
from curate.storage import Store, open_store

_VERSION = 2
_WEIGHTS, _OPTIMISER, _RECORD = "weights.npz", "optimiser.npz", "checkpoint.json"
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. ``best_step``, ``best_score``: of the evaluations so far; ``stale``: how many came since."""

    state: State
    step: int = 0
    best_step: int | None = None
    best_score: float | None = None
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What a checkpoint says of itself: task, settings, what the model starts from, and how far it is."""

    task: str
    settings: dict[str, Json]
    constants: list[Any]
    progress: Progress
    weights_digest: str = ""


class Checkpoints:
    """The checkpoints of one run. ``place``: a folder, or a URL of an object store."""

    def __init__(self, place: str) -> None:
        self._store = open_store(place)

    def place_of(self, step: int) -> str:
        """Where a checkpoint lies, as ``read_record`` and ``load_weights`` take it."""
        return f"{self._store.url}/{_key(step)}"

    def steps(self) -> list[int]:
        """Those that are whole, ascending. Raises ``Unavailable`` when the storage refuses."""
        found = (key.split("/") for key in self._store.list())
        return sorted(int(parts[0]) for parts in found if parts[-1] == _RECORD and parts[0].isdecimal())

    def save(self, record: Record, tensors: Tensors) -> None:
        """Write one, and remove all but it and the best. Equal contents give equal bytes."""
        key, progress = _key(record.progress.step), record.progress
        weights = _packed(tensors.weights)
        self._store.put(f"{key}/{_WEIGHTS}", weights)
        self._store.put(f"{key}/{_OPTIMISER}", _packed(tensors.moments))
        content: dict[str, Json] = {
            "version": _VERSION,
            "task": record.task,
            "settings": record.settings,
            "constants": record.constants,
            "weights_digest": hashlib.sha256(weights).hexdigest(),
            "state": progress.state.to_json(),
            "step": progress.step,
            "best_step": progress.best_step,
            "best_score": progress.best_score,
            "stale": progress.stale,
        }
        self._store.put(f"{key}/{_RECORD}", canonical_json(content) + b"\n")
        for step in self.steps():
            if step not in (progress.step, progress.best_step):
                self._remove(step)

    def load(self, step: int, model: nn.Module, optimiser: Optimizer, *, state: State) -> Progress:
        """Fill the model and the optimiser, on every rank; gives how far the run was.

        ``state``: a position of this run; raises ``Misconfigured`` when the checkpoint belongs to another seed, another
        manifest or another version of this file.
        """
        progress = read_record(self.place_of(step)).progress
        State.from_json(progress.state.to_json(), seed=state.seed, manifest_digest=state.manifest_digest)
        load_weights(self.place_of(step), model)
        kept: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in _unpacked(self._store, f"{_key(step)}/{_OPTIMISER}").items():
            field, name = key.split("/", 1)
            kept.setdefault(name, {})[field] = torch.from_numpy(value)
        fresh = get_optimizer_state_dict(model, optimiser)  # its groups are whole on every rank
        whole: Any = {"state": kept, "param_groups": fresh["param_groups"]}
        set_optimizer_state_dict(model, optimiser, whole, options=_WHOLE)
        return progress

    def _remove(self, step: int) -> None:
        for name in (_RECORD, _WEIGHTS, _OPTIMISER):
            self._store.delete(f"{_key(step)}/{name}")


@dataclass(frozen=True, slots=True)
class Tensors:
    """A model's and its optimiser's state, whole and on the host. On other ranks than 0 of a sharded one: empty."""

    weights: Arrays
    moments: Arrays


def gather(model: nn.Module, optimiser: Optimizer) -> Tensors:
    """A collective where the model is shared out: every rank calls it."""
    weights: dict[str, Any] = dict(get_model_state_dict(model, options=_WHOLE))
    moments: Any = get_optimizer_state_dict(model, optimiser, options=_WHOLE).get("state", {})
    return Tensors(
        {name: tensor.numpy() for name, tensor in weights.items()},
        {
            f"{field}/{name}": torch.as_tensor(value).numpy()
            for name, kept in moments.items()
            for field, value in kept.items()
        },
    )


def load_weights(place: str, model: nn.Module) -> None:
    """Fill a model from the checkpoint at a path or URL. Raises ``Unavailable`` and ``FileNotFoundError``."""
    tensors: dict[str, Any] = {
        name: torch.from_numpy(array) for name, array in _unpacked(open_store(place), _WEIGHTS).items()
    }
    set_model_state_dict(model, tensors, options=_WHOLE)


def read_record(place: str) -> Record:
    """What the checkpoint at a path or URL says of itself. Raises ``Misconfigured`` for another version."""
    content = json.loads(open_store(place).get(_RECORD))
    if content.get("version") != _VERSION:
        raise Misconfigured("the checkpoint was made by another version; train into another folder")
    progress = Progress(
        State(**content["state"]), content["step"], content["best_step"], content["best_score"], content["stale"]
    )
    return Record(
        content["task"], content["settings"], content["constants"], progress, weights_digest=content["weights_digest"]
    )


def _key(step: int) -> str:
    return f"{step:08d}"


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(sorted(arrays.items())))
    return buffer.getvalue()


def _unpacked(store: Store, key: str) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(store.get(key)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
