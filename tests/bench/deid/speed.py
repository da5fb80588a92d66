"""``python -m tests.bench.deid.speed``: CPU time per file beside plain pydicom and the tools that pip can install.

All run in one process on the same files in memory, file by file in turn, and the median round counts; no file comes
twice. 100% is pydicom's dcmread and save_as, which de-identifies nothing. ``pip install dicom-anonymizer dicognito
deid`` for the peers; those that are missing are left out and named. ``--scaling`` compares two processes with one, by
CPU time for what each file costs and by wall time where the machine itself has two free processors.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.leaks import LeakScanner
from curate.deid.verification import check_output
from tests.bench.deid.midib_archive import make_archive
from tests.support.deid_files import encode, item, make_ct

KEY = bytes(range(5, 37))
Tool = Callable[[bytes], object]


def make_files(kind: str, count: int, *, round_number: int = 0) -> list[bytes]:
    """``ct512``: slices of one series, 512 x 512, about 90 attributes; ``mixed``: small CT and MR files of many people.

    Another round has other slices of the series, or other people.
    """
    if kind == "mixed":
        wanted = ("CT_small", "phantom", "enhanced")  # none that asks for text detection
        sources = make_archive(patients=max(1, count // 12), seed=round_number, pixels=False).sources
        return [source.raw for source in sources if source.base.startswith(wanted)][:count]
    noise = np.random.default_rng(1).integers(0, 4096, 512 * 512, dtype="<u2")
    first = round_number * count
    return [_slice(number, np.roll(noise, number)) for number in range(first, first + count)]


def _slice(number: int, pixels: NDArray[np.uint16]) -> bytes:
    dataset = make_ct(Rows=512, Columns=512, InstanceNumber=str(number), PixelData=pixels.tobytes())
    dataset["PixelData"].VR = "OW"
    dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.9.7777.33.{number}"
    dataset.ImagePositionPatient = [-10.5, -20, number * 1.25]
    dataset.SliceLocation = str(number * 1.25)
    dataset.ContentTime = f"1011{number // 60 % 60:02}.{number % 60:02}"
    dataset.ReferencedImageSequence.extend(item(ReferencedSOPInstanceUID=f"1.2.3.{n}") for n in range(3))
    for keyword in (
        "XRayTubeCurrent",
        "ExposureTime",
        "Exposure",
        "TableHeight",
        "GantryDetectorTilt",
        "WindowCenter",
        "WindowWidth",
    ):
        setattr(dataset, keyword, "100")
    return encode(dataset, ExplicitVRLittleEndian)


def tools(profile: str, folder: Path) -> Iterator[tuple[str, Tool]]:
    """Name and call of everything that is compared; each takes a file's bytes and makes the new file's bytes."""
    yield "pydicom dcmread + save_as", rewrite
    chosen, key = load_profile(profile), Keyed(KEY)
    yield f"curate.deid {profile}", lambda raw: deidentify_bytes(raw, chosen, key).content

    def verified(raw: bytes) -> object:
        done = deidentify_bytes(raw, chosen, key)
        assert not check_output(done.content, "").findings
        return LeakScanner(done.identifiers).scan(done.content)

    yield f"curate.deid {profile}, judged by the second reader and leak scan", verified
    for name, make in (("dicom-anonymizer", _dicom_anonymizer), ("dicognito", _dicognito), ("deid", _deid)):
        try:
            yield name, make(folder)
        except ImportError:
            print(f"{name}: not installed")


def rewrite(raw: bytes) -> bytes:
    """Read and write a file with pydicom, which is 100%."""
    buffer = BytesIO()
    pydicom.dcmread(BytesIO(raw)).save_as(buffer)
    return buffer.getvalue()


def _dicom_anonymizer(folder: Path) -> Tool:
    anonymize = importlib.import_module("dicomanonymizer").anonymize_dataset

    def run(raw: bytes) -> bytes:
        dataset, buffer = pydicom.dcmread(BytesIO(raw)), BytesIO()
        anonymize(dataset)
        dataset.save_as(buffer)
        return buffer.getvalue()

    return run


def _dicognito(folder: Path) -> Tool:
    anonymizer = importlib.import_module("dicognito.anonymizer").Anonymizer(seed="x")

    def run(raw: bytes) -> bytes:
        dataset, buffer = pydicom.dcmread(BytesIO(raw)), BytesIO()
        anonymizer.anonymize(dataset)
        dataset.save_as(buffer)
        return buffer.getvalue()

    return run


def _deid(folder: Path) -> Tool:
    module = importlib.import_module("deid.dicom")
    importlib.import_module("deid.logger").bot.level = 0  # or it warns once a file

    def run(raw: bytes) -> bytes:
        path, buffer = folder / "in.dcm", BytesIO()
        path.write_bytes(raw)
        with contextlib.redirect_stdout(None):
            ids = module.get_identifiers([str(path)])
            (clean,) = module.replace_identifiers(dicom_files=[str(path)], ids=ids, save=False)
        clean.save_as(buffer)
        return buffer.getvalue()

    return run


def measure(files: list[bytes], compared: list[tuple[str, Tool]], *, rounds: int) -> dict[str, float]:
    """The same files in every round, for tools that remember nothing."""
    return measure_rounds([files] * (rounds + 1), compared)


def measure_rounds(rounds: Iterable[list[bytes]], compared: list[tuple[str, Tool]]) -> dict[str, float]:
    """CPU milliseconds a file: median of the rounds. Tools take each file in turn, so that a busy moment hits them all.

    The first round warms up and does not count.
    """
    spent: dict[str, list[float]] = {name: [] for name, _ in compared}
    for files in rounds:
        sums = dict.fromkeys(spent, 0.0)
        for raw in files:
            for name, tool in compared:
                started = time.process_time()
                tool(raw)
                sums[name] += time.process_time() - started
        for name, seconds in sums.items():
            spent[name].append(seconds / len(files) * 1000)
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


class Scaling(NamedTuple):
    """Two processes over one. Perfect is 2."""

    by_cpu: float  # work per second of processor time: what sharing memory, caches and locks costs
    by_wall: float  # work per second, with whatever else runs on the machine
    of_the_machine: float  # the same by the wall for plain arithmetic: what can be reached here and now


ENOUGH_OF_THE_MACHINE = 1.8
"""Below it other jobs hold the processors, and the wall says nothing about this program."""


def _work(task: tuple[str, int, str]) -> tuple[float, float, float]:
    """One worker's share, many times over, so that starting does not count: CPU seconds, and begin and end by a clock
    that all processes share.
    """
    kind, repeats, profile = task
    files, chosen, key = make_files(kind, 20), load_profile(profile), Keyed(KEY)
    deidentify_bytes(files[0], chosen, key)
    _GATE.wait()
    began, started = time.monotonic(), time.process_time()
    for _ in range(repeats):
        for raw in files:
            deidentify_bytes(raw, chosen, key)
    return time.process_time() - started, began, time.monotonic()


def _spin(count: int) -> tuple[float, float, float]:
    """As much of nothing."""
    _GATE.wait()
    began, started = time.monotonic(), time.process_time()
    sum(number * number for number in range(count))
    return time.process_time() - started, began, time.monotonic()


def _hold(gate: object) -> None:
    global _GATE
    _GATE = gate  # type: ignore[assignment]


def _in_processes(
    work: Callable[[Any], tuple[float, float, float]], task: object, processes: int
) -> tuple[float, float]:
    """CPU seconds of a worker, and seconds from the first beginning to the last end; each has a share of its own."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(processes)
    with context.Pool(processes, initializer=_hold, initargs=(gate,)) as pool:
        done = pool.map(work, [task] * processes, chunksize=1)
    cpu = sum(seconds for seconds, _, _ in done) / processes
    return cpu, max(end for _, _, end in done) - min(began for _, began, _ in done)


