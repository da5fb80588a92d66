"""``python -m tests.bench.volumes.fuzz [--cases 200000]``: mutated files through the header scan and every decoder.

Each case is made of its number alone, so that a failure can be repeated by ``--first``. Looked for: a crash, an
exception other than ``Rejected``, a case that takes too long, a row of the compiled scanner that differs from
pydicom's, and pixels that differ from those of another decoder where both accept the stream (RLE: pydicom, JPEG
lossless: libjpeg-turbo). ``--bounds`` compiles the kernels with NUMBA_BOUNDSCHECK=1, so that an index outside an array
raises.
"""

from __future__ import annotations

import argparse
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
from functools import lru_cache
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
    plain = files[1]
    pixel_element = plain.rindex(b"\xe0\x7f\x10\x00")
    level = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    unknown = b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    at = plain.index(b"\x20\x00\x0d\x00")
    files += [plain[:at] + level * 1000, plain[:at] + unknown + plain[at:], plain[:at] + plain[at:at] * 2 + plain[at:]]
    files += [plain[:pixel_element] + b"\x28\x00\x10\x00US\x02\x00\x09\x00" + plain[pixel_element:], b"", plain[:132]]
    return files


def mutated(number: int) -> bytes:
    """Case ``number``: a file of the corpus with one to six changes, whole or cut."""
    chance = random.Random(number)
    content = bytearray(chance.choice(corpus()))
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
    faults += _compare_rows(raw)
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
            assert each.pixels.flags.writeable
            assert each.pixels.dtype.isnative
        outcome = "decoded"
    except Rejected as rejection:
        outcome = rejection.reason.value
    except Exception as error:  # noqa: BLE001  any other one is what is looked for
        outcome, faults = "raised", [*faults, f"{type(error).__name__} in the decoder"]
    finally:
        frames_module.decode_codestream = decode
    seconds = time.process_time() - started
    if seconds > LONGEST_SECONDS and os.environ.get("NUMBA_BOUNDSCHECK") != "1":  # kernels with checks compile anew
        faults.append(f"{seconds:.1f} s of CPU time")
    for stream in streams:
        faults += _compare_pixels(*stream)
    return outcome, faults


def _compare_rows(raw: bytes) -> list[str]:
    """Rows of the compiled scanner and of the compiled walk against those that pydicom's walk gives."""
    from curate.dicom import elements, headers
    from curate.dicom.archives import FileRef

    faults, read_elements = [], headers.read_elements
    try:
        row = headers.read_header(raw, len(raw))
        headers.read_elements = elements._read_odd  # type: ignore[assignment]
        plain = headers.read_header(raw, len(raw))
    except Exception as error:  # noqa: BLE001  any one is what is looked for
        return [f"{type(error).__name__} in the header scan"]
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
    return faults


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


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bounds", action="store_true", help="check every index, in one process")
    options = parser.parse_args(arguments)
    if options.bounds and os.environ.get("NUMBA_BOUNDSCHECK") != "1":
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
