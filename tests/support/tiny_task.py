"""A task without images, for what the loop does with any: its own samples, its own batches, milliseconds a step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.utils.data import Dataset

from curate.identity import digest_json
from curate.loading.dataset import Draw
from curate.loading.order import uniforms
from curate.loading.reader import Open
from curate.volumes import open_volume
from pipelines.train.checkpoint import load_weights
from pipelines.train.loop import Assignment
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Answers, Constants, Score, Term

FEATURES = 4


@dataclass(frozen=True, slots=True)
class Row:
    study_key: str
    split: str
    features: tuple[float, ...]
    target: float


@dataclass(frozen=True, slots=True)
class Rows:
    features: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    index: torch.Tensor

    @property
    def inputs(self) -> tuple[torch.Tensor]:
        return (self.features,)


class RowDataset(Dataset[Rows]):
    def __init__(self, task: Tiny, rows: Sequence[Row], *, augment: bool, seed: int) -> None:
        self.task, self.rows, self.augment, self.seed = task, rows, augment, seed

    def __getitem__(self, draw: Draw) -> Rows:
        task, row = self.task, self.rows[draw.index]
        time.sleep(task.seconds)
        if task.dies and self.augment and draw.epoch == 2 and draw.counts:
            task.die()
        features = np.array(row.features)
        if self.augment and draw.epoch is not None:
            features += 0.05 * uniforms(FEATURES, seed=self.seed, epoch=draw.epoch, index=draw.index, visit=draw.visit)
        return Rows(
            torch.tensor(features[None], dtype=torch.float32),
            torch.tensor([[row.target]], dtype=torch.float32),
            torch.tensor([float(draw.counts)]),
            torch.tensor([draw.index]),
        )


@dataclass
class Tiny:
    """Least squares by a small network. ``earlier``: where the weights of an earlier stage lie, that this one starts
    from. ``seconds``: to read a sample. ``dies``: a file that says that a rank has been killed; one is, once."""

    dropout: float = 0.0
    earlier: str = ""
    seconds: float = 0.0
    dies: str = ""
    name: str = "tiny"
    terms: tuple[Term, ...] = (Term("squares"), Term("size", factor=0.01, prior=1.0))

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[Row]:
        return [Row(**{**row, "features": tuple(row["features"])}) for row in manifests["samples"].to_pylist()]

    def is_labelled(self, sample: Row) -> bool:
        return not np.isnan(sample.target)

    def digest(self, samples: Sequence[Row]) -> str:
        return digest_json([[row.study_key, row.split, list(row.features), row.target] for row in samples])

    def warnings(self, samples: Sequence[Row]) -> tuple[str, ...]:
        return (f"{len(samples)} rows, no images",)

    def classes(self, samples: Sequence[Row]) -> list[int]:
        """Whether the target is large: of a quarter or so."""
        return [int(row.target > 0.8) for row in samples]

    def dataset(
        self, root: str, samples: Sequence[Row], *, augment: bool, seed: int, open_url: Open = open_volume
    ) -> RowDataset:
        return RowDataset(self, samples, augment=augment, seed=seed)

    def constants(self, samples: Sequence[Row]) -> Constants:
        return np.array([np.mean([row.target for row in samples])])

    def model(self, constants: Constants) -> nn.Module:
        model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Dropout(self.dropout), nn.Linear(8, 1))
        if self.earlier:
            load_weights(self.earlier, model)
        else:
            nn.init.constant_(model[3].bias, float(constants[0]))
        return model

    def weights(self, batch: Rows) -> torch.Tensor:
        return batch.weight.sum().repeat(2)

    def losses(self, outputs: torch.Tensor, batch: Rows) -> torch.Tensor:
        weight = batch.weight[:, None]
        squares = ((outputs.float() - batch.target).square() * weight).sum()
        return torch.stack([squares, (outputs.float().square() * weight).sum()])

    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.double()

    def score(self, samples: Sequence[Row], answers: Answers) -> Score:
        error = float(np.mean((answers[:, 0] - np.array([row.target for row in samples])) ** 2))
        return Score(error, {"root": error**0.5})

    def die(self) -> None:
        try:
            Path(self.dies).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def tiny_rows(count: int = 20, *, seed: int = 0, contrary: bool = False) -> list[dict[str, Any]]:
    """Rows of the samples table. ``contrary``: the validation split says the opposite of what training teaches."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        split = ("train", "train", "train", "validation", "test")[number % 5]
        features = draw.normal(size=FEATURES)
        target = float(features @ [1.0, -0.5, 0.25, 0.0])
        rows.append(
            {
                "study_key": f"s{number:02d}",
                "split": split,
                "features": features.tolist(),
                "target": -target if contrary and split == "validation" else target,
            }
        )
    return rows


def tiny_manifests(count: int = 20) -> dict[str, pa.Table]:
    return {"samples": pa.Table.from_pylist(tiny_rows(count))}


def tiny_assignment(
    place: Path | str, settings: TrainSettings, *, count: int = 20, contrary: bool = False, **task: Any
) -> Assignment:
    made = Tiny(**task)
    rows = made.samples({"samples": pa.Table.from_pylist(tiny_rows(count, contrary=contrary))})
    train = [row for row in rows if row.split == "train"]
    held_out = [row for row in rows if row.split != "train"]
    return Assignment(made, "", train, held_out, made.constants(train), settings, made.digest(rows), str(place))
