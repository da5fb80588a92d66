"""``python -m tests.bench.volumes.fuzz [--cases 200000]``: mutated files through the header scan and every decoder.

Each case is made of its number alone, so that a failure can be repeated by ``--first``. Looked for: a crash, an
exception other than ``Rejected``, a case that takes too long, a row of the compiled scanner that differs from
pydicom's, and pixels that differ from those of another decoder where both accept the stream (RLE: pydicom, JPEG
lossless: libjpeg-turbo). What has frames or tiles goes on to the volume: each must hold exactly the pixels that its
description names. ``--bounds`` compiles the kernels with NUMBA_BOUNDSCHECK=1, so that an index outside an array
raises.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

CASES, BATCH = 200_000, 500
LONGEST_SECONDS, MEMORY_BYTES = 5.0, 6 * 2**30
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@lru_cache
def corpus() -> list[bytes]:
    """Small whole files of every transfer syntax, and the shapes that break readers."""
    import numpy as np
    from pydicom.dataset import Dataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        HTJ2KLossless,
        ImplicitVRLittleEndian,
        JPEG2000Lossless,
        JPEGLossless,
        JPEGLSLossless,
        RLELossless,
    )

    from tests.curate.dicom.codestreams import encapsulated, encoded, jpeg_lossless
    from tests.support.dicom_files import compress, encode, make_dataset, make_file
    from tests.support.multiframe import csa, ct, mosaic, normal_of, oblique

    pixels = (np.add.outer(np.arange(24), np.arange(32)) * 70 % 4096).astype(np.uint16)
    inner = Dataset()
    inner.Rows, inner.Modality = 999, "PT"
    inner.SourceImageSequence = [Dataset()]
    rich: dict[str, Any] = {
        "ConvolutionKernel": "BONE",
        "EchoTime": "12.5",
        "DiffusionBValue": 800.25,
        "GantryDetectorTilt": "-18.50e0",
        "NumberOfFrames": 1,
        "BitsStored": 12,
        "RescaleSlope": "0.30000001192092896",
        "SpecificCharacterSet": "ISO_IR 100",
    }
    datasets = [make_dataset(pixels, **rich) for _ in range(2)]
    for dataset, is_undefined in zip(datasets, (True, False), strict=True):
        dataset.ReferencedImageSequence = [inner, Dataset()]
        dataset["ReferencedImageSequence"].is_undefined_length = is_undefined
        for item in dataset.ReferencedImageSequence:
            item.is_undefined_length_sequence_item = is_undefined
    files = [encode(d, s) for d in datasets for s in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)]
    files += [make_file(pixels, syntax=s, **rich) for s in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)]
    files += [
        encode(make_dataset(pixels, **rich), s, bare=True) for s in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    ]
    for selection in (1, 4, 7):
        stream = jpeg_lossless(pixels, precision=12, selection=selection, restart_rows=6 * (selection == 4))
        files.append(encapsulated(pixels, stream, JPEGLossless, BitsStored=12))
    files += [encoded(pixels, s, BitsStored=12) for s in (HTJ2KLossless, JPEG2000Lossless, JPEGLSLossless)]
    with tempfile.TemporaryDirectory() as folder:
        files.append(compress(make_file(pixels, BitsStored=12), RLELossless, Path(folder)))
    frames = make_dataset(pixels, BitsStored=12, NumberOfFrames=2)
    frames.PixelData = encapsulate([jpeg_lossless(pixels, precision=12)] * 2)
    frames["PixelData"].is_undefined_length = True
    files.append(encode(frames, JPEGLossless))
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        files.append(encode(_filled(ct([2, 0, 3, 1], oblique())), syntax))
        files.append(encode(_filled(mosaic(oblique(), 5, csa=normal_of(oblique()[:, 2]))), syntax))
    compressed = _filled(ct([1, 0, 2], oblique()))
    tiny = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    compressed.PixelData = encapsulate([jpeg_lossless(frame, precision=16) for frame in tiny])
    compressed["PixelData"].is_undefined_length = True
    files.append(encode(compressed, JPEGLossless))
    header = csa(1, {"NumberOfImagesInMosaic": ["4"], "SliceNormalVector": ["0", "0", "1"]})
    files.append(encode(_filled(mosaic(np.eye(3), 4, csa=header)), ExplicitVRLittleEndian))
    plain = files[1]
    pixel_element = plain.rindex(b"\xe0\x7f\x10\x00")
    level = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    unknown = b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    at = plain.index(b"\x20\x00\x0d\x00")
    files += [plain[:at] + level * 60, plain[:at] + unknown + plain[at:], plain[:at] + plain[at:at] * 2 + plain[at:]]
    files += [plain[:pixel_element] + b"\x28\x00\x10\x00US\x02\x00\x09\x00" + plain[pixel_element:], b"", plain[:132]]
    return files


def _filled(dataset: Any) -> Any:
    """With pixels of which no two are equal."""
    import numpy as np

    dataset.PixelData = np.arange(len(dataset.PixelData) // 2, dtype="<u2").tobytes()
    return dataset


@lru_cache
def _deep() -> bytes:
    """The nesting of the corpus a thousand levels down: costly for pydicom, so it comes once in 200 cases."""
    shallow = corpus()[-6]
    level = shallow[-20:]
    return shallow + level * 940


def mutated(number: int) -> bytes:
    """Case ``number``: a file of the corpus, every second with zeros at its end, with one to six changes, or cut."""
    chance = random.Random(number)
    content = bytearray(chance.choice(corpus()) if number % 200 else _deep())
    content += bytes(number % 2 * 300)  # else whatever takes a byte away ends as a truncated file
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if len(content) < 8:
            break
        at = chance.randrange(len(content)) if chance.random() < 0.7 else chance.randrange(min(len(content), 1500))
        kind = chance.randrange(8)
        if kind < 3:
            content[at] = chance.choice((0, 0xFF, chance.randrange(256), content[at] ^ (1 << chance.randrange(8))))
        elif kind == 3:
            content[at : at + 2] = struct.pack("<H", chance.choice(_NUMBERS) & 0xFFFF)
        elif kind == 4:
            content[at : at + 4] = struct.pack("<L", chance.choice(_NUMBERS))
        elif kind == 5:
            del content[at : at + chance.randint(1, 40)]
        elif kind == 6:
            other = chance.randrange(len(content))
            content[at:at] = content[other : other + chance.randint(1, 40)]
        else:
            del content[at:]
    return bytes(content)


def check(number: int) -> tuple[str, list[str]]:
    """(what became of the case, what is wrong with it)."""
    from curate.dicom import codecs
    from curate.dicom.frames import decode_frames
    from curate.errors import Rejected

    raw, faults = mutated(number), []
    started = time.process_time()
    row, found = _compare_rows(raw)
    faults += found
    streams: list[tuple[str, bytes, Any, Any]] = []
    decode = codecs.decode_codestream

    def recorded(syntax: str, codestream: bytes, layout: Any) -> Any:
        words = decode(syntax, codestream, layout)
        streams.append((syntax, codestream, layout, words))
        return words

    import curate.dicom.frames as frames_module

    frames_module.decode_codestream = recorded
    try:
        for each in islice(decode_frames(raw), 4):
            assert each.pixels.dtype.isnative
        outcome = "decoded"
    except Rejected as rejection:
        outcome = rejection.reason.value
    except Exception as error:  # noqa: BLE001  any other one is what is looked for
        outcome, faults = "raised", [*faults, f"{type(error).__name__} in the decoder"]
    finally:
        frames_module.decode_codestream = decode
    if row is not None and row["reason"] is None:
        named, found = _check_frames(raw, row)
        outcome, faults = named or outcome, [*faults, *found]
    seconds = time.process_time() - started
    if seconds > LONGEST_SECONDS and not _checks_bounds():
        faults.append(f"{seconds:.1f} s of CPU time")
    for stream in streams:
        faults += _compare_pixels(*stream)
    return outcome, faults


def _check_frames(raw: bytes, row: dict[str, Any]) -> tuple[str | None, list[str]]:
    """What became of an object of frames or tiles on its way to volumes (None: it is none), and what is wrong."""
    from curate.dicom.frames import decode_frames
    from curate.dicom.functional_groups import read_frames
    from curate.dicom.pixels import decode_instance, read_pixels
    from curate.dicom.series import sort_out
    from curate.errors import Rejected

    modality = str(row["modality"])
    faults: list[str] = []

    def decode(one: Any, frames: Sequence[int]) -> list[Any]:
        decoded = decode_instance(raw, one, frames)
        described = {frame["frame"]: frame for frame in one["frames"]}
        whole = list(islice(decode_frames(raw), max(frames) + 1))
        for frame, each in zip(frames, decoded, strict=True):
            tile = described[frame]["tile"]
            there = whole[0 if tile else frame].pixels
            if tile:
                there = there[tile[0] : tile[0] + tile[2], tile[1] : tile[1] + tile[3]]
            if each.pixels.shape != there.shape or (each.pixels != there).any():
                faults.append(f"the pixels of frame {frame} are not its own")
        return decoded

    try:
        row["frames"] = read_frames(raw[: row["header_bytes"]], row)
        if row["frames"] is None:
            return None, []
        row |= {"instance_key": "1", "header_digest": "1", "file_key": "1"}
        sort = partial(sort_out, [row], modality=modality)
        for acquired in read_pixels([row], lambda damaged: sort(damaged=damaged), decode, modality).acquired:
            volume = acquired.normalise()
            if volume.array.size > 2**24:
                faults.append(f"a volume of {volume.array.size} voxels")
    except Rejected as rejection:
        return f"frames: {rejection.reason.value}", faults
    except Exception as error:  # noqa: BLE001  any other one is what is looked for
        return "raised", [*faults, f"{type(error).__name__} on the way to volumes"]
    return "frames: volumes", faults


def _compare_rows(raw: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """Rows of the compiled scanner and of the compiled walk against those that pydicom's walk gives; the first."""
    from curate.dicom import elements, headers
    from curate.dicom.archives import FileRef

    faults, read_elements = [], headers.read_elements
    try:
        row = headers.read_header(raw, len(raw))
        headers.read_elements = elements._read_odd  # type: ignore[assignment]
        plain = headers.read_header(raw, len(raw))
    except Exception as error:  # noqa: BLE001  any one is what is looked for
        return None, [f"{type(error).__name__} in the header scan"]
    finally:
        headers.read_elements = read_elements
    if repr(row) != repr(plain):  # repr: -0.0 is not 0.0
        faults.append(f"the walk differs in {_differing(row, plain)}")
    batch, size = _batch(), min(len(raw), 2**14)
    batch.heads[0, :size] = memoryview(raw)[:size]  # type: ignore[call-overload]
    if len(batch.parse(1, [size])):
        found = batch.table([FileRef("", "", len(raw), 0, 0)]).to_pylist()[0]
        found |= {"path": None, "member": None}
        if repr(found) != repr(plain):
            faults.append(f"the scanner differs in {_differing(found, plain)}")
        if batch.header_bytes(0) != raw[: plain["header_bytes"]]:  # type: ignore[misc]
            faults.append("the scanner's header bytes differ")
    return row, faults


