"""The proxy of faults does what it says: tests that end well behind it would else prove nothing."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET


@pytest.fixture
def proxy(server: str) -> Iterator[FaultProxy]:
    with FaultProxy(server, share=0.0, slow_seconds=0.3) as proxy:
        yield proxy


HEADERS = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=",
    "Content-Type": "application/octet-stream",
}


def ask(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, method=method, headers={**HEADERS, **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def test_without_a_fault_requests_and_answers_pass_as_they_are(proxy: FaultProxy, server: str) -> None:
    url = f"{proxy.url}/{BUCKET}/plain%20name"
    assert ask("PUT", url, b"0123456789")[0] == 200
    assert ask("GET", f"{server}/{BUCKET}/plain%20name") == (200, b"0123456789")
    assert ask("GET", url, None, Range="bytes=2-4") == (206, b"234")
    assert ask("GET", f"{proxy.url}/{BUCKET}/none")[0] == 404
    assert ask("HEAD", url) == (200, b"")
    assert proxy.requests == {"PUT": 1, "GET": 2, "HEAD": 1}
    assert proxy.struck == Counter()


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.SLOW_DOWN, 503), (Fault.CONFLICT, 409), (Fault.PRECONDITION, 412)]
)
def test_a_refused_request_is_not_carried_out(proxy: FaultProxy, server: str, fault: Fault, status: int) -> None:
    proxy.script([fault])
    assert ask("PUT", f"{proxy.url}/{BUCKET}/refused-{status}", b"x")[0] == status
    assert ask("GET", f"{server}/{BUCKET}/refused-{status}")[0] == 404
    assert proxy.struck == {fault: 1}


def test_a_lost_answer_belongs_to_a_request_that_was_carried_out(proxy: FaultProxy, server: str) -> None:
    proxy.script([Fault.LOST_ANSWER])
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask("PUT", f"{proxy.url}/{BUCKET}/lost", b"kept")
    assert ask("GET", f"{server}/{BUCKET}/lost") == (200, b"kept")


def test_a_cut_answer_has_its_length_and_half_of_its_bytes(proxy: FaultProxy) -> None:
    ask("PUT", f"{proxy.url}/{BUCKET}/long", b"0123456789" * 1000)
    proxy.script([Fault.CUT])
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask("GET", f"{proxy.url}/{BUCKET}/long")
    assert (len(caught.value.partial), caught.value.expected) == (5000, 5000)


def test_a_late_answer_is_late_and_whole(proxy: FaultProxy) -> None:
    ask("PUT", f"{proxy.url}/{BUCKET}/late", b"whole")
    proxy.script([Fault.SLOW_FIRST_BYTE])
    began = time.monotonic()
    assert ask("GET", f"{proxy.url}/{BUCKET}/late") == (200, b"whole")
    assert time.monotonic() - began >= 0.3


def test_what_happens_follows_from_the_seed_and_the_request_alone() -> None:
    def plan(seed: int, paths: list[str]) -> dict[str, list[Fault | None]]:
        proxy = FaultProxy("http://127.0.0.1:9", seed=seed, share=0.5)
        return {path: [proxy.choose("PUT", path, is_conditional=True) for _ in range(20)] for path in paths}

    assert plan(1, ["/a", "/b"]) == plan(1, ["/b", "/a"])
    assert plan(1, ["/a"]) != plan(2, ["/a"])


def test_no_request_fails_more_often_in_a_row_than_was_said_and_only_as_it_can() -> None:
    proxy = FaultProxy("http://127.0.0.1:9", share=1.0, in_a_row=3)
    suffered = [proxy.choose("GET", "/a", is_conditional=False) for _ in range(40)]
    assert [fault is None for fault in suffered] == [False, False, False, True] * 10
    assert set(suffered) - {None} == {Fault.SLOW_DOWN, Fault.SLOW_FIRST_BYTE, Fault.CUT}
    writes = {proxy.choose("PUT", f"/{n}", is_conditional=False) for n in range(100)}
    assert writes == {Fault.SLOW_DOWN, Fault.SLOW_FIRST_BYTE, Fault.LOST_ANSWER}
