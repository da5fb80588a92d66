"""The same global batches, voxel for voxel: any number of ranks, threads or processes, any resume, anybody killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
import zlib
from collections.abc import Iterable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from curate.loading import Augmentation, CropShape, State, StudySample
from curate.loading.dataset import ElasticBatches, StudyBatch, StudyDataset, load
from curate.loading.loader import Loader
from curate.loading.samples import cervical_samples
from tests.support.training_store import cervical_store

SHAPE = CropShape((4, 6, 5), (4.0, 4.0, 4.0))
REACH = Augmentation(shift_mm=3, turn_degrees=8, zoom=0.1, gain=0.1, offset=0.1, mirror=True)
START = State(11, "manifest")
STUDIES, BATCH, EPOCHS = 7, 5, 2  # the last batch of an epoch is short, and smaller than eight ranks

Step = dict[int, int]  # study -> checksum of what was read of it


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def samples(root: Path) -> list[StudySample]:
    return cervical_samples(cervical_store(root, studies=STUDIES))


@pytest.fixture(scope="module")
def wanted(root: Path, samples: list[StudySample]) -> list[Step]:
    """What one rank reads without threads."""
    return read_all(root, samples, START, world=1)


def make(root: Path, samples: Sequence[StudySample]) -> StudyDataset:
    return StudyDataset(str(root), samples, SHAPE, augmentation=REACH, seed=START.seed, mark_stride=2)


def part(state: State, rank: int, world: int) -> ElasticBatches:
    return ElasticBatches(state, samples=STUDIES, batch_size=BATCH, epochs=EPOCHS, rank=rank, world=world)


def checksums(batch: StudyBatch) -> Step:
    rows = [n for n in range(len(batch.index)) if batch.weight[n] > 0]
    return {
        int(batch.index[n]): zlib.crc32(
            batch.crops[n].numpy().tobytes() + batch.marks[n].numpy().tobytes() + batch.targets[n].numpy().tobytes()
        )
        for n in rows
    }


def merged(ranks: Sequence[Iterable[Step]]) -> list[Step]:
    """The global batches that ranks make together. No study may come from two of them."""
    steps = []
    for parts in zip(*ranks, strict=True):
        steps.append({study: found for own in parts for study, found in own.items()})
        assert len(steps[-1]) == sum(len(own) for own in parts)
    return steps


def read_all(
    root: Path, samples: Sequence[StudySample], state: State, *, world: int, threads: int = 0, workers: int = 0
) -> list[Step]:
    dataset, ranks = make(root, samples), []
    for rank in range(world):
        sampler = part(state, rank, world)
        batches = load(dataset, sampler, workers=workers) if workers else Loader(dataset, sampler, threads=threads)
        ranks.append([checksums(batch) for batch in batches])
    return merged(ranks)


def test_each_epoch_reads_each_study_once(wanted: list[Step]) -> None:
    assert [len(step) for step in wanted] == [5, 2, 5, 2]
    for epoch in (0, 2):
        assert wanted[epoch].keys() | wanted[epoch + 1].keys() == set(range(STUDIES))


@pytest.mark.parametrize("world", [1, 2, 4, 8])
@pytest.mark.parametrize("threads", [0, 1, 2, 3])
def test_ranks_and_threads_change_nothing(
    root: Path, samples: list[StudySample], wanted: list[Step], world: int, threads: int
) -> None:
    assert read_all(root, samples, START, world=world, threads=threads) == wanted


def test_a_resume_at_any_step_with_other_ranks_goes_on_exactly(
    root: Path, samples: list[StudySample], wanted: list[Step]
) -> None:
    states = part(START, 0, 1).states
    for step, state in enumerate(states[:-1], 1):
        for world in (1, 2, 4, 8):
            assert read_all(root, samples, state, world=world, threads=2) == wanted[step:]


@pytest.mark.parametrize(("world", "workers"), [(1, 3), (2, 1), (2, 2)])
def test_processes_read_the_same_as_threads(
    root: Path, samples: list[StudySample], wanted: list[Step], world: int, workers: int
) -> None:
    assert read_all(root, samples, START, world=world, workers=workers) == wanted


def test_a_loader_process_killed_costs_no_batch(root: Path, samples: list[StudySample], wanted: list[Step]) -> None:
    sampler = part(START, 0, 1)
    batches = iter(load(make(root, samples), sampler, workers=2))
    done = [checksums(next(batches))]
    for process in multiprocessing.active_children():
        os.kill(process.ident or 0, signal.SIGKILL)
    # torch's word for it, or, of a batch that is handed over just then, a connection that ends
    with pytest.raises((RuntimeError, EOFError, OSError), match=r"exited unexpectedly|killed by signal|^$|Errno"):
        done.extend(checksums(batch) for batch in batches)
    state = State.from_json(
        json.loads(json.dumps(sampler.states[len(done) - 1].to_json())), seed=11, manifest_digest="manifest"
    )
    assert done + read_all(root, samples, state, world=2, threads=2) == wanted


def run_rank(
    root: Path, samples: list[StudySample], state: State, rank: int, world: int, log: Path, pause: float
) -> None:
    """A rank that notes every step once it is done with it, and then waits so many seconds."""
    with log.open("w") as file, Loader(make(root, samples), part(state, rank, world)) as batches:
        for batch in batches:
            file.write(json.dumps(list(checksums(batch).items())) + "\n")
            file.flush()
            time.sleep(pause)


def test_a_rank_killed_costs_no_batch_and_repeats_none(
    root: Path, samples: list[StudySample], wanted: list[Step], tmp_path: Path
) -> None:
    """Two real processes, one of them killed with SIGKILL; four go on from the last step that both had done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "curate.loading.dataset"])

    def start(state: State, world: int, pause: float) -> tuple[list[Path], list[ForkServerProcess]]:
        logs = [tmp_path / f"{world}.{rank}" for rank in range(world)]
        ranks = [
            context.Process(target=run_rank, args=(root, samples, state, rank, world, logs[rank], pause), daemon=True)
            for rank in range(world)
        ]
        for process in ranks:
            process.start()
        return logs, ranks

    def steps(log: Path) -> list[Step]:
        whole = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
        return [dict(json.loads(line)) for line in whole]

    logs, (other, victim) = start(START, 2, 20.0)  # neither is done when the other has begun
    deadline = time.monotonic() + 120
    while not all(steps(log) for log in logs) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(victim.ident or 0, signal.SIGKILL)
    victim.join()
    other.terminate()  # a collective without its partner would end it
    other.join()
    assert victim.exitcode == -signal.SIGKILL
    done = min(len(steps(log)) for log in logs)
    assert 1 <= done < len(wanted)
    before = merged([steps(log)[:done] for log in logs])

    logs, ranks = start(part(START, 0, 2).states[done - 1], 4, 0.0)
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    assert before + merged([steps(log) for log in logs]) == wanted
