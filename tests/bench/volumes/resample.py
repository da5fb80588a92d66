"""``python -m tests.bench.volumes.resample``: CPU time of resampling beside SimpleITK, TorchIO, MONAI and scipy.

One process, one thread, the same array; every tool runs round by round in turn and its best CPU time counts. Ours works
on the array as acquired, and so does every peer: SimpleITK's filter on the native image (no reorientation), TorchIO and
MONAI on tensors made beforehand. ``pip install SimpleITK torchio monai`` for the peers; the missing are named. The
error is the largest difference from a float64 reference on our own grid: our operators as dense float64 products on
some planes.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.geometry import Grid, Placement, normalise, orient, resample, resample_onto
from curate.geometry.resample import axis_steps, resampled_grid
from curate.geometry.weights import axis_matrix

SPACING = (1.0, 1.0, 1.0)
CT_SPACING = (1.0, 0.7, 0.7)
Tool = Callable[[], object]


def make_ct(slices: int) -> NDArray[np.int16]:
    """A body-like int16 volume (slices, 512, 512): smooth shapes, edges and noise."""
    j, i = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(j**2 + i**2 < 0.7, 40.0, -1000.0) + np.where((j - 0.3) ** 2 + i**2 < 0.03, 700.0, 0.0)
    noise = np.random.default_rng(0).normal(0, 20, (8, 512, 512))
    planes = [body + 60 * math.sin(k / 9) * i + noise[k % 8] for k in range(slices)]
    return np.stack([np.rint(plane).astype(np.int16) for plane in planes])


def best_times(tools: Mapping[str, Tool], rounds: int) -> dict[str, float]:
    """Seconds of CPU, the best of some rounds after a first call that does not count."""
    best = dict.fromkeys(tools, math.inf)
    for turn in range(rounds + 1):
        for name, call in tools.items():
            if turn > 1 and best[name] > 8:
                continue
            start = time.process_time()
            call()
            if turn:
                best[name] = min(best[name], time.process_time() - start)
    return best


def largest_error(array: NDArray[Any], grid: Grid, found: NDArray[Any], order: int, antialias: bool) -> float:
    """Against dense float64 products, on every 40th output slice."""
    target = resampled_grid(grid, SPACING)
    k, j, i = (
        np.eye(n) if step is None else axis_matrix(n, m, step, order=order, antialias=antialias).toarray()
        for n, m, step in zip(grid.shape, target.shape, axis_steps(grid, target), strict=True)
    )
    worst = 0.0
    for plane in range(0, target.shape[0], 40):
        used = np.flatnonzero(k[plane])
        mixed = np.tensordot(k[plane, used], array[used].astype(np.float64), 1)
        worst = max(worst, float(np.abs(found[plane] - j @ mixed @ i.T).max()))
    return worst


def sitk_tool(array: NDArray[Any], grid: Grid, how: str) -> Tool:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.affine[:3, 3])
    target = resampled_grid(grid, SPACING)
    call = sitk.ResampleImageFilter()
    call.SetSize(target.shape[::-1])
    call.SetOutputSpacing(target.spacing_mm[::-1])
    call.SetOutputOrigin(target.affine[:3, 3])
    call.SetInterpolator(getattr(sitk, how))
    call.SetDefaultPixelValue(0)
    return lambda: call.Execute(image)


def torchio_tool(array: NDArray[Any], grid: Grid, how: str, antialias: bool) -> Tool:
    import SimpleITK as sitk
    import torch
    import torchio

    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    tensor = torch.from_numpy(np.ascontiguousarray(array.T))[None]
    image = torchio.ScalarImage(tensor=tensor, affine=np.diag([*grid.spacing_mm[::-1], 1.0]))
    call = torchio.Resample(SPACING[::-1], image_interpolation=how, antialias=antialias)
    return lambda: call(image).data


def monai_tool(array: NDArray[Any], grid: Grid, mode: str | int) -> Tool:
    import monai.transforms
    import torch
    from monai.data import MetaTensor

    torch.set_num_threads(1)
    tensor = torch.from_numpy(np.ascontiguousarray(array.T))[None].float()
    image = MetaTensor(tensor, affine=torch.diag(torch.tensor([*grid.spacing_mm[::-1], 1.0])))
    call = monai.transforms.Spacing(SPACING[::-1], mode=mode, padding_mode="border", dtype=np.float32)
    return lambda: call(image)


def scipy_tool(array: NDArray[Any], grid: Grid, order: int) -> Tool:
    from scipy import ndimage

    target = resampled_grid(grid, SPACING)
    zoom = np.divide(grid.shape, target.shape)
    return lambda: ndimage.affine_transform(array, zoom, (zoom - 1) / 2, target.shape, order=order, mode="nearest")


def compare(title: str, ours: Callable[[], NDArray[Any]], peers: Mapping[str, Tool], rounds: int, error: str) -> None:
    """Print one line a tool: seconds and how many times ours."""
    times = best_times({"ours": ours, **peers}, rounds)
    print(f"\n{title}    {error}")
    for name, seconds in times.items():
        print(f"  {name:34s} {seconds:8.3f} s   {seconds / times['ours']:7.1f} x", flush=True)


def has(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


def compare_orders(rounds: int) -> None:
    """Linear, antialiased, cubic and nearest on 300 slices, beside the peers."""
    array, grid = make_ct(300), Grid((300, 512, 512), np.diag([*CT_SPACING, 1.0]))
    peers: dict[str, dict[str, Tool]] = {name: {} for name in ("linear", "antialiased", "cubic", "nearest")}
    mask = (array > 300).astype(np.uint8)
    peers["linear"]["scipy affine_transform"] = scipy_tool(array, grid, 1)
    peers["cubic"]["scipy affine_transform"] = scipy_tool(array, grid, 3)
    if has("SimpleITK"):
        peers["linear"]["SimpleITK direct"] = sitk_tool(array, grid, "sitkLinear")
        peers["cubic"]["SimpleITK BSpline"] = sitk_tool(array, grid, "sitkBSpline")
        peers["nearest"]["SimpleITK direct"] = sitk_tool(mask, grid, "sitkNearestNeighbor")
    if has("SimpleITK", "torch", "torchio"):
        peers["linear"]["TorchIO"] = torchio_tool(array, grid, "linear", False)
        peers["antialiased"]["TorchIO antialias"] = torchio_tool(array, grid, "linear", True)
    if has("torch", "monai"):
        peers["linear"]["MONAI bilinear"] = monai_tool(array, grid, "bilinear")
        peers["cubic"]["MONAI spline 3"] = monai_tool(array, grid, 3)
        peers["nearest"]["MONAI nearest"] = monai_tool(mask, grid, "nearest")
    for name, order, antialias in (("linear", 1, False), ("antialiased", 1, True), ("cubic", 3, False)):

        def ours(order: int = order, antialias: bool = antialias) -> NDArray[Any]:
            return resample(array, grid, SPACING, order=order, antialias=antialias)[0]

        error = largest_error(array, grid, ours(), order, antialias)
        compare(f"{name}, int16", ours, peers[name], rounds, f"largest error {error:.4f}")
    floats = array.astype(np.float32)
    for order, antialias in ((1, False), (1, True), (3, False)):
        found = resample(floats, grid, SPACING, order=order, antialias=antialias)[0]
        error = largest_error(floats, grid, found, order, antialias)
        print(f"float32, order {order}, antialias {antialias}: largest error {error:.1e}")
    compare("nearest, uint8", lambda: resample(mask, grid, SPACING, order=0)[0], peers["nearest"], rounds, "")
    target = resampled_grid(grid, SPACING)
    others = {"majority": lambda: resample_onto(mask, grid, target, rule="majority")}
    compare("mask onto the volume's grid", lambda: resample_onto(mask, grid, target), others, 2, "")


def compare_shapes(rounds: int, counts: Sequence[int]) -> None:
    """Cost against slices, turned views, tilt with uneven gaps, threads."""
    print("\nlinear, antialiased int16, by slices")
    whole = make_ct(max(counts))
    for count in counts:
        grid = Grid((count, 512, 512), np.diag([*CT_SPACING, 1.0]))
        part = whole[:count]
        tools = {str(a): partial(resample, part, grid, SPACING, antialias=a) for a in (False, True)}
        plain, smooth = best_times(tools, rounds).values()
        print(f"  {count:4d} slices {plain:8.3f} s {1e3 * plain / count:7.3f} ms a slice {smooth:8.3f} s antialiased")
    array, grid = whole[:300], Grid((300, 512, 512), np.diag([*CT_SPACING, 1.0]))
    turned, turned_grid = orient(array, grid, "IAR")
    places = np.cumsum(np.random.default_rng(0).uniform(0.6, 1.4, 300))
    origins = np.stack([np.zeros(300), places * math.tan(math.radians(17)), places], axis=1)
    leaning = Placement(array.shape, origins, (0.0, 0.7, 0.0), (0.7, 0.0, 0.0))  # type: ignore[arg-type]
    compare(
        "linear, 300 slices as acquired",
        lambda: resample(array, grid, SPACING, antialias=False)[0],
        {
            "turned over in all axes": lambda: resample(turned, turned_grid, SPACING, antialias=False),
            "tilt of 17 degrees, uneven gaps": lambda: normalise(array, leaning, SPACING, antialias=False, fill=-1024),
            "the same, antialiased": lambda: normalise(array, leaning, SPACING, fill=-1024),
            "2 threads (CPU time of both)": lambda: resample(array, grid, SPACING, antialias=False, threads=2),
            "copy of the input": array.copy,
        },
        rounds,
        "",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--slices", type=int, nargs="+", default=[150, 300, 600])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    missing = [name for name in ("SimpleITK", "torchio", "monai") if not has(name)]
    print("CT 512 x 512 x 300, 0.7 x 0.7 x 1.0 mm -> 1 mm, one thread, CPU seconds, best round")
    print("not installed, left out: " + (", ".join(missing) or "none"))
    compare_orders(options.rounds)
    compare_shapes(options.rounds, options.slices)


if __name__ == "__main__":
    main()
