"""``python -m tests.bench.volumes.end_to_end``: a folder of DICOM files -> an oriented volume of 1 mm, beside peers.

One process on one core, one thread; every tool reads the same cached files round by round in turn and its best CPU
time counts, that of its children included. dcm2niix converts plainly, without orienting or resampling. Peak memory and
two processes side by side are measured in fresh processes. ``pip install SimpleITK torchio monai itk dcm2niix`` for the
peers; the missing are named.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import JPEGLosslessSV1
from scipy import ndimage

from curate.compiled import warm_up
from curate.dicom import Volume, read_series
from curate.geometry import orient, resample
from tests.support.dicom_files import compress, write_stack

SPACING = (1.0, 1.0, 1.0)
MARKS = {  # how many times faster than the peer
    "CT": {"SimpleITK": 6.0, "MONAI": 20.0, "TorchIO": 20.0, "dcm2niix (no resampling)": 2.5},
    "CT, JPEG lossless": {"SimpleITK": 3.0},
    "MR": {"SimpleITK": 5.0},
}
Tool = Callable[[Path], object]


def make_ct(slices: int) -> NDArray[np.uint16]:
    """Stored values, HU + 1024: a body with a spine and noise as smooth as a kernel makes it (slices, 512, 512)."""
    random = np.random.default_rng(0)
    j, i = np.mgrid[-1:1:512j, -1:1:512j]
    noise = [40 * ndimage.gaussian_filter(random.standard_normal(j.shape), 0.8) for _ in range(8)]
    volume = np.empty((slices, *j.shape), np.uint16)
    for k in range(slices):
        body = (i / (0.75 + 0.1 * math.sin(k / 50))) ** 2 + (j / 0.55) ** 2 < 1
        plane = np.where(body, 40.0, -1000.0)
        plane[(i / 0.16) ** 2 + ((j - 0.15) / 0.13) ** 2 < 1] = 350 + 250 * math.sin(k / 8)
        plane[(i / 0.1) ** 2 + ((j + 0.25) / 0.08) ** 2 < 1] = -950
        plane = ndimage.gaussian_filter(plane, 0.7) + np.roll(noise[k % 8], 37 * k, 0) * np.where(body, 1.0, 0.35)
        volume[k] = np.clip(np.rint(plane), -1024, 3071) + 1024
    return volume


def make_mr(slices: int) -> NDArray[np.uint16]:
    """Smooth structures under noise (slices, 448, 448)."""
    random = np.random.default_rng(3)
    j, i = np.mgrid[0:448, 0:448].astype(np.float64)
    fade = np.exp(-(((i - 224) / 200) ** 4))
    planes = [(120 + 80 * np.sin(j / 30 + k / 5) + 60 * np.cos(i / 22 - k / 7)) * fade for k in range(slices)]
    noise = [20 * ndimage.gaussian_filter(random.standard_normal(j.shape), 0.6) for _ in range(slices)]
    return np.clip(np.rint(3 * np.abs(np.stack(planes) + np.stack(noise))), 0, 4095).astype(np.uint16)


def make_data(root: Path, slices: int) -> dict[str, Path]:
    """Write what is not there yet -> folders by name."""
    folders = {"CT": root / "ct", "CT, JPEG lossless": root / "ct_jpeg", "MR": root / "mr"}
    if not folders["CT"].exists():
        shared: dict[str, Any] = {"BitsStored": 12, "PixelSpacing": [0.45, 0.45], "SliceThickness": 0.8}
        places = [[-115.2, -115.2, round(-100 + 0.8 * k, 4)] for k in range(slices)]
        write_stack(folders["CT"], make_ct(slices), places, **shared)
    if not folders["CT, JPEG lossless"].exists():
        folders["CT, JPEG lossless"].mkdir()
        with tempfile.TemporaryDirectory() as name:
            for path in sorted(folders["CT"].iterdir()):
                packed = compress(path.read_bytes(), JPEGLosslessSV1, Path(name))
                (folders["CT, JPEG lossless"] / path.name).write_bytes(packed)
    if not folders["MR"].exists():
        shared = {"BitsStored": 12, "PixelSpacing": [0.625, 0.625], "SliceThickness": 4.0}
        shared["ImageOrientationPatient"] = [0, 1, 0, 0, 0, -1]
        places = [[-42.75 + 4.5 * k, -140, 140] for k in range(20)]
        write_stack(folders["MR"], make_mr(20), places, modality="MR", **shared)
    return folders


def ours(folder: Path) -> Volume:
    (volume,) = read_series(folder, spacing_mm=SPACING, orientation="radiological", antialias=False)
    return volume


def ours_antialiased(folder: Path) -> Volume:
    (volume,) = read_series(folder, spacing_mm=SPACING, orientation="radiological")
    return volume


def with_sitk(folder: Path) -> object:
    import SimpleITK as sitk

    sitk_threads(1)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = sitk.DICOMOrient(reader.Execute(), "RAS")
    size = [max(1, round(n * s / t)) for n, s, t in zip(image.GetSize(), image.GetSpacing(), SPACING, strict=True)]
    still, kind, air = sitk.Transform(), image.GetPixelID(), -1024.0 if "ct" in folder.name else 0.0
    return sitk.Resample(
        image, size, still, sitk.sitkLinear, image.GetOrigin(), SPACING, image.GetDirection(), air, kind
    )


def sitk_threads(count: int) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


def with_monai(folder: Path) -> object:
    import torch
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation, Spacing

    torch.set_num_threads(1)
    load = LoadImage(reader="ITKReader" if has("itk") else "PydicomReader")
    steps = [load, EnsureChannelFirst(channel_dim="no_channel"), Orientation("RAS"), Spacing(SPACING, mode="bilinear")]
    return Compose(steps)(str(folder))


def with_torchio(folder: Path) -> object:
    import torch
    import torchio

    torch.set_num_threads(1)
    sitk_threads(1)
    turn = torchio.Compose([torchio.ToCanonical(), torchio.Resample(SPACING)])
    return turn(torchio.ScalarImage(folder)).data


def with_dcm2niix(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as out:
        command = ["dcm2niix", "-z", "n", "-b", "n", "-f", "out", "-o", out, str(folder)]
        subprocess.run(command, check=True, capture_output=True)


def has(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


def tools() -> dict[str, Tool]:
    found: dict[str, Tool] = {"ours": ours, "ours, antialiased": ours_antialiased}
    peers: dict[str, tuple[bool, Tool]] = {
        "SimpleITK": (has("SimpleITK"), with_sitk),
        "MONAI": (has("torch", "monai"), with_monai),
        "TorchIO": (has("torch", "torchio"), with_torchio),
        "dcm2niix (no resampling)": (shutil.which("dcm2niix") is not None, with_dcm2niix),
    }
    missing = ", ".join(name for name, (is_there, _) in peers.items() if not is_there)
    print(f"not installed, left out: {missing or 'none'}")
    return found | {name: tool for name, (is_there, tool) in peers.items() if is_there}


def cpu_seconds() -> float:
    """Of this process and of the children it waited for."""
    own, children = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own + children.ru_utime + children.ru_stime


def measure(folder: Path, chosen: Mapping[str, Tool], rounds: int) -> dict[str, float]:
    """Seconds of CPU by tool, best of the rounds after one that does not count; slow tools run twice."""
    best = dict.fromkeys(chosen, math.inf)
    for turn in range(rounds + 1):
        names = list(chosen)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # none always runs after the same one
            call = chosen[name]
            if name not in best or (turn > 2 and best[name] > 5):
                continue
            started = cpu_seconds()
            try:
                call(folder)
            except subprocess.CalledProcessError:
                print(f"{name} does not read these files: left out")
                del best[name]
                continue
            if turn:
                best[name] = min(best[name], cpu_seconds() - started)
    return best


def print_table(kind: str, best: Mapping[str, float]) -> None:
    print(f"\n{kind}: folder -> oriented volume of 1 mm, CPU seconds, one core")
    for name, seconds in best.items():
        mark = MARKS[kind].get(name)
        wanted = "" if mark is None else f"   {mark:g} wanted"
        print(f"  {name:28s}{seconds:9.3f} s {seconds / best['ours']:8.2f} x{wanted}", flush=True)


def print_parts(folder: Path, rounds: int) -> None:
    """The fused call beside its parts, each timed by itself: read and assemble, turn and resample."""
    acquired = [0.0]

    def read(folder: Path) -> None:
        acquired[0] = read_series(folder)  # type: ignore[assignment]

    def turn(_: Path) -> None:
        (volume,) = acquired[0]  # type: ignore[misc]
        resample(*orient(volume.array, volume.grid), SPACING, antialias=False)

    best = measure(folder, {"ours": ours, "read": read, "turn and resample": turn}, rounds)
    parts = best["read"] + best["turn and resample"]
    print(f"\nfused {best['ours']:.3f} s, parts {best['read']:.3f} + {best['turn and resample']:.3f} s: ", end="")
    print(f"{best['ours'] / parts:.2f} of their sum   at most 1.25 wanted")


def print_memory(folder: Path) -> None:
    """Peak of a fresh process, beside what the mark allows: input pixels x 1.6 + output + 200 MB."""
    used, pixels, output = run_fresh(folder, 1)[0][1:]
    allowed = 1.6 * pixels + output + 200e6
    print(f"peak memory {used / 1e6:.0f} MB for {pixels / 1e6:.0f} MB of pixels and {output / 1e6:.0f} MB out", end="")
    print(f"   at most {allowed / 1e6:.0f} MB wanted")


def print_processes(folder: Path) -> None:
    """Volumes per second of CPU time in one process and in two at once: what sharing memory and caches costs."""
    ((one, *_),) = run_fresh(folder, 12)
    two = max(seconds for seconds, *_ in run_fresh(folder, 12, processes=2))
    print(f"two processes do {2 * one / two:.2f} x the work of one, by CPU time   1.8 wanted")


def run_fresh(folder: Path, times: int, processes: int = 1) -> list[list[float]]:
    """What ``work_alone`` prints, in processes of their own at the same time."""
    command = [sys.executable, "-m", "tests.bench.volumes.end_to_end", "--alone", str(folder), str(times)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return [[float(word) for word in each.communicate()[0].split()] for each in running]


def work_alone(folder: Path, times: int) -> None:
    """Print seconds of CPU time after a first call, peak bytes, bytes of pixels read, bytes of the volume."""
    volume = ours(folder)
    started = time.process_time()
    for _ in range(times - 1):
        ours(folder)
    seconds = time.process_time() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = math.prod(volume.stack.placement.shape) * volume.array.itemsize
    print(seconds, peak, pixels, volume.array.nbytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--data", type=Path, help="folder that keeps the files; made when it is not there")
    parser.add_argument("--kinds", nargs="+", default=list(MARKS), choices=list(MARKS))
    parser.add_argument("--alone", nargs=2, metavar=("FOLDER", "TIMES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        work_alone(Path(options.alone[0]), int(options.alone[1]))
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        root = options.data or Path(name)
        root.mkdir(parents=True, exist_ok=True)
        folders = make_data(root, options.slices)
        print_memory(folders["CT"])
        print_processes(folders["CT"])
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        warm_up()
        chosen = tools()
        print_parts(folders["CT"], options.rounds)
        for kind in options.kinds:
            print_table(kind, measure(folders[kind], chosen, options.rounds))


if __name__ == "__main__":
    main()
