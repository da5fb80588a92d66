"""A checkpoint is plain arrays in a store: what goes in comes out, and what belongs elsewhere is refused."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curate.errors import Misconfigured
from curate.loading import State
from pipelines.train.checkpoint import Checkpoints, Progress, Record, gather, load_weights, read_record
from tests.support.object_stores import BUCKET, point_at

STATE = State(7, "digest", epoch=2, consumed=3)
PROGRESS = Progress(STATE, step=11, best_step=8, best_score=0.25, stale=1)
RECORD = Record("cervical", {"seed": 7}, [[0.5, 0.5]], PROGRESS)


def trained(steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        step(model, optimiser)
    return model, optimiser


def step(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    model(torch.arange(6.0).reshape(2, 3)).square().sum().backward()
    optimiser.step()


def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


@pytest.fixture(params=["folder", "bucket"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoints:
    """With one checkpoint, of step 11."""
    if request.param == "folder":
        made = Checkpoints(str(tmp_path / "run"))
    else:
        point_at(request.getfixturevalue("server"), monkeypatch)
        made = Checkpoints(f"s3://{BUCKET}/{uuid.uuid4().hex}/run")
    made.save(RECORD, gather(*trained()))
    return made


def test_a_run_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(checkpoints: Checkpoints) -> None:
    first, first_optimiser = trained()
    second, second_optimiser = fresh()
    assert checkpoints.load(11, second, second_optimiser, state=State(7, "digest")) == PROGRESS
    for model, optimiser in ((first, first_optimiser), (second, second_optimiser)):
        step(model, optimiser)
    for (name, a), (_, b) in zip(first.state_dict().items(), second.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_weights_alone_are_enough_to_answer(checkpoints: Checkpoints) -> None:
    model, _ = fresh()
    load_weights(checkpoints.place_of(11), model)
    assert torch.equal(model.eval()(torch.ones(1, 3)), trained()[0].eval()(torch.ones(1, 3)))


def test_a_checkpoint_says_what_it_is(checkpoints: Checkpoints) -> None:
    record = read_record(checkpoints.place_of(11))
    assert record == replace(RECORD, weights_digest=record.weights_digest)
    assert len(record.weights_digest) == 64


def test_all_but_the_last_and_the_best_are_removed(checkpoints: Checkpoints) -> None:
    tensors = gather(*trained())
    for number, best in ((8, 8), (9, 8), (12, 8), (13, 13), (14, 13)):
        progress = replace(PROGRESS, step=number, best_step=best)
        checkpoints.save(replace(RECORD, progress=progress), tensors)
    assert checkpoints.steps() == [13, 14]


def test_there_are_none_where_nothing_was_saved(tmp_path: Path) -> None:
    assert Checkpoints(str(tmp_path / "nowhere")).steps() == []


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Checkpoints(str(tmp_path / name)).save(RECORD, gather(*trained()))
    names = ["checkpoint.json", "optimiser.npz", "weights.npz"]
    assert sorted(path.name for path in (tmp_path / "a/00000011").iterdir()) == names
    for name in names:
        assert (tmp_path / "a/00000011" / name).read_bytes() == (tmp_path / "b/00000011" / name).read_bytes()


def test_one_that_was_not_finished_does_not_count_and_is_written_anew(tmp_path: Path) -> None:
    folder = tmp_path / "00000011"
    folder.mkdir()
    (folder / "weights.npz").write_bytes(b"half a file")
    made = Checkpoints(str(tmp_path))
    assert made.steps() == []
    made.save(RECORD, gather(*trained()))
    assert made.steps() == [11]
    load_weights(made.place_of(11), fresh()[0])


def test_nothing_in_it_is_unpickled(tmp_path: Path) -> None:
    made = Checkpoints(str(tmp_path))
    made.save(RECORD, gather(*trained()))
    evil: Any = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "00000011/weights.npz", **{"0.weight": evil})
    with pytest.raises(ValueError, match="allow_pickle"):
        load_weights(made.place_of(11), fresh()[0])


@pytest.mark.parametrize("state", [State(8, "digest"), State(7, "other")])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, state: State) -> None:
    made = Checkpoints(str(tmp_path))
    made.save(RECORD, gather(*trained()))
    with pytest.raises(Misconfigured, match="another seed or another manifest"):
        made.load(11, *fresh(), state=state)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    made = Checkpoints(str(tmp_path))
    made.save(RECORD, gather(*trained()))
    record = tmp_path / "00000011/checkpoint.json"
    record.write_text(record.read_text().replace('"version":2', '"version":99'))
    with pytest.raises(Misconfigured, match="another version"):
        made.load(11, *fresh(), state=State(7, "digest"))
