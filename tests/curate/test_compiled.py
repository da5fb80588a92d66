"""What is compiled is compiled before work is measured: nothing is left for the first item."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from tests.support.dicom_files import compress, write_stack

# a fresh process, in which other tests have compiled nothing
WORK = """
import sys, tempfile
from numba.core.dispatcher import Dispatcher
import pipelines.volumes
from curate.compiled import warm_up
from curate.dicom import read_series
from curate.geometry import resample_onto
from curate.volumes import verify_volume, write_volume

warmed = warm_up() if sys.argv[1] == "warm" else 0
late, compiled = [], Dispatcher.compile
Dispatcher.compile = lambda kernel, types: late.append(kernel.py_func.__name__) or compiled(kernel, types)
for folder in sys.argv[2:]:
    for spacing, code in (((1.0, 1.0, 1.0), "radiological"), ((None, 2.0, None), "AIL"), ((None,) * 3, None)):
        (volume,) = read_series(folder, spacing_mm=spacing, orientation=code)
        mask = resample_onto((volume.array > 0).astype("uint8"), volume.grid, volume.grid)
        with tempfile.TemporaryDirectory() as out:
            write_volume(out, volume.array, volume.grid, labels={"body": mask})
            verify_volume(out, volume.array, volume.grid, labels={"body": mask})
print(warmed, *sorted(set(late)))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """CT and MR, signed, unsigned and of 8 bits, upright, tilted and uneven, native and compressed."""
    root = tmp_path_factory.mktemp("series")
    even = [(0.0, 0.0, 2.0 * k) for k in range(8)]
    tilted = [(0.0, 0.5 * k, 2.0 * k) for k in range(8)]
    uneven = [(0.0, 0.0, 2.0 * k + 0.1 * k * k) for k in range(8)]
    kinds = {
        "ct": (np.uint16, "CT", even, ExplicitVRLittleEndian, {"BitsStored": 12}),
        "signed": (np.int16, "CT", even, RLELossless, {"RescaleIntercept": 0}),
        "slope": (np.uint16, "CT", uneven, JPEGLosslessSV1, {"BitsStored": 12, "RescaleSlope": 1.5}),
        "padded": (np.int16, "CT", tilted, ExplicitVRLittleEndian, {"PixelPaddingValue": -2000}),
        "mr": (np.uint16, "MR", even, JPEGLosslessSV1, {"BitsStored": 12}),
        "bytes": (np.uint8, "MR", uneven, RLELossless, {}),
    }
    for name, (dtype, modality, places, syntax, changes) in kinds.items():
        array = np.random.default_rng(0).integers(0, 200, (8, 70, 66)).astype(dtype)
        for path in write_stack(root / name, array, places, modality=modality, **changes):
            if syntax != ExplicitVRLittleEndian:
                path.write_bytes(compress(path.read_bytes(), syntax, root))
    return [str(root / name) for name in kinds]


def late(folders: list[str], how: str) -> list[str]:
    """How many functions warmed, and the kernels that had to be compiled or loaded after that."""
    done = subprocess.run([sys.executable, "-c", WORK, how, *folders], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_warming_leaves_no_kernel_to_compile_when_series_are_built(folders: list[str]) -> None:
    count, *kernels = late(folders, "warm")
    assert int(count) >= 8
    assert kernels == []


def test_a_process_that_is_not_warmed_compiles_on_its_first_series(folders: list[str]) -> None:
    count, *kernels = late(folders[:1], "cold")
    assert count == "0"
    assert {"walk", "weigh", "_shift"} <= set(kernels)
