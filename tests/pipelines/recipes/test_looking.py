"""What a locator is shown: each visit of a study is moved otherwise, and the same visit always alike."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from curate.loading.dataset import Draw
from curate.volumes import StoredVolume, open_volume
from pipelines.recipes.looking import ViewBatch, Views
from pipelines.recipes.vertebrae import VertebraLocator, VertebraSettings
from tests.support.training_store import cervical_store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def note(opened: list[str], url: str) -> StoredVolume:
    opened.append(url)
    return open_volume(url)


@pytest.fixture(scope="module")
def opened() -> list[str]:
    return []


@pytest.fixture(scope="module")
def views(root: Path, opened: list[str]) -> Views:
    locator = VertebraLocator(VertebraSettings((24, 12, 12)))
    samples = locator.samples(cervical_store(root, studies=1))
    return locator.dataset(str(root), samples, augment=True, seed=4, open_url=partial(note, opened))


def same(one: ViewBatch, other: ViewBatch) -> bool:
    return torch.equal(one.affines, other.affines) and torch.equal(one.views, other.views)


def test_the_same_visit_is_always_shown_alike(views: Views) -> None:
    assert same(views[Draw(0, 2, visit=1)], views[Draw(0, 2, visit=1)])


@pytest.mark.parametrize("other", [Draw(0, 2), Draw(0, 3, visit=1), Draw(0, None)])
def test_another_visit_epoch_or_none_is_shown_otherwise(views: Views, other: Draw) -> None:
    assert not same(views[Draw(0, 2, visit=1)], views[other])


def test_volumes_are_opened_as_asked_and_kept(views: Views, opened: list[str], root: Path) -> None:
    for epoch in range(3):
        assert views[Draw(0, epoch)].present.all()
    assert opened == [f"{root}/volumes/s00/ct/0.zarr"]
