"""Many objects in their order, a bounded number of them ahead."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from curate.storage import Store, get_each, many, open_store
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET, moto_server, point_at

KEYS = [f"a/{n:03d}" for n in range(50)]


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    with (
        moto_server() as server,
        FaultProxy(server, share=0.0, slow_seconds=0.5) as proxy,
        pytest.MonkeyPatch.context() as environment,
    ):
        point_at(proxy.url, environment)
        yield proxy


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, proxy: FaultProxy) -> Store:
    opened = open_store(tmp_path if request.param == "folder" else f"s3://{BUCKET}/{secrets.token_hex(4)}")
    for key in KEYS:
        opened.put_new(key, key.encode())
    return opened


def test_objects_come_in_the_order_of_their_keys(store: Store) -> None:
    wanted = [*reversed(KEYS), KEYS[3]]
    assert list(get_each(store, wanted)) == [(key, key.encode()) for key in wanted]
    assert list(get_each(store, [])) == []


def test_what_is_missing_is_told_in_its_turn(store: Store) -> None:
    found = get_each(store, [*KEYS[:5], "none", *KEYS[5:]])
    assert [key for key, _ in islice(found, 5)] == KEYS[:5]
    with pytest.raises(FileNotFoundError, match=r"^none$"):
        next(found)


def test_only_a_few_are_read_ahead_of_the_caller(store: Store) -> None:
    asked: list[str] = []
    found = get_each(store, (asked.append(key) or key for key in KEYS))  # type: ignore[func-returns-value]
    next(found)
    assert len(asked) <= 2 * many.REQUESTS
    found.close()


def test_late_answers_of_a_bucket_are_waited_for_together(proxy: FaultProxy) -> None:
    store = open_store(f"s3://{BUCKET}/{secrets.token_hex(4)}")
    for key in KEYS[:32]:
        store.put_new(key, b"x")
    proxy.script([Fault.SLOW_FIRST_BYTE] * 32)
    began = time.monotonic()
    assert len(list(get_each(store, KEYS[:32]))) == 32
    assert time.monotonic() - began < 32 * 0.5 / 2
