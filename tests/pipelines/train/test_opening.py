"""Volumes of a bucket are fetched once a node, whoever of its ranks asks; those of a folder are read where they lie."""

from __future__ import annotations

import multiprocessing
import secrets
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from curate.errors import Misconfigured
from curate.loading import State
from curate.storage import open_store
from curate.volumes import open_volume
from pipelines.recipes.cervical import Cervical
from pipelines.recipes.vertebrae import VertebraLocator, VertebraSettings
from pipelines.train.loop import Assignment, read_ahead
from pipelines.train.opening import DEFAULT_GIGABYTES, node_cache, opener
from pipelines.train.run import assign
from pipelines.train.settings import TrainSettings
from tests.support.fault_proxy import FaultProxy
from tests.support.object_stores import BUCKET
from tests.support.training_store import cervical_store

FAR = "s3://bucket/necks"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, here and in the processes that are started."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("root", "gigabytes"), [("/data/store", None), ("/data/store", 5.0), (FAR, 0.0)])
def test_a_folder_and_a_cache_of_nothing_are_read_directly(temporary: Path, root: str, gigabytes: float | None) -> None:
    assert opener(root, gigabytes) is open_volume
    assert not list(temporary.iterdir())


def test_a_bucket_has_a_cache_unless_told_otherwise(temporary: Path) -> None:
    asked, usual = opener(FAR, 0.5), opener(FAR, None)
    assert isinstance(asked, partial)
    assert isinstance(usual, partial)
    assert asked.keywords["cache"].budget_bytes == 500_000_000
    assert 0 < usual.keywords["cache"].budget_bytes <= DEFAULT_GIGABYTES * 1e9
    assert asked.keywords["cache"].folder == usual.keywords["cache"].folder  # one a node
    assert asked.keywords["cache"].folder.parent == temporary


def test_a_small_disk_is_not_filled(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = node_cache(None).folder / "object"
    kept.write_bytes(bytes(1000))
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 9000}))
    assert node_cache(None).budget_bytes == 5000


def test_a_folder_that_others_may_open_is_refused(temporary: Path) -> None:
    folder = node_cache(1).folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(Misconfigured, match="open to others") as caught:
        node_cache(1)
    assert str(temporary) not in str(caught.value)
    folder.rmdir()
    folder.symlink_to(temporary)
    with pytest.raises(Misconfigured, match="open to others"):
        node_cache(1)


def read_shares(stages: Sequence[Assignment], rank: int) -> None:
    """What a rank does with its part of every batch, but for the model."""
    for assignment in stages:
        state = State(assignment.settings.seed, assignment.manifest_digest)
        _, loader = read_ahead(assignment, state, rank=rank, world=2, device=torch.device("cpu"))
        with loader:
            assert sum(len(batch.index) for batch in loader) == 3 * 2  # 3 epochs: 3 studies to train on, by twos


def keep_in_bucket(folder: Path) -> str:
    url = f"s3://{BUCKET}/{secrets.token_hex(4)}"
    store = open_store(url)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            store.put_new(file.relative_to(folder).as_posix(), file.read_bytes())
    return url


def test_two_ranks_that_train_from_a_bucket_fetch_each_object_once(proxy: FaultProxy, temporary: Path) -> None:
    """Both stages' reads over HTTP, one process a rank; without the cache the same reads ask again and again."""
    manifests = cervical_store(temporary / "store", studies=5)
    settings = TrainSettings(epochs=3, batch_size=2, workers=2, threads=2, cache_gigabytes=0.1)
    url = keep_in_bucket(temporary / "store")
    requests = []
    for gigabytes in (0.1, 0.0):
        own = settings.model_copy(update={"cache_gigabytes": gigabytes})
        tasks = Cervical(), VertebraLocator(VertebraSettings((24, 12, 12)))
        stages = [assign(task, url, manifests, own, str(temporary), task.name) for task in tasks]
        proxy.requests.clear()
        run_ranks(stages)
        assert set(proxy.requests) == {"GET"}
        requests.append(proxy.requests["GET"])
    cached, direct = requests
    assert cached == len(node_cache(1).objects())
    assert direct > 3 * cached


def run_ranks(stages: Sequence[Assignment]) -> None:
    context = multiprocessing.get_context("spawn")  # a fork server has the environment of its start, with no bucket
    ranks = [context.Process(target=read_shares, args=(stages, rank), daemon=True) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
