"""The threaded loader: always the sampler's order, bounded, and gone when it is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader

from curate.loading.loader import Loader

BATCHES = [[5, 0, 3], [1], [4, 2], [7, 6, 8, 9], [11, 10]]
LARGE = 40_000  # elements a sample: above what is kept out of the reused memory


class Numbers:
    """Item n is a tensor full of n; uneven work, so that threads overtake each other. Notes what was read."""

    def __init__(self, *, size: int = 3, fails: int | None = None, pause_s: float = 0.0) -> None:
        self.size, self.fails, self.pause_s = size, fails, pause_s
        self.read: list[int] = []
        self.threads: set[str] = set()

    def __getitem__(self, item: int) -> torch.Tensor:
        self.read.append(item)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.pause_s + (0.002 if item % 3 == 0 else 0))
        if item == self.fails:
            raise FileNotFoundError(f"item {item}")
        return torch.full((1, self.size), float(item))


def values(batch: torch.Tensor) -> list[int]:
    return [int(value) for value in batch[:, 0]]


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert not loader_threads()


@pytest.mark.parametrize("threads", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("look_ahead", [1, 2, 20])
def test_batches_come_in_the_order_of_the_sampler(threads: int, look_ahead: int) -> None:
    with Loader(Numbers(), BATCHES, threads=threads, look_ahead=look_ahead) as loader:
        assert len(loader) == len(BATCHES)
        for _ in range(2):  # and again
            assert [values(batch) for batch in loader] == BATCHES


def test_the_torch_loader_gives_the_same() -> None:
    theirs: DataLoader[torch.Tensor] = DataLoader(Numbers(), batch_sampler=BATCHES, collate_fn=torch.cat)  # type: ignore[arg-type]
    ours = list(Loader(Numbers(), BATCHES))
    for batch, other in zip(ours, theirs, strict=True):
        assert torch.equal(batch, other)


def test_no_more_is_read_than_the_look_ahead_allows() -> None:
    numbers = Numbers()
    asked = []

    def sampler() -> Iterator[list[int]]:
        for number in range(50):
            asked.append(number)
            yield [2 * number, 2 * number + 1]

    with Loader(numbers, sampler(), threads=3, look_ahead=2) as loader:
        batches = iter(loader)
        for taken in range(1, 6):
            next(batches)
            time.sleep(0.03)
            assert len(asked) <= taken + 2
            assert len(numbers.read) <= 2 * (taken + 2)
    assert len(asked) < 10


def test_threads_read_while_the_consumer_works() -> None:
    slow = [[n] for n in range(1, 9)]
    with Loader(Numbers(pause_s=0.02), slow, threads=2, look_ahead=2) as loader:
        for _ in loader:
            time.sleep(0.03)
        waited = loader.waited_s
    with Loader(Numbers(pause_s=0.02), slow, threads=0) as inline:
        for _ in inline:
            pass
    assert inline.waited_s > 8 * 0.02
    assert waited < inline.waited_s / 2


def test_without_threads_the_caller_reads() -> None:
    numbers = Numbers()
    assert [values(batch) for batch in Loader(numbers, BATCHES, threads=0)] == BATCHES
    assert numbers.threads == {threading.current_thread().name}


def test_an_exception_comes_out_at_its_batch() -> None:
    seen: list[object] = []
    loader = Loader(Numbers(fails=2), BATCHES, threads=3, look_ahead=5)
    with pytest.raises(FileNotFoundError, match="item 2"):
        seen.extend(values(batch) for batch in loader)
    assert seen == BATCHES[:2]
    assert not loader_threads()


@pytest.mark.parametrize("threads", [0, 2])
def test_a_batch_that_cannot_be_joined_fails_at_its_place(threads: int) -> None:
    class Uneven(Numbers):
        def __getitem__(self, item: int) -> torch.Tensor:
            return torch.zeros(1, 4 if item == 4 else 3)

    seen: list[object] = []
    with pytest.raises(ValueError, match="other shapes"):
        seen.extend(len(batch) for batch in Loader(Uneven(), BATCHES, threads=threads))
    assert seen == [3, 1]


def test_leaving_a_loop_early_leaves_no_thread() -> None:
    loader = Loader(Numbers(), BATCHES, threads=3)
    for batch in loader:
        if values(batch) == [1]:
            break
    loader.close()
    assert not loader_threads()
    assert [values(batch) for batch in loader] == BATCHES  # and it can be used again


def test_a_new_iteration_ends_the_one_before() -> None:
    loader = Loader(Numbers(), BATCHES)
    first = iter(loader)
    next(first)
    assert [values(batch) for batch in loader] == BATCHES
    with pytest.raises(StopIteration):
        next(first)


def test_a_batch_stays_as_it_is_for_as_long_as_it_is_kept() -> None:
    batches = [[n, n + 1] for n in range(0, 60, 2)]
    kept, part = [], None
    for number, batch in enumerate(Loader(Numbers(size=LARGE), batches, look_ahead=3)):
        if number % 7 == 0:
            kept.append(batch)
        if number == 3:
            part = batch[1:, 5:9]
    assert [values(batch) for batch in kept] == batches[::7]
    assert all(bool((batch == batch[:, :1]).all()) for batch in kept)
    assert part is not None
    assert part.tolist() == [[7.0] * 4]


def test_memory_of_batches_that_are_let_go_is_used_again() -> None:
    places = {batch.data_ptr() for batch in Loader(Numbers(size=LARGE), [[n, n + 1] for n in range(60)], look_ahead=2)}
    assert len(places) <= 6  # one with the consumer, two ahead, one being joined, one on its way back


def test_a_collate_function_of_ones_own_is_used() -> None:
    loader = Loader(Numbers(), BATCHES, collate=lambda parts: torch.cat(list(parts)[::-1]))
    assert [values(batch) for batch in loader] == [batch[::-1] for batch in BATCHES]


def test_batches_come_out_on_the_device_asked_for() -> None:
    for batch in Loader(Numbers(), BATCHES, device=torch.device("cpu")):
        assert batch.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_a_gpu_are_whole_when_they_come_out() -> None:
    device = torch.device("cuda", 0)
    batches = [[n, n + 1] for n in range(0, 400, 2)]
    found = []
    for batch in Loader(Numbers(size=1 << 20), batches, device=device, look_ahead=3):
        found.append((batch.min(dim=1).values, batch.max(dim=1).values))
    assert [low.int().tolist() for low, _ in found] == batches
    assert [high.int().tolist() for _, high in found] == batches


def test_pinning_without_cuda_is_plain_memory() -> None:
    for batch in Loader(Numbers(size=LARGE), BATCHES, pin=True):
        assert batch.is_pinned() == torch.cuda.is_available()


@pytest.mark.parametrize("options", [{"threads": -1}, {"look_ahead": 0}])
def test_numbers_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Loader(Numbers(), BATCHES, **options)  # type: ignore[arg-type]


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="without items"):
        list(Loader(Numbers(), [[1], []]))


def test_a_sampler_without_a_length_has_none() -> None:
    with pytest.raises(TypeError):
        len(Loader(Numbers(), iter(BATCHES)))
