"""A checkpoint as a folder of plain arrays and one JSON file: nothing in it is code, so it is safe to open.

``weights.npz`` holds the model's parameters by name, ``optimiser.npz`` what AdamW remembers of each,
``checkpoint.json`` the task, the settings, the constants that the model starts from, and the position in the data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from curate.errors import Misconfigured
from curate.identity import Json, canonical_json
from curate.loading import State

_VERSION = 1
_WEIGHTS, _OPTIMISER, _RECORD = "weights.npz", "optimiser.npz", "checkpoint.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What a checkpoint says of itself."""

    task: str
    settings: dict[str, Json]
    constants: list[list[float]]
    state: State


def save_checkpoint(folder: Path, record: Record, model: nn.Module, optimiser: Optimizer) -> None:
    """Write the three files into an existing folder. Equal contents give equal bytes."""
    np.savez(folder / _WEIGHTS, allow_pickle=False, **_arrays(model.state_dict()))
    moments = {
        f"{index}.{name}": value
        for index, kept in optimiser.state_dict()["state"].items()
        for name, value in kept.items()
    }
    np.savez(folder / _OPTIMISER, allow_pickle=False, **_arrays(moments))
    content: dict[str, Json] = {
        "version": _VERSION,
        "task": record.task,
        "settings": record.settings,
        "constants": [list(row) for row in record.constants],
        "state": record.state.to_json(),
    }
    (folder / _RECORD).write_bytes(canonical_json(content) + b"\n")


def load_checkpoint(folder: Path, model: nn.Module, optimiser: Optimizer | None, *, state: State) -> State:
    """Fill the model and the optimiser; gives the position in the data.

    ``state``: a position of this run; raises ``Misconfigured`` when the checkpoint belongs to another seed, another
    manifest or another version of this file.
    """
    record = json.loads((folder / _RECORD).read_bytes())
    if record.get("version") != _VERSION:
        raise Misconfigured("the checkpoint was made by another version; train into another folder")
    found = State.from_json(record["state"], seed=state.seed, manifest_digest=state.manifest_digest)
    model.load_state_dict(_tensors(folder / _WEIGHTS))
    if optimiser is not None:
        kept: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _tensors(folder / _OPTIMISER).items():
            index, name = key.split(".", 1)
            kept.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})
    return found


def read_record(folder: Path) -> Record:
    """What a checkpoint says of itself, to build its model from."""
    content = json.loads((folder / _RECORD).read_bytes())
    return Record(content["task"], content["settings"], content["constants"], State(**content["state"]))


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}
