"""A checkpoint is plain arrays: what goes in comes out, and what belongs elsewhere is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from curate.errors import Misconfigured
from curate.loading import State
from pipelines.train.checkpoint import Record, load_checkpoint, read_record, save_checkpoint

STATE = State(7, "digest", epoch=2, consumed=0)


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        model(torch.ones(2, 3)).sum().backward()
        optimiser.step()
    return model, optimiser


def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, Record("cervical", {"seed": 7}, [[0.5, 0.5]], STATE), *trained())
    return tmp_path


def test_a_run_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(folder: Path) -> None:
    first, first_optimiser = trained()
    second, second_optimiser = fresh()
    assert load_checkpoint(folder, second, second_optimiser, state=State(7, "digest")) == STATE
    for model, optimiser in ((first, first_optimiser), (second, second_optimiser)):
        optimiser.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimiser.step()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_equal_contents_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save_checkpoint(other, Record("cervical", {"seed": 7}, [[0.5, 0.5]], STATE), *trained())
    names = ["checkpoint.json", "optimiser.npz", "weights.npz"]
    assert sorted(path.name for path in other.iterdir()) == names
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_weights_alone_are_enough_to_answer(folder: Path) -> None:
    model, _ = fresh()
    load_checkpoint(folder, model, None, state=State(7, "digest"))
    assert torch.equal(model(torch.ones(1, 3)), trained()[0](torch.ones(1, 3)))


def test_a_checkpoint_says_what_it_is(folder: Path) -> None:
    assert read_record(folder) == Record("cervical", {"seed": 7}, [[0.5, 0.5]], STATE)


@pytest.mark.parametrize("state", [State(8, "digest"), State(7, "other")])
def test_a_checkpoint_of_another_run_is_refused(folder: Path, state: State) -> None:
    with pytest.raises(Misconfigured, match="another seed or another manifest"):
        load_checkpoint(folder, *fresh(), state=state)


def test_a_checkpoint_of_another_version_is_refused(folder: Path) -> None:
    record = folder / "checkpoint.json"
    record.write_text(record.read_text().replace('"version":1', '"version":99'))
    with pytest.raises(Misconfigured, match="another version"):
        load_checkpoint(folder, *fresh(), state=State(7, "digest"))
