"""A lower back as MR shows it: lumbar vertebrae and sacrum, discs, dural sac, foramina and recesses, narrowed by grade.

Tissues are solids in spine coordinates; a series gives each tissue its brightness (T1, T2 or STIR), so all series of a
study show the same patient along their own planes. A grade narrows the canal, a foramen or a recess strongly and
monotonically.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.manifests.schemas import LUMBAR_CONDITIONS, LUMBAR_LEVELS
from curate.phantoms.shapes import Field, both, either, ellipse, ellipsoid, paint, slab
from curate.phantoms.spine import Axis, Levels, pose

NAMES = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1", "S2", "S3")
FIRST_DISC = 2  # boundary index of L1/L2
_PITCH = np.array([28.0, 30.0, 32.5, 33.0, 33.5, 33.5, 33.0, 30.0, 24.0, 22.0])
_HALF_WIDTH = np.array([18.0, 19.5, 20.5, 21.5, 22.5, 23.5, 24.5, 24.0, 19.0, 15.0], dtype=np.float32)
_DEPTH = np.array([27.0, 28.0, 30.0, 31.0, 32.0, 32.5, 33.0, 28.0, 20.0, 15.0], dtype=np.float32)
_HALF_DISC = np.array([3.0, 3.5, 4.2, 4.6, 5.0, 5.4, 5.2, 1.3, 0.9], dtype=np.float32)

CANAL, LEFT_FORAMEN, RIGHT_FORAMEN, LEFT_RECESS, RIGHT_RECESS = range(5)
_OPEN = {CANAL: (0.95, 0.60, 0.26), LEFT_FORAMEN: (0.95, 0.62, 0.24), LEFT_RECESS: (1.0, 0.58, 0.18)}
_OPEN |= {RIGHT_FORAMEN: _OPEN[LEFT_FORAMEN], RIGHT_RECESS: _OPEN[LEFT_RECESS]}

SPOTS = {  # where a reader puts the point, (u, v, height over the disc)
    CANAL: (0.0, 8.0, 0.0),
    LEFT_FORAMEN: (19.0, 4.5, 5.0),
    RIGHT_FORAMEN: (-19.0, 4.5, 5.0),
    LEFT_RECESS: (12.0, 4.5, 0.0),
    RIGHT_RECESS: (-12.0, 4.5, 0.0),
}

WEIGHTINGS: Mapping[str, Mapping[str, float]] = {
    "T1": {"fat": 900, "marrow": 540, "disc": 340, "rim": 240, "fluid": 150, "nerve": 330, "muscle": 330, "cortex": 50,
           "ligament": 90, "organ": 400, "vessel": 60, "air": 8},
    "T2": {"fat": 720, "marrow": 400, "disc": 640, "rim": 130, "fluid": 1000, "nerve": 380, "muscle": 190, "cortex": 40,
           "ligament": 70, "organ": 360, "vessel": 50, "air": 8},
    "STIR": {"fat": 110, "marrow": 150, "disc": 620, "rim": 120, "fluid": 1000, "nerve": 400, "muscle": 260,
             "cortex": 35, "ligament": 60, "organ": 480, "vessel": 60, "air": 8},
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Back:
    """One patient. ``grades``: int8 (5 conditions, 5 levels), 0..2, in the order of the schemas."""

    axis: Axis
    levels: Levels
    grades: NDArray[np.int8]
    open_shares: NDArray[np.float32]  # (5 conditions, boundaries): how open each passage is, 1 = wide
    moisture: NDArray[np.float32]  # (boundaries,): how bright the disc is on T2
    size: float

    def disc_mm(self, level: int) -> NDArray[np.float64]:
        """LPS millimetres of the middle of a disc (0 = L1/L2)."""
        disc = FIRST_DISC + level
        return self.axis.to_patient([0.0, -0.45 * float(_DEPTH[disc]) * self.size, self.levels.boundaries[disc]])

    def spot_mm(self, condition: int, level: int) -> NDArray[np.float64]:
        """LPS millimetres of the point that a reader marks for a condition (index) at a level (0 = L1/L2)."""
        u, v, h = SPOTS[condition]
        return self.axis.to_patient(
            [u * self.size, v * self.size, self.levels.boundaries[FIRST_DISC + level] + h * self.size]
        )

    def sample(self, grid: Grid, weighting: str) -> NDArray[np.float32]:
        """Brightness (0 to about 1000) of every voxel of ``grid`` under a weighting: T1, T2 or STIR."""
        shine = WEIGHTINGS[weighting]
        values = np.empty(grid.shape, dtype=np.float32)
        step = max(1, 65536 // (grid.shape[1] * grid.shape[2]))
        for first in range(0, grid.shape[0], step):
            last = min(first + step, grid.shape[0])
            self._fill(grid, first, last, values[first:last], shine)
        return values

    def _fill(self, grid: Grid, first: int, last: int, values: Field, shine: Mapping[str, float]) -> None:
        x, y, z = self.axis.scene_points(grid, first, last)
        size = np.float32(self.size)
        u, v, s = self.axis.from_scene(x, y, z)
        u, v = u / size, v / size
        coil = np.float32(1) + np.float32(0.25) * np.clip(y / 120, -1, 1)  # a surface coil lies under the back
        values[...] = _flesh(u, v, z / size, y / size, shine)
        near = (np.abs(u) < 42) & (v > -40) & (v < 62)
        if near.any():
            values[near] = self._spine(values[near], u[near], v[near], s[near], shine)
        values *= coil

    def _spine(self, values: Field, u: Field, v: Field, s: Field, shine: Mapping[str, float]) -> Field:
        size = np.float32(self.size)
        level, disc = self.levels.index(s), self.levels.nearest_disc(s)
        heights = np.asarray(self.levels.centres, dtype=np.float32)
        over = (s - np.asarray(self.levels.boundaries, dtype=np.float32)[disc]) / size  # height over the nearest disc
        h = (s - heights[level]) / size
        sacral = level >= 7
        _bodies(values, u, v, over, level, disc, self.moisture, shine)
        _canal(values, u, v, over, s, self.open_shares[:, disc], shine)
        _rear(values, u, v, h, over, sacral, self.open_shares[:, disc], shine)
        _foramina(values, u, v, over, self.open_shares[:, disc], sacral, shine)
        _recesses(values, u, v, over, self.open_shares[:, disc], shine)
        return values


def _flesh(u: Field, v: Field, z: Field, y: Field, shine: Mapping[str, float]) -> Field:
    side = np.abs(u)
    skin = ellipse(u, y + np.float32(28), 165.0, 112.0)
    values = np.full(u.shape, shine["air"], dtype=np.float32)
    paint(values, skin, shine["fat"], 2.0)
    muscle, fat = shine["muscle"], shine["fat"]
    marbling = np.clip(np.sin(u * 0.55 + 2 * np.sin(v * 0.21 + 1)) * np.sin(v * 0.5 + np.sin(u * 0.3)) - 0.45, 0, 1)
    streaks = muscle + (fat - muscle) * np.float32(0.7) * marbling
    paint(values, ellipse(side - 27, v - np.float32(33), 25.5, 21.0), streaks.astype(np.float32), 2.0)
    paint(values, ellipse(side - 62, v - np.float32(12), 14.0, 24.0), muscle, 2.0)
    organs = shine["organ"] * (
        np.float32(0.85) + np.float32(0.3) * np.sin(u * 0.11 + z * 0.09) * np.sin(v * 0.13 - z * 0.07)
    )
    paint(values, both(skin + np.float32(22), v + 46 - np.float32(0.009) * u * u), organs.astype(np.float32), 3.0)
    paint(values, ellipse(side - 41, v + np.float32(8), 15.0, 20.0), muscle, 2.0)
    paint(values, ellipse(u - 12, v + np.float32(45), 8.0, 8.0), shine["vessel"], 1.5)
    paint(values, ellipse(u + 13, v + np.float32(44), 10.0, 7.5), shine["vessel"] * 1.6, 1.5)
    return values


def _bodies(
    values: Field, u: Field, v: Field, over: Field, level: NDArray[np.intp], disc: NDArray[np.intp],
    moisture: NDArray[np.float32], shine: Mapping[str, float],
) -> None:  # fmt: skip
    width, depth, half = _HALF_WIDTH[level], _DEPTH[level] / 2, _HALF_DISC[disc]
    away = np.abs(over)
    waist = np.float32(1) - np.float32(0.08) * np.clip((away - half) / 10, 0, 1)
    column = ellipse(u, v + depth, width * waist, depth * waist)
    body = np.maximum(column, half - away)
    cushion = np.maximum(column - np.float32(1.2), away - half)
    paint(values, cushion, shine["rim"])
    core = both(ellipse(u, v + depth, width - 5, depth - np.float32(3.5)), away - half + np.float32(0.8))
    wet = shine["rim"] + (shine["disc"] - shine["rim"]) * moisture[disc]
    paint(values, core, wet.astype(np.float32))
    paint(values, body, shine["cortex"])
    mottled = shine["marrow"] * (1 + np.float32(0.05) * np.sin(u * 0.9 + v * 0.5) * np.sin(over * 0.8 + v * 0.7))
    paint(values, body + np.float32(1.1), mottled.astype(np.float32))


def _canal(
    values: Field, u: Field, v: Field, over: Field, s: Field, shares: NDArray[np.float32], shine: Mapping[str, float]
) -> None:
    closing = (np.float32(1) - shares[CANAL]) * np.exp(-((over / np.float32(7.5)) ** 2))
    full = ellipse(u, v - np.float32(9), 13.5, 9.5)
    paint(values, full, shine["fat"])
    paint(
        values, both(full, over * 0 + (np.abs(over) - 9)), shine["ligament"]
    )  # disc and flavum fill what the sac loses
    front, back = np.float32(1.2) + 9 * closing, np.float32(16.0) - 5.2 * closing
    middle, half = (front + back) / 2, np.maximum((back - front) / 2, np.float32(0.5))
    sac = ellipse(u, v - middle, np.float32(10.5) * (1 - np.float32(0.35) * closing), half)
    paint(values, sac, shine["fluid"])
    strands = np.float32(0.5) + np.float32(0.5) * np.sin(u * 2.2 + 1) * np.sin((v - middle) * 2.0)
    roots = np.maximum(sac + np.float32(1.2), middle - v - np.float32(1))
    bundle = shine["fluid"] + (shine["nerve"] - shine["fluid"]) * (np.float32(0.25) + np.float32(0.45) * strands)
    squeezed = shine["nerve"] * np.clip(closing * np.float32(1.6) - np.float32(0.3), 0, 1)
    bundle = np.where(closing > 0.2, bundle * (1 - closing * np.float32(0.6)) + squeezed * np.float32(0.2), bundle)
    paint(values, roots, bundle.astype(np.float32), 1.5)
    cord = np.where(s > 62, ellipse(u, v - np.float32(9), 4.8, 3.8), np.float32(99))
    paint(values, cord.astype(np.float32), shine["nerve"], 1.5)


def _rear(
    values: Field, u: Field, v: Field, h: Field, over: Field, sacral: NDArray[np.bool_],
    shares: NDArray[np.float32], shine: Mapping[str, float],
) -> None:  # fmt: skip
    side = np.abs(u)
    pedicle = both(slab(side, 12.5, 19.5), slab(v, -3.0, 11.0), slab(h, -1.5, 8.5))
    drop = h + np.float32(0.45) * np.clip(v - 14, 0, 30)
    lamina = both(np.abs(ellipse(u, v - np.float32(11), 15.5, 12.0)) - np.float32(2.4), 13 - v, slab(drop, -9.0, 5.5))
    spinous = both(side - np.float32(3.4), slab(v, 22.0, 47.0), slab(drop, -7.0, 10.0))
    overgrown = np.where(u > 0, shares[LEFT_RECESS], shares[RIGHT_RECESS])
    facet = ellipse(side - 20 - 1.5 * overgrown, v - np.float32(17), 8.5 - 1.5 * overgrown, 8.0)
    facet = np.maximum(facet, np.abs(over) - 12)
    solid = either(pedicle, lamina, spinous, facet)
    solid = np.where(sacral, either(both(ellipse(u, v - np.float32(13), 21.0, 13.0), 12 - v), pedicle), solid)
    solid = np.maximum(solid, -ellipse(u, v - np.float32(9), 13.5, 9.5))
    paint(values, solid, shine["cortex"])
    paint(values, solid + np.float32(1.6), shine["marrow"] * 0.92)
    joint = both(np.abs(side - 20 - (v - 17) * np.float32(0.25)) - np.float32(0.7), facet + np.float32(1))
    paint(values, joint, shine["fluid"] * 0.6)


def _foramina(
    values: Field, u: Field, v: Field, over: Field, shares: NDArray[np.float32], sacral: NDArray[np.bool_],
    shine: Mapping[str, float],
) -> None:  # fmt: skip
    side = np.abs(u) - np.float32(20)
    share = np.where(u > 0, shares[LEFT_FORAMEN], shares[RIGHT_FORAMEN])
    back, up = v - np.float32(4.5), over - np.float32(4.5)
    outside = np.where(sacral & (over < -2), np.float32(99), np.float32(-99))
    paint(values, both(ellipsoid(side, back, up, (9.5, 6.5, 10.0)), outside), shine["ligament"])
    paint(
        values,
        both(ellipsoid(side, back, up - np.float32(0.5), (9.0, 6.3 * share, 9.8 * share)), outside),
        shine["fat"],
    )
    nerve = np.hypot(back + np.float32(0.5), up - 3 + side * np.float32(0.25)) - np.float32(2.2)
    paint(values, both(nerve, np.abs(side) - 8), shine["nerve"] * 0.8)


def _recesses(
    values: Field, u: Field, v: Field, over: Field, shares: NDArray[np.float32], shine: Mapping[str, float]
) -> None:
    side = np.abs(u)
    share = np.where(u > 0, shares[LEFT_RECESS], shares[RIGHT_RECESS])
    near = np.abs(over) - 8
    bed = both(ellipse(side - np.float32(11.5), v - np.float32(4.8), 5.0, 4.8), near)
    free = both(ellipse(side - np.float32(11.3), v - np.float32(4.8), 5.0 * share, 4.8 * share), near)
    paint(values, np.where(share < 0.95, bed, np.float32(99)).astype(np.float32), shine["ligament"])
    paint(values, free, max(shine["fluid"] * 0.85, shine["fat"] * 0.6))
    paint(values, both(np.hypot(side - np.float32(12.3), v - np.float32(4.3)) - np.float32(1.5), near), shine["nerve"])


def random_back(rng: np.random.Generator, grades: NDArray[np.int8]) -> Back:
    """A patient with the given grades, int8 (5 conditions, 5 levels); all else drawn from ``rng``."""
    size = float(rng.uniform(0.95, 1.05))
    pitch = _PITCH * size * rng.uniform(0.985, 1.015, len(_PITCH))
    edges = np.concatenate([[0.0], -np.cumsum(pitch)])
    edges -= (edges[4] + edges[5]) / 2  # the middle of L3 is the origin
    levels = Levels(NAMES, tuple(((edges[1:] + edges[:-1]) / 2).tolist()), tuple(edges[1:-1].tolist()))
    angles = rng.uniform(-1, 1, 3) * np.array([4.0, 3.0, 5.0])
    axis = Axis(
        slope=float(rng.uniform(-0.05, 0.03)),
        bend=float(rng.uniform(0.0026, 0.0034)),
        twist=float(rng.uniform(-2.0e-5, -1.5e-5)),
        bow=float(rng.uniform(-3e-4, 3e-4)),
        pose=pose((angles[0], angles[1], angles[2]), rng.uniform(-1, 1, 3) * np.array([5.0, 6.0, 6.0])),
    )
    boundaries = len(levels.boundaries)
    shares = np.ones((len(LUMBAR_CONDITIONS), boundaries), dtype=np.float32)
    moisture = rng.uniform(0.65, 1.0, boundaries).astype(np.float32)
    for condition, level in np.ndindex(grades.shape):
        grade = int(grades[condition, level])
        shares[condition, FIRST_DISC + level] = _OPEN[condition][grade] * rng.uniform(0.92, 1.05)
    for level in range(len(LUMBAR_LEVELS)):  # narrow levels have dry discs
        moisture[FIRST_DISC + level] *= 1 - 0.35 * int(grades[CANAL, level]) - 0.08 * int(grades[1:, level].max())
    return Back(axis, levels, grades, shares, np.clip(moisture, 0.05, 1), size)
