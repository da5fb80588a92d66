"""``python -m tests.bench.volumes.decode``: decoding one 512 x 512 CT slice in each transfer syntax, beside the peers.

CPU time from the bytes of a file to stored values, best of several runs of five slices, all in one process and in turn;
MB/s of decoded pixels, and ours as a multiple of each peer. Every tool's pixels are compared with what was encoded:
``!`` marks those that differ. Peers: dicomsdl, pydicom with GDCM, with pylibjpeg and by itself; those that are missing
are left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from curate.compiled import warm_up
from curate.dicom import decode_slice
from tests.curate.dicom.codestreams import encoded
from tests.support.dicom_files import compress, make_file

RUN = 5  # slices, as those of a series follow each other
SYNTAXES = {
    "native": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "HTJ2K": HTJ2KLossless,
}


def make_slice(size: int = 512) -> NDArray[np.uint16]:
    """A body of soft tissue with a vertebra in air, smooth noise of a reconstruction kernel, 12 bits."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    body = (x / 0.4) ** 2 + (y / 0.3) ** 2 < 1
    bone = 1000 * np.exp(-((x / 0.06) ** 2 + ((y - 0.14) / 0.06) ** 2))
    noise = np.random.default_rng(0).normal(0, 1, (size + 2, size + 2))
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in (0, 1):
        noise = np.apply_along_axis(np.convolve, axis, noise, kernel, "same")
    noise = noise[1:-1, 1:-1] / noise.std()
    hounsfield = np.where(body, 40 + bone, -1000) + noise * np.where(body, 20, 8)
    return np.clip(np.rint(hounsfield) + 1024, 0, 4095).astype(np.uint16)


def make_files(pixels: NDArray[np.uint16]) -> dict[str, bytes]:
    """The slice in every transfer syntax, by encoders that are not ours."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, syntax in SYNTAXES.items():
            if name in ("native", "deflated"):
                files[name] = make_file(pixels, syntax=syntax, BitsStored=12)
            elif name == "HTJ2K":
                files[name] = encoded(pixels, syntax, BitsStored=12)
            else:
                files[name] = compress(make_file(pixels, BitsStored=12), syntax, Path(folder))
    return files


def peers() -> dict[str, Callable[[bytes], NDArray[Any]]]:
    """The tools that are installed, by name; the names of the others are printed."""
    found: dict[str, Callable[[bytes], NDArray[Any]]] = {}
    if importlib.util.find_spec("dicomsdl"):
        dicomsdl = importlib.import_module("dicomsdl")
        found["dicomsdl"] = lambda raw: dicomsdl.open_memory(raw).pixelData(storedvalue=True)
    else:
        print("dicomsdl is not installed: left out")
    for plugin, module in (("gdcm", "gdcm"), ("pylibjpeg", "pylibjpeg"), ("pydicom", "pydicom")):
        if importlib.util.find_spec(module):
            found[f"pydicom+{plugin}"] = lambda raw, plugin=plugin: pixel_array(  # type: ignore[misc]
                BytesIO(raw), decoding_plugin=plugin
            )
        else:
            print(f"{module} is not installed: left out")
    return found


def measure(
    files: dict[str, bytes], pixels: NDArray[np.uint16], rounds: int
) -> dict[tuple[str, str], tuple[float, bool]]:
    """(MB/s, whether the pixels are right) by tool and transfer syntax; tools take turns, round by round."""
    tools = {"ours": lambda raw: decode_slice(raw).pixels, **peers()}
    best: dict[tuple[str, str], tuple[float, bool]] = {}
    for kind, raw in files.items():
        able = {}
        for tool, decode in tools.items():
            try:
                best[tool, kind] = (0.0, bool(np.array_equal(np.squeeze(decode(raw)), pixels)))
                able[tool] = decode
            except Exception as error:
                if tool == "ours":
                    raise error
        for _ in range(rounds):
            for tool, decode in able.items():
                decode(raw)  # what another tool left in the caches is not this one's cost
                started = time.process_time_ns()
                for _ in range(RUN):
                    decode(raw)
                rate = RUN * pixels.nbytes * 1e3 / max(time.process_time_ns() - started, 1)
                best[tool, kind] = (max(best[tool, kind][0], rate), best[tool, kind][1])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    warm_up()
    pixels = make_slice()
    best = measure(make_files(pixels), pixels, rounds)
    tools = list(dict.fromkeys(tool for tool, _ in best))
    print(f"{'MB/s':14s}" + "".join(f"{tool:>24s}" for tool in tools))
    for kind in SYNTAXES:
        cells = []
        for tool in tools:
            rate, is_right = best.get((tool, kind), (0.0, True))
            ratio = "" if tool == "ours" or not rate else f" ({best['ours', kind][0] / rate:.2f}x)"
            cells.append(f"{rate:,.0f}{'' if is_right else '!'}{ratio}" if rate else "-")
        print(f"{kind:14s}" + "".join(f"{cell:>24s}" for cell in cells))


if __name__ == "__main__":
    main()
