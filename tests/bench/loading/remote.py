"""``python -m tests.bench.loading.remote``: crops of a volume in a bucket where every request takes 20 ms.

The server is one of this file's, in a process of its own: it answers GET and HEAD of an S3 path with ranges from a
folder, after a delay. (moto answers ranges too, but reads the whole object for each.) The index is warm: one small crop
is read before. ``pip install tensorstore`` for the peer.
"""

from __future__ import annotations

import argparse
import http.server
import importlib.util
import itertools
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np

from curate.volumes import open_volume
from tests.bench.loading.crops import boxes
from tests.bench.loading.made import CT_SHAPE, write_arrays
from tests.bench.loading.peers import OURS, Box, places

BUCKET = "bench"


def serve(folder: str, port: Any, requests: Any, delay_s: float) -> None:
    """Until killed. ``port`` is set once it listens; ``requests`` counts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with requests.get_lock():
                requests.value += 1
            time.sleep(delay_s)
            path = Path(folder) / self.path.partition("?")[0].removeprefix(f"/{BUCKET}/")
            if not path.is_file():
                self._answer(404, b"", {})
                return
            size, wanted = path.stat().st_size, re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            first, last = 0, size - 1
            if wanted:
                first = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
                last = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
            with path.open("rb") as stream:
                content = os.pread(stream.fileno(), last - first + 1, first)
            place = {"Content-Range": f"bytes {first}-{last}/{size}"} if wanted else {}
            self._answer(206 if wanted else 200, content, place)

        do_HEAD = do_GET

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            fixed = {"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Accept-Ranges": "bytes"}
            for name, value in {**fixed, **headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.value = server.server_address[1]
    server.serve_forever()


def ours(url: str, size: int) -> Callable[[Box], Any]:
    volume, out = open_volume(url), np.empty((size,) * 3, np.int16)
    volume.crop((0, 0, 0), (1, 1, 1))
    return lambda box: volume.crop([part.start for part in box], out.shape, out)


def tensorstore_peer(url: str, endpoint: str) -> Callable[[Box], Any]:
    import tensorstore

    key = url.partition(f"{BUCKET}/")[2]
    store = {"driver": "http", "base_url": f"{endpoint}/{BUCKET}/{key}/0"}
    array = tensorstore.open({"driver": "zarr3", "kvstore": store}, read=True).result()
    array[0:1, 0:1, 0:1].read().result()
    return lambda box: array[box].read().result()


def measure(name: str, crop: Callable[[Box], Any], wanted: list[Box], requests: Synchronized[int], truth: Any) -> None:
    times, counts = [], []
    for box in wanted:
        before, start = requests.value, time.perf_counter()
        found = crop(box)
        times.append((time.perf_counter() - start) * 1e3)
        counts.append(requests.value - before)
        np.testing.assert_array_equal(found, truth[box])
    print(
        f"{name:14s} a crop: median {np.median(times):6.1f} ms, best {min(times):6.1f} ms, "
        f"requests median {np.median(counts):.0f}, most {max(counts)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--shape", type=int, nargs=3, default=CT_SHAPE)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--crops", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="kept for the next run; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        arrays = write_arrays(folder / "npy", 1, tuple(options.shape))
        [path] = places(OURS, folder, arrays)
        spawn = multiprocessing.get_context("spawn")
        port, requests = spawn.Value("i", 0), spawn.Value("i", 0)
        server = spawn.Process(target=serve, args=(str(folder), port, requests, options.delay_ms / 1e3), daemon=True)
        server.start()
        while not port.value:
            time.sleep(0.01)
        endpoint = f"http://127.0.0.1:{port.value}"
        os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        url = f"s3://{BUCKET}/{path.relative_to(folder)}"
        truth = np.load(arrays[0], mmap_mode="r")
        wanted = list(itertools.islice(boxes(truth.shape, (options.crop,) * 3, 11), options.crops))
        before, start = requests.value, time.perf_counter()
        open_volume(url).crop((0, 0, 0), (1, 1, 1))
        took = (time.perf_counter() - start) * 1e3
        print(
            f"{options.delay_ms:.0f} ms a request; open and a first voxel: {requests.value - before} in {took:.0f} ms"
        )
        measure("ours", ours(url, options.crop), wanted, requests, truth)
        if importlib.util.find_spec("tensorstore"):
            measure("tensorstore", tensorstore_peer(url, endpoint), wanted, requests, truth)
        else:
            print("tensorstore    not installed")
        server.terminate()


if __name__ == "__main__":
    main()
