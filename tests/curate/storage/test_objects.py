"""A bucket over a network: answers that are lost, refused, late or cut, and what is said of them."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from curate.errors import Misconfigured, Unavailable
from curate.storage import Store, open_store, requests
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET, point_at

PLAIN_REFUSAL = re.compile(r"cannot (read|write|list|remove): (the object store [a-z0-9 ,]+|the object was [a-z ]+)")


@pytest.fixture
def store(proxy: FaultProxy) -> Store:
    return open_store(f"s3://{BUCKET}/{secrets.token_hex(4)}")


def test_a_lost_answer_to_a_create_ends_as_an_object_that_exists_with_these_bytes(
    store: Store, proxy: FaultProxy
) -> None:
    proxy.script([Fault.LOST_ANSWER])
    assert not store.put_new("a", b"mine")  # it is there, and who made it is not known
    assert store.get("a") == b"mine"
    assert proxy.struck[Fault.LOST_ANSWER] == 1


def test_a_lost_answer_to_a_replacement_is_repeated(store: Store, proxy: FaultProxy) -> None:
    proxy.script([Fault.LOST_ANSWER])
    store.put("view", b"new")
    assert store.get("view") == b"new"


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.PRECONDITION])
def test_a_refused_create_of_an_object_that_is_not_there_is_tried_again(
    store: Store, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.script([fault, None, fault, None])  # each followed by the question whether it is there
    assert store.put_new("a", b"mine")
    assert store.get("a") == b"mine"
    assert proxy.struck[fault] == 2


def test_a_create_that_is_refused_for_ever_without_an_object_is_no_success(
    store: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "FIRST_PAUSE_SECONDS", 0.01)
    proxy.script([Fault.CONFLICT, None] * 10)
    with pytest.raises(Unavailable, match="cannot write: other requests for this object are under way"):
        store.put_new("a", b"mine")


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.CUT])
def test_what_is_read_is_whole_whatever_happens_to_the_first_answers(
    store: Store, proxy: FaultProxy, fault: Fault
) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    store.put_new("a", content)
    proxy.script([fault, fault])
    assert store.get("a") == content
    proxy.script([fault, fault])
    assert store.get_range("a", 1_000_000, 1_000_000) == content[1_000_000:2_000_000]
    assert proxy.struck[fault] == 4


def test_timeouts_are_those_of_the_environment_and_a_late_answer_is_not_waited_for(
    store: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_READ_TIMEOUT", "500ms")
    proxy.script([Fault.SLOW_FIRST_BYTE])
    assert not store.put_new("a", b"mine")
    proxy.script([Fault.SLOW_FIRST_BYTE])
    began = time.monotonic()
    assert store.get("a") == b"mine"
    assert time.monotonic() - began < 1.4


def test_a_store_that_refuses_everything_is_unavailable_soon_and_in_plain_words(
    store: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "TRIES", 1)
    refusals = []
    for action in (
        lambda: store.get("Doe^Jane"),
        lambda: store.put_new("Doe^Jane", b"x"),
        lambda: list(store.list("Doe^Jane")),
        lambda: store.delete("Doe^Jane"),
    ):
        proxy.script([Fault.SLOW_DOWN] * 20)
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            action()
        assert time.monotonic() - began < 20
        refusals.append(str(caught.value))
    assert refusals == [f"cannot {word}: the object store answers 503" for word in ("read", "write", "list", "remove")]
    assert all(PLAIN_REFUSAL.fullmatch(text) for text in refusals)


def test_a_server_that_is_not_there_is_unavailable_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{unused.getsockname()[1]}", monkeypatch)
        monkeypatch.setattr(requests, "TRIES", 1)
        with pytest.raises(Unavailable) as caught:
            open_store(f"s3://{BUCKET}/x").get("Doe^Jane")
    assert PLAIN_REFUSAL.fullmatch(str(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_bucket_that_is_not_there_is_named(proxy: FaultProxy) -> None:
    with pytest.raises(Misconfigured, match=r"^s3://nobody-made-it/x: there is no such bucket$"):
        open_store("s3://nobody-made-it/x").put_new("a", b"")


def test_an_object_that_is_replaced_while_it_is_read_in_parts_is_not_mixed_with_the_new_one(store: Store) -> None:
    size = 6_000_000
    store.put("view", b"a" * size)
    with store.open("view") as stream:
        assert stream.read(10) == b"a" * 10
        store.put("view", b"b" * size)
        stream.seek(size // 2)
        with pytest.raises(Unavailable, match="replaced"):
            stream.read(10)


def test_more_keys_than_a_page_holds_are_listed_once_each_also_behind_faults(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"many/{n:04d}" for n in range(1100)]
    point_at(server, monkeypatch)
    store = open_store(f"s3://{BUCKET}/{secrets.token_hex(4)}")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put_new(key, b""), keys))
    assert list(store.list("many")) == keys
    with FaultProxy(server, share=0.0) as proxy:
        point_at(proxy.url, monkeypatch)
        proxy.script([None, Fault.CUT, Fault.SLOW_DOWN, Fault.CUT, Fault.CUT])  # all of them to the second page
        assert list(store.list("many")) == keys
        assert proxy.struck == {Fault.CUT: 3, Fault.SLOW_DOWN: 1}


def test_an_archive_that_is_opened_reads_large_parts_in_few_requests(store: Store, proxy: FaultProxy) -> None:
    store.put_new("large", b"x" * 6_000_000)
    proxy.requests.clear()
    with store.open("large") as stream:
        assert len(stream.read()) == 6_000_000
    assert proxy.requests["GET"] <= 2
    assert proxy.requests["HEAD"] == 1


def test_a_fork_of_a_process_that_used_a_store_is_told_so_instead_of_waiting_for_ever(store: Store) -> None:
    store.put_new("a", b"x")
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store.get("a")
        except Misconfigured as error:
            os.write(writes, str(error).encode())
        finally:
            os._exit(0)
    timer = threading.Timer(20, lambda: os.kill(child, 9))
    timer.start()
    os.waitpid(child, 0)
    timer.cancel()
    os.close(writes)
    with os.fdopen(reads, "rb") as said:
        assert b"fork" in said.read()


def test_an_environment_that_says_too_little_is_refused_by_the_names_of_its_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(Misconfigured, match=r"az://container: .*AZURE_"):
        open_store("az://container/prefix").get("a")
