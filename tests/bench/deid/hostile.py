"""The hostile corpus: files made to get a name past a de-identifier, run through it, every string counted.

``python -m tests.bench.deid.hostile [--profile mira] [--verbose]`` prints, per failure class, files, strings planted
and strings left; then every string that was left, every harmless word that was lost, and every good file refused.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from curate.deid import Keyed, Profile, deidentify_bytes, load_profile
from curate.errors import CurateError
from tests.bench.deid.hostile_frames import frame_cases
from tests.bench.deid.hostile_headers import header_cases
from tests.bench.deid.hostile_objects import object_cases
from tests.bench.deid.hostile_pixels import BURNED, pixel_cases
from tests.bench.deid.letters import ink, is_seen
from tests.bench.deid.plants import Case, Plant, survives

KEY = bytes(range(7, 39))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one case. Only a bench may show these strings: they are its own inventions."""

    case: Case
    fate: str  # "cleaned", "refused (reason)" or "crashed (type)"
    left: tuple[Plant, ...] = ()
    lost: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_surprise(self) -> bool:
        """Whether a file that should pass was refused, or the other way round."""
        return self.case.outcome != "either" and not self.fate.startswith(self.case.outcome)


@cache
def cases() -> tuple[Case, ...]:
    """All hostile files, always the same bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that values break the standard is their point
        return (*frame_cases(), *header_cases(), *pixel_cases(), *object_cases())


def run(case: Case, profile: Profile) -> Result:
    """De-identify one case and look for everything planted, also in messages and in the audit."""
    started = time.process_time()
    try:
        done = deidentify_bytes(case.raw, profile, Keyed(KEY), site="site-h")
    except CurateError as error:
        said = f"{error} {error!r}".encode()
        left = tuple(plant for plant in case.plants if survives(said, plant.text))
        reason = getattr(error, "reason", type(error).__name__)
        return Result(case, f"refused ({reason})", left, seconds=time.process_time() - started)
    except Exception as error:  # noqa: BLE001 - a bench counts every crash
        return Result(case, f"crashed ({type(error).__name__})", seconds=time.process_time() - started)
    seconds = time.process_time() - started
    said = repr(done.audit.record()).encode()
    left = [plant for plant in case.plants if survives(done.content, plant.text) or survives(said, plant.text)]
    lost = tuple(words for words in case.keeps if not survives(done.content, words))
    faults = list(_faults(case, done.content))
    left += [Plant(BURNED, f"pixels of frame {box.frame}") for box in _seen(case, done.content)]
    return Result(case, "cleaned", tuple(left), lost, tuple(faults), seconds)


def _faults(case: Case, content: bytes) -> Iterable[str]:
    """Other ways to be wrong: unreadable output, changed pixels, letters in unused bits."""
    try:
        after = pydicom.dcmread(BytesIO(content))
    except Exception as error:  # noqa: BLE001 - any of them means that others cannot read it
        yield f"output unreadable ({type(error).__name__})"
        return
    if "PixelData" not in after or case.boxes:
        return
    pixels = _decode(content)
    if pixels is None:
        if _decode(case.raw) is not None:
            yield "pixels no longer decode"
        return
    unused = after.BitsAllocated - after.BitsStored
    if unused and not after.PixelRepresentation and int(pixels.max()) >> after.BitsStored:
        yield "unused bits are not zero"
    before = _decode(case.raw)
    if case.intact and before is not None and before.shape == pixels.shape:
        mask = (1 << after.BitsStored) - 1
        if not np.array_equal(before.astype("i8") & mask, pixels.astype("i8") & mask):
            yield "pixels changed"


def _seen(case: Case, content: bytes) -> Iterable[object]:
    if not case.boxes:
        return []
    pixels = _decode(content)
    if pixels is None:
        return list(case.boxes)
    return [box for box in case.boxes if is_seen(pixels, box, ink(BURNED))]


def _decode(content: bytes) -> NDArray[np.generic] | None:
    """Pixels as (frame, row, column[, sample]); None when no decoder reads them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BytesIO(content), force=True)
            array = dataset.pixel_array
    except Exception:  # noqa: BLE001 - decoders raise whatever they like
        return None
    samples = int(dataset.get("SamplesPerPixel", 1))
    return array.reshape(-1, dataset.Rows, dataset.Columns, *((samples,) if samples > 1 else ()))


def score(profile: Profile) -> list[Result]:
    """Every case in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [run(case, profile) for case in cases()]


def print_report(results: list[Result], *, verbose: bool) -> None:
    """Tables on standard output."""
    planted, left = Counter[str](), Counter[str]()
    files = Counter(result.case.failure for result in results)
    for result in results:
        planted[result.case.failure] += len(result.case.plants) + len(result.case.boxes)
        left[result.case.failure] += len(result.left)
    print(f"{'failure class':40}{'files':>6}{'planted':>9}{'left':>6}")
    for failure in sorted(files):
        print(f"{failure:40}{files[failure]:>6}{planted[failure]:>9}{left[failure]:>6}")
    print(f"{'all':40}{len(results):>6}{planted.total():>9}{left.total():>6}")
    outside = [(result, plant) for result in results for plant in result.case.plants if not plant.listed]
    kept = sum(plant in result.left for result, plant in outside)
    print(f"identifying text outside the table: {kept} of {len(outside)} left")
    fates = Counter(result.fate.split(" ")[0] for result in results)
    print(f"files: {', '.join(f'{count} {fate}' for fate, count in sorted(fates.items()))}")
    for result in results:
        for plant in result.left:
            print(f"LEFT       {result.case.name}: {plant.text!r} at {plant.where}")
        for words in result.lost:
            print(f"LOST       {result.case.name}: {words!r}")
        for fault in result.faults:
            print(f"FAULT      {result.case.name}: {fault}")
        if result.is_surprise:
            print(f"SURPRISE   {result.case.name}: {result.fate}, expected {result.case.outcome}")
        if verbose:
            print(f"           {result.case.name}: {result.fate}, {result.seconds * 1000:.1f} ms")


def main() -> None:
    """Read arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="mira")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    print_report(score(load_profile(arguments.profile)), verbose=arguments.verbose)


if __name__ == "__main__":
    main()
