"""Two real ranks over gloo, with copies of the model and with shares of it: the same steps as one rank takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from pipelines.train.checkpoint import Checkpoints
from pipelines.train.loop import train_rank
from pipelines.train.parallel import Ranks, spread
from pipelines.train.reports import Report, Step
from pipelines.train.settings import TrainSettings
from tests.support.tiny_task import tiny_assignment

SETTINGS = TrainSettings(epochs=2, batch_size=5, learning_rate=2e-2, workers=2, checkpoint_steps=2)
RUNS: dict[str, dict[str, Any]] = {
    "ddp": {},
    "ddp in parts": {"accumulate": 2},
    "fsdp": {"strategy": "fsdp"},
    "fsdp in parts": {"strategy": "fsdp", "accumulate": 2},
}


class Told:
    def __init__(self, leave_after: int = 10**9) -> None:
        self.losses: list[float] = []
        self._leave_after = leave_after

    def __call__(self, report: Report) -> bool:
        if isinstance(report, Step):
            self.losses.append(report.loss)
            return report.step >= self._leave_after
        return False


def settings_of(name: str) -> TrainSettings:
    return TrainSettings(**{**SETTINGS.model_dump(), **RUNS[name]})


def in_rank(rank: int, folder: str) -> None:
    """What each of the two processes does; rank 0 writes what came of it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    ranks = Ranks.of_this_process(torch.device("cpu"))
    found: dict[str, Any] = {"any": [ranks.any(False), ranks.any(rank == 1)]}
    for name in RUNS:
        told = Told()
        assignment = tiny_assignment(Path(folder, name), settings_of(name))
        outcome = train_rank(assignment, ranks, told)
        assert outcome.answers is not None
        found[name] = {"losses": told.losses, "answers": outcome.answers.tolist()}
    for name in ("ddp", "fsdp"):  # told to leave, then again from the other's checkpoint
        other = {"ddp": "fsdp", "fsdp": "ddp"}[name]
        first, second = Told(leave_after=3), Told()
        place = Path(folder, f"{name} resumed")
        assert train_rank(tiny_assignment(place, settings_of(other)), ranks, first).step == 3
        train_rank(tiny_assignment(place, settings_of(name)), ranks, second)
        found[f"{name} resumed"] = first.losses + second.losses
    sharded = spread(nn.Linear(8, 8), ranks, "fsdp")
    found["share"] = [parameter.to_local().numel() for parameter in sharded.parameters()]  # type: ignore[attr-defined]
    if rank == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(in_rank, (str(folder),), nprocs=2)  # type: ignore[no-untyped-call]
    content: dict[str, Any] = json.loads((folder / "found.json").read_text())
    content["kept"] = Checkpoints(str(folder / "fsdp")).steps()
    return content


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Sequence[Any]]:
    told = Told()
    outcome = train_rank(tiny_assignment(tmp_path_factory.mktemp("alone"), SETTINGS), Ranks(), told)
    assert outcome.answers is not None
    return told.losses, outcome.answers.tolist()


@pytest.mark.parametrize("name", list(RUNS))
def test_two_ranks_take_the_steps_of_one(found: dict[str, Any], alone: tuple[list[float], Any], name: str) -> None:
    """Batches of 5 and of 2: a rank comes short and is padded."""
    assert len(alone[0]) == 6
    assert found[name]["losses"] == pytest.approx(alone[0], rel=1e-4)
    assert torch.allclose(torch.tensor(found[name]["answers"]), torch.tensor(alone[1]), atol=1e-4)


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_a_checkpoint_serves_both_ways_to_spread_a_model(
    found: dict[str, Any], alone: tuple[list[float], Any], name: str
) -> None:
    assert found[f"{name} resumed"] == pytest.approx(alone[0], rel=1e-4)


def test_a_shared_model_keeps_half_on_each_rank(found: dict[str, Any]) -> None:
    assert found["share"] == [32, 4]
    assert found["kept"] == [3, 6] or found["kept"] == [6]


def test_what_one_rank_says_all_hear(found: dict[str, Any]) -> None:
    assert found["any"] == [False, True]


def test_alone_nothing_is_wrapped_and_nobody_is_asked() -> None:
    model = nn.Linear(2, 2)
    assert spread(model, Ranks(), "fsdp") is model
    assert Ranks().any(True)
    assert Ranks.of_this_process(torch.device("cpu")) == Ranks()
