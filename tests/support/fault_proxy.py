"""A proxy between a client and an S3 server that does what networks and busy servers do.

    with moto_server() as server, FaultProxy(server, seed=7, share=0.3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        ...                                  # everything is right nevertheless
    assert proxy.struck[Fault.LOST_ANSWER]   # and it was not for lack of faults

What happens to a request follows from the seed, its method, its path and how often it was made, not from the order in
which threads make requests. After ``in_a_row`` faults the same request is let through, so whoever asks again often
enough gets an answer. ``script`` sets all that aside: the next requests suffer what it lists, None is let through.
"""

from __future__ import annotations

import http.client
import random
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


class Fault(StrEnum):
    """What may happen to a request."""

    SLOW_DOWN = "answered 503 SlowDown, not carried out"
    SLOW_FIRST_BYTE = "carried out, answered late"
    CUT = "carried out, the connection cut in the middle of the answer"
    LOST_ANSWER = "carried out, the connection closed without an answer"
    CONFLICT = "a conditional write answered 409, not carried out"
    PRECONDITION = "a conditional write answered 412, not carried out"


_WRITES = frozenset({"PUT", "POST", "DELETE"})
_REFUSALS = {
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.PRECONDITION: (412, "PreconditionFailed"),
}


class FaultProxy:
    """A context manager: listens on a free port of the loopback interface while it is open.

    ``upstream``: the server's URL. ``share``: of requests that suffer a fault, 0 to 1. ``faults``: which.
    ``slow_seconds``: how late a late answer is. ``url``: where to send requests. ``struck``: how often each fault
    happened; ``requests``: how often each method was used. ``share`` and ``faults`` may be changed while it runs.
    """

    def __init__(
        self,
        upstream: str,
        *,
        seed: int = 0,
        share: float = 0.2,
        faults: Collection[Fault] = tuple(Fault),
        in_a_row: int = 2,
        slow_seconds: float = 0.2,
    ) -> None:
        self.share = share
        self.faults = tuple(faults)
        self.struck: Counter[Fault] = Counter()
        self.requests: Counter[str] = Counter()
        self._upstream = urlsplit(upstream).netloc
        self._seed = seed
        self._in_a_row = in_a_row
        self._slow_seconds = slow_seconds
        self._script: deque[Fault | None] = deque()
        self._made: Counter[str] = Counter()  # by request
        self._suffered: defaultdict[str, int] = defaultdict(int)  # in a row, by request
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, faults: Iterable[Fault | None]) -> None:
        """What the next requests suffer, in their order; after them the seed decides again."""
        with self._lock:
            self._script = deque(faults)

    def choose(self, method: str, path: str, *, is_conditional: bool) -> Fault | None:
        """What this request suffers."""
        request = f"{method} {path}"
        with self._lock:
            self.requests[method] += 1
            self._made[request] += 1
            fault = self._script.popleft() if self._script else self._draw(request, is_conditional)
            self._suffered[request] = 0 if fault is None else self._suffered[request] + 1
            if fault is not None:
                self.struck[fault] += 1
            return fault

    def _draw(self, request: str, is_conditional: bool) -> Fault | None:
        drawn = random.Random(f"{self._seed} {request} {self._made[request]}")
        if self._suffered[request] >= self._in_a_row or drawn.random() >= self.share:
            return None
        unfit = set() if is_conditional else {Fault.CONFLICT, Fault.PRECONDITION}
        unfit |= {Fault.CUT} if request.split()[0] in _WRITES else {Fault.LOST_ANSWER}
        fit = [fault for fault in self.faults if fault not in unfit]
        return drawn.choice(fit) if fit else None

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client's idle connection would hold the end up
    proxy: FaultProxy

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that did not wait for a late answer
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _pass_on(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_conditional = self.command == "PUT" and "If-None-Match" in self.headers
        fault = proxy.choose(self.command, self.path, is_conditional=is_conditional)
        if fault in _REFUSALS:
            status, code = _REFUSALS[fault]
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode(), {"Content-Type": "application/xml"})
            return
        status, headers, answer = self._ask_upstream(body)
        if fault is Fault.SLOW_FIRST_BYTE:
            time.sleep(proxy._slow_seconds)
        if fault is Fault.LOST_ANSWER or (fault is Fault.CUT and len(answer) < 2):
            self.close_connection = True
            return
        self._answer(status, answer, headers, cut=fault is Fault.CUT)

    def _ask_upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.proxy._upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.putheader("Connection", "close")
            connection.endheaders(body or None)
            response = connection.getresponse()
            skipped = ("connection", "content-length", "transfer-encoding", "server", "date")
            headers = {name: value for name, value in response.getheaders() if name.lower() not in skipped}
            if self.command == "HEAD":
                headers["Content-Length"] = response.getheader("Content-Length") or "0"
            return response.status, headers, response.read()
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    do_GET: Callable[[], None]
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