def scaling(kind: str, profile: str, *, repeats: int, spins: int = 10_000_000) -> Scaling:
    """Files a second with two processes over files a second with one."""
    one, two = (_in_processes(_work, (kind, repeats, profile), processes) for processes in (1, 2))
    machine = [_in_processes(_spin, spins, processes)[1] for processes in (1, 2)]
    return Scaling(2 * one[0] / two[0], 2 * one[1] / two[1], 2 * machine[0] / machine[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", default="mira")
    parser.add_argument("--scaling", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        compared = list(tools(arguments.profile, Path(folder)))
        for kind in ("ct512", "mixed"):
            files = make_files(kind, arguments.files)
            numbers = range(arguments.rounds + 1)
            rounds = (make_files(kind, arguments.files, round_number=number) for number in numbers)
            times = measure_rounds(rounds, compared)
            plain = times["pydicom dcmread + save_as"]
            print(f"\n{kind}: {len(files)} files, {sum(map(len, files)) / len(files) / 1024:.0f} KiB each")
            for name, milliseconds in times.items():
                print(f"{name:48}{milliseconds:>8.2f} ms{plain / milliseconds:>7.2f} x")
    if arguments.scaling:
        print_scaling(scaling("ct512", arguments.profile, repeats=20))


def print_scaling(found: Scaling) -> None:
    """Both ratios, and whether the second says anything."""
    print(f"\ntwo processes over one, by CPU time: {found.by_cpu:.2f} x")
    print(f"two processes over one, by the wall: {found.by_wall:.2f} x")
    is_free = found.of_the_machine >= ENOUGH_OF_THE_MACHINE
    print(f"plain arithmetic, by the wall: {found.of_the_machine:.2f} x" + ("" if is_free else ": other jobs disturb"))


_GATE: multiprocessing.synchronize.Barrier

if __name__ == "__main__":
    main()