def _differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    return [name for name in other if repr(one[name]) != repr(other[name])]


@lru_cache
def _batch() -> Any:
    from curate.dicom.header_columns import HeaderBatch

    return HeaderBatch(1)


def _compare_pixels(syntax: str, codestream: bytes, layout: Any, words: Any) -> list[str]:
    import imagecodecs
    import numpy as np
    from pydicom.pixels.decoders.rle import _rle_decode_frame
    from pydicom.uid import RLELossless

    try:
        if syntax == RLELossless:
            planes = _rle_decode_frame(codestream, layout.rows, layout.columns, 1, layout.bits_allocated)
            other = np.frombuffer(planes, f"<u{layout.bits_allocated // 8}").reshape(words.shape)
        elif b"\xff\xc3" in codestream[:400]:
            other = imagecodecs.jpeg8_decode(codestream)
        else:
            return []
    except (ValueError, RuntimeError, NotImplementedError, IndexError, struct.error):
        return []
    return [] if np.array_equal(words, other) else [f"pixels of {syntax} differ"]


def run_batch(first: int, count: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Outcomes and faults of cases ``first`` and the next ones."""
    from curate.compiled import warm_up

    if not _checks_bounds():  # where every kernel compiles anew, only those that are met
        importlib.import_module("curate.dicom.pixels")  # brings those of volumes along
    warm_up()  # compiling is no part of a case's time
    check(0)  # neither are imports
    outcomes: Counter[str] = Counter()
    faults: list[tuple[int, str]] = []
    for number in range(first, first + count):
        outcome, wrong = check(number)
        outcomes[outcome] += 1
        faults += [(number, fault) for fault in wrong]
    return outcomes, faults


def run(cases: int, first: int = 0, workers: int = 2) -> tuple[Counter[str], list[tuple[int, str]]]:
    """All cases in worker processes of bounded memory; a worker that dies is a fault of its batch."""
    outcomes: Counter[str] = Counter()
    faults: list[tuple[int, str]] = []
    pending = list(range(first, first + cases, BATCH))
    with ProcessPoolExecutor(workers, initializer=_limit_memory) as pool:
        futures = {at: pool.submit(run_batch, at, min(BATCH, first + cases - at)) for at in pending}
        for at, future in futures.items():
            try:
                counted, wrong = future.result()
            except BrokenProcessPool:
                faults.append((at, f"a worker died in this or a later one of {BATCH} cases"))
                break
            outcomes.update(counted)
            faults += wrong
    return outcomes, faults


def _checks_bounds() -> bool:
    return os.environ.get("NUMBA_BOUNDSCHECK") == "1"


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bounds", action="store_true", help="check every index, in one process")
    options = parser.parse_args(arguments)
    if options.bounds and not _checks_bounds():
        with tempfile.TemporaryDirectory() as cache:  # kernels with checks must not be found by others
            environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache}
            again = [sys.executable, "-m", "tests.bench.volumes.fuzz", *(arguments or sys.argv[1:])]
            return os.spawnve(os.P_WAIT, sys.executable, again, environment)
    started = time.monotonic()
    if options.bounds:
        outcomes, faults = run_batch(options.first, options.cases)
    else:
        outcomes, faults = run(options.cases, options.first, options.workers)
    for outcome, count in outcomes.most_common():
        print(f"{count:9,}  {outcome}")
    for number, fault in faults[:50]:
        print(f"case {number}: {fault}")
    print(f"{sum(outcomes.values()):,} cases, {len(faults)} faults, {time.monotonic() - started:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
