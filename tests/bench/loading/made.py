"""Volumes that pack as clinical ones do: noise over smooth anatomy, air around it, masks of few values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

CT_SHAPE, MR_SHAPE = (300, 400, 400), (24, 512, 512)
CT_SPACING, MR_SPACING = (1.0, 0.8, 0.8), (4.0, 0.5, 0.5)


def make_ct(seed: int, shape: tuple[int, int, int] = CT_SHAPE) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Hounsfield units and a mask of vertebrae: a body with fat, lungs and a spine; noise of 26 HU; -1024 outside."""
    random = np.random.default_rng(seed)
    k, j, i = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    k, j, i = k[:, None, None], j[None, :, None], i[None, None, :]
    width = 0.85 + 0.05 * np.sin(4 * k + seed)
    radius = (i / width) ** 2 + (j / 0.65) ** 2
    values = np.full(shape, -1000.0, np.float32)
    np.copyto(values, -95.0, where=radius < 1)
    np.copyto(values, 45 + _smooth(random, shape, 8, 15.0), where=radius < 0.86)
    texture = gaussian_filter(random.standard_normal(shape, dtype=np.float32), 1.5) * 600
    lungs = (((np.abs(i) - 0.38) / 0.27) ** 2 + ((j + 0.05) / 0.35) ** 2 + ((k + 0.7) / 0.8) ** 2) < 1
    np.copyto(values, -860 + np.abs(texture), where=lungs & (radius < 0.86))
    column = (i / 0.1) ** 2 + ((j - 0.24) / 0.09) ** 2
    number = np.floor((k + 1) * 8.5)
    bone = (column < 1) & (np.abs((k + 1) * 8.5 - number - 0.5) < 0.4)
    np.copyto(values, np.where(column > 0.72, 650, 220) + texture, where=bone)
    mask = np.where(bone, number + 1, 0).astype(np.uint8)
    noise = random.standard_normal(shape, dtype=np.float32) * 22
    noise[:, :, 1:] += 0.35 * noise[:, :, :-1]
    noise[:, 1:, :] += 0.35 * noise[:, :-1, :]
    values += noise
    np.copyto(values, -1024.0, where=np.broadcast_to(i**2 + j**2 > 0.995, shape))
    return np.clip(np.rint(values), -1024, 3071).astype(np.int16), mask


def make_mr(seed: int, shape: tuple[int, int, int] = MR_SHAPE) -> NDArray[np.uint16]:
    """Thick slices: smooth tissue with a bright canal, Rician noise."""
    random = np.random.default_rng(seed)
    _, j, i = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    j, i = j[None, :, None], i[None, None, :]
    signal = 260 + _smooth(random, shape, 20, 110.0) + _smooth(random, shape, 60, 45.0)
    np.copyto(signal, 900.0, where=np.broadcast_to(np.abs(i - 0.1 - 0.05 * np.sin(3 * j)) < 0.035, shape))
    signal = np.clip(signal, 0, None) * np.clip((1 - (i / 0.75) ** 2 - (j / 0.93) ** 2) * 12, 0, 1)
    real, imaginary = (random.standard_normal(shape, dtype=np.float32) * 9 for _ in range(2))
    return np.clip(np.rint(np.hypot(signal + real, imaginary)), 0, 4095).astype(np.uint16)


def write_arrays(folder: Path, count: int, shape: tuple[int, int, int] = CT_SHAPE) -> list[Path]:
    """``count`` CT volumes as .npy files, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n:02d}.npy" for n in range(count)]
    for n, path in enumerate(paths):
        if not path.exists():
            np.save(path, make_ct(n, shape)[0])
    return paths


def _smooth(
    random: np.random.Generator, shape: tuple[int, int, int], cells: int, amplitude: float
) -> NDArray[np.float32]:
    coarse = random.standard_normal((4, cells, cells)).astype(np.float32)
    fine: NDArray[np.float32] = zoom(coarse, [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1)
    return fine * np.float32(amplitude)
