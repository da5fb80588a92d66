"""``python -m tests.bench.deid.speed``: CPU time per file beside plain pydicom and the tools that pip can install.

All run in one process on the same files in memory, round by round in turn, and the median round counts. 100% is
pydicom's dcmread and save_as, which de-identifies nothing. ``pip install dicom-anonymizer dicognito deid`` for the
peers; those that are missing are left out and named.
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
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.leaks import LeakScanner, check_header
from tests.bench.deid.midib_archive import make_archive
from tests.support.deid_files import encode, item, make_ct

KEY = bytes(range(5, 37))
Tool = Callable[[bytes], object]


def make_files(kind: str, count: int) -> list[bytes]:
    """``ct512``: CT slices of 512 x 512 with about 90 attributes; ``mixed``: small CT and MR files."""
    if kind == "mixed":
        wanted = ("CT_small", "phantom", "enhanced")  # none that asks for text detection
        sources = make_archive(patients=max(1, count // 12), pixels=False).sources
        return [source.raw for source in sources if source.base.startswith(wanted)][:count]
    noise = np.random.default_rng(1).integers(0, 4096, 512 * 512, dtype="<u2")
    files = []
    for number in range(count):
        dataset = make_ct(Rows=512, Columns=512, InstanceNumber=str(number), PixelData=np.roll(noise, number).tobytes())
        dataset["PixelData"].VR = "OW"
        dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.9.7777.33.{number}"
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
        files.append(encode(dataset, ExplicitVRLittleEndian))
    return files


def tools(profile: str, folder: Path) -> Iterator[tuple[str, Tool]]:
    """Name and call of everything that is compared; each takes a file's bytes and makes the new file's bytes."""
    yield "pydicom dcmread + save_as", _rewrite
    chosen, key = load_profile(profile), Keyed(KEY)
    yield f"curate.deid {profile}", lambda raw: deidentify_bytes(raw, chosen, key).content

    def verified(raw: bytes) -> object:
        done = deidentify_bytes(raw, chosen, key)
        assert not check_header(done.content, chosen)
        return LeakScanner(done.identifiers).scan(done.content)

    yield f"curate.deid {profile}, re-read and leak scan", verified
    for name, make in (("dicom-anonymizer", _dicom_anonymizer), ("dicognito", _dicognito), ("deid", _deid)):
        try:
            yield name, make(folder)
        except ImportError:
            print(f"{name}: not installed")


def _rewrite(raw: bytes) -> bytes:
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
    """CPU milliseconds a file: median of the rounds, which take the tools in turn."""
    spent: dict[str, list[float]] = {name: [] for name, _ in compared}
    for number in range(rounds + 1):
        for name, tool in compared:
            started = time.process_time()
            for raw in files:
                tool(raw)
            if number:  # the first round warms up
                spent[name].append((time.process_time() - started) / len(files) * 1000)
    return {name: statistics.median(times) for name, times in spent.items()}


def _work(task: tuple[str, int, str]) -> None:
    """One worker's share, many times over, so that starting does not count."""
    kind, repeats, profile = task
    files, chosen, key = make_files(kind, 20), load_profile(profile), Keyed(KEY)
    deidentify_bytes(files[0], chosen, key)
    _GATE.wait()
    for _ in range(repeats):
        for raw in files:
            deidentify_bytes(raw, chosen, key)


def _hold(gate: object) -> None:
    global _GATE
    _GATE = gate  # type: ignore[assignment]


def scaling(kind: str, profile: str, *, repeats: int) -> float:
    """Files a second with two processes over files a second with one, each process on its own share."""
    seconds = []
    context = multiprocessing.get_context("spawn")
    for processes in (1, 2):
        gate = context.Barrier(processes + 1)
        with context.Pool(processes, initializer=_hold, initargs=(gate,)) as pool:
            done = pool.map_async(_work, [(kind, repeats, profile)] * processes, chunksize=1)
            gate.wait()
            started = time.perf_counter()
            done.wait()
            seconds.append(time.perf_counter() - started)
            done.get()
    return 2 * seconds[0] / seconds[1]


def _spin(count: int) -> int:
    return sum(number * number for number in range(count))


def scaling_of_the_machine() -> float:
    """The same for plain arithmetic: what two processes can reach here and now, with whatever else is running."""
    seconds = []
    for processes in (1, 2):
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.map(_spin, [1000] * processes, chunksize=1)
            started = time.perf_counter()
            pool.map(_spin, [10_000_000] * processes, chunksize=1)
            seconds.append(time.perf_counter() - started)
    return 2 * seconds[0] / seconds[1]


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
            times = measure(files, compared, rounds=arguments.rounds)
            plain = times["pydicom dcmread + save_as"]
            print(f"\n{kind}: {len(files)} files, {sum(map(len, files)) / len(files) / 1024:.0f} KiB each")
            for name, milliseconds in times.items():
                print(f"{name:48}{milliseconds:>8.2f} ms{plain / milliseconds:>7.2f} x")
    if arguments.scaling:
        print(f"\ntwo processes over one: {scaling('ct512', arguments.profile, repeats=20):.2f} x")
        print(f"the same for plain arithmetic: {scaling_of_the_machine():.2f} x")


_GATE: multiprocessing.synchronize.Barrier

if __name__ == "__main__":
    main()
