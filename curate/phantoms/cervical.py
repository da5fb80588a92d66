"""A neck as CT shows it: seven vertebrae, two below, skull base, jaw, airway and muscles, with fractures where asked.

Hounsfield units at any point, from distances to simple solids in spine coordinates; nothing is stored on a lattice, so
any series samples the same patient along its own planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.phantoms.shapes import Field, both, either, ellipse, ellipsoid, paint, shell, slab
from curate.phantoms.spine import Axis, Levels, pose

NAMES = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2", "T3")
MASK_LABELS = {name: n + 1 for n, name in enumerate(NAMES)}  # challenge map: C1..C7 = 1..7, T1.. = 8..

_PITCH = np.array([19.0, 20.0, 16.5, 16.5, 16.5, 16.5, 17.5, 19.0, 20.0, 20.0])
_HALF_HEIGHT = np.array([6.0, 8.5, 5.6, 5.6, 5.6, 5.7, 6.2, 7.0, 7.5, 7.5], dtype=np.float32)
_HALF_WIDTH = np.array([9.0, 8.5, 9.0, 9.5, 10.0, 10.8, 11.5, 12.0, 12.0, 12.0], dtype=np.float32)
_HALF_DEPTH = np.array([7.0, 7.2, 7.4, 7.6, 7.8, 8.2, 8.4, 8.6, 9.0, 9.0], dtype=np.float32)
_SPINOUS = np.array([4.0, 19.0, 14.0, 14.0, 16.0, 21.0, 29.0, 30.0, 28.0, 28.0], dtype=np.float32)

AIR, FAT, MUSCLE, BRAIN, CORD, FLUID, DISC, GAP = -1000.0, -95.0, 58.0, 36.0, 42.0, 12.0, 85.0, 25.0
TRABECULAR, CORTEX = 270.0, 880.0


@dataclass(frozen=True, slots=True)
class Fracture:
    """A cleft through one vertebra: a plane in its own coordinates and a step of what lies above it.

    ``centre``: (u, v, height above the middle of the vertebra), ``normal``: unit vector, both in spine coordinates;
    ``width`` of the cleft, ``reach`` of it around the centre, ``step``: how far the upper part is moved; millimetres.
    """

    level: int
    centre: tuple[float, float, float]
    normal: tuple[float, float, float]
    width: float
    reach: float
    step: float


@dataclass(frozen=True, slots=True)
class Neck:
    """One patient. ``size`` scales everything; ``build`` scales the soft tissue around the spine."""

    axis: Axis
    levels: Levels
    fractures: tuple[Fracture, ...]
    size: float
    build: float

    def centre_mm(self, level: int) -> NDArray[np.float64]:
        """LPS millimetres of the middle of a vertebra: its body, or the ring's centre for C1."""
        v = 3.0 if level == 0 else -float(_HALF_DEPTH[level])
        return self.axis.to_patient([0.0, v * self.size, self.levels.centres[level]])

    def fracture_mm(self, fracture: Fracture) -> NDArray[np.float64]:
        """LPS millimetres of the middle of a cleft."""
        u, v, h = fracture.centre
        return self.axis.to_patient([u * self.size, v * self.size, self.levels.centres[fracture.level] + h * self.size])

    def sample(self, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
        """Hounsfield units (float32), vertebra labels and cleft labels (uint8, 0 = none), each of ``grid.shape``."""
        values = np.empty(grid.shape, dtype=np.float32)
        labels, clefts = (np.zeros(grid.shape, dtype=np.uint8) for _ in range(2))
        step = max(1, 65536 // (grid.shape[1] * grid.shape[2]))
        for first in range(0, grid.shape[0], step):
            last = min(first + step, grid.shape[0])
            self._fill(grid, first, last, values[first:last], labels[first:last], clefts[first:last])
        return values, labels, clefts

    def _fill(
        self, grid: Grid, first: int, last: int, values: Field, labels: NDArray[np.uint8], clefts: NDArray[np.uint8]
    ) -> None:
        x, y, z = self.axis.scene_points(grid, first, last)
        # far from the spine the axis need not be met at a right angle: cheaper, and nothing there is aligned with discs
        u, v = x - np.float32(self.axis.bow) * z * z, y - self.axis.depth(z)
        values[...] = _soft_tissue(u / self.size, v / self.size, z / self.size, self._top / self.size, self.build)
        near = (np.abs(u) < 40 * self.size) & (v > -32 * self.size) & (v < 62 * self.size)
        if not near.any():
            return
        found = self._spine(values[near], *self.axis.from_scene(x[near], y[near], z[near]))
        values[near], labels[near], clefts[near] = found

    @property
    def _top(self) -> float:
        return self.levels.centres[0] + 11 * self.size

    def _spine(self, under: Field, u: Field, v: Field, s: Field) -> tuple[Field, NDArray[np.uint8], NDArray[np.uint8]]:
        # the rear of a vertebra hangs lower than its body: shingled laminae and slanting facet joints for one shear
        level = self.levels.index(s + np.float32(0.5) * np.clip(v - 3 * self.size, 0, 26 * self.size))
        shear = np.where(level > 0, np.float32(0.5) * np.clip(v / self.size - 3, 0, 26), np.float32(0))
        h = (s - np.asarray(self.levels.centres, dtype=np.float32)[level]) / self.size + shear
        u, v = u / self.size, v / self.size
        cleft, owner = np.full(u.shape, 99, dtype=np.float32), np.full(u.shape, -1, dtype=np.int8)
        for fracture in self.fractures:
            here = level == fracture.level
            if fracture.level == 1:  # the dens stands inside C1
                here |= (level == 0) & (np.hypot(u, v + 5) < 6.5)
            if here.any():
                lift = self._lift(fracture, level[here])
                distance = _break(fracture, u, v, h, here, lift)
                owner[here] = np.where(distance < cleft[here], fracture.level, owner[here])
                cleft[here] = np.minimum(cleft[here], distance)
        bone, number = _bone(u, v, h, level)
        cleft[owner != number] = 99  # a break of C1 spares the dens, one of the dens spares C1
        values = _tissue_near(under, u, v, h, level)
        grain = TRABECULAR + 45 * np.sin(u * 2.1) * np.sin(v * 1.9 + h * 1.7)
        paint(values, bone, CORTEX, 1.4)
        paint(values, bone + np.float32(1.9), grain.astype(np.float32), 1.4)
        open_cleft = np.maximum(cleft, bone - 1)
        paint(values, open_cleft, GAP, 1.0)
        label = np.where(bone < 0, number + 1, 0).astype(np.uint8)
        broken = np.where((cleft < 0.6) & (bone < 0.3), number + 1, 0).astype(np.uint8)
        return values, label, broken

    def _lift(self, fracture: Fracture, level: NDArray[np.intp]) -> Field:
        centres = np.asarray(self.levels.centres, dtype=np.float32)
        lift: Field = (centres[level] - centres[fracture.level]) / np.float32(self.size)
        return lift


def _break(fracture: Fracture, u: Field, v: Field, h: Field, here: NDArray[np.bool_], lift: Field) -> Field:
    """Distance to the cleft; moves what lies above it by changing u and v in place."""
    du, dv = u[here] - fracture.centre[0], v[here] - fracture.centre[1]
    dh = h[here] + lift - fracture.centre[2]
    away = du * fracture.normal[0] + dv * fracture.normal[1] + dh * fracture.normal[2]
    wave = np.float32(0.5) * np.sin(du * 0.9 + dv * 0.7)  # breaks are not planes
    within = np.sqrt(du * du + dv * dv + dh * dh) - np.float32(fracture.reach)
    distance = np.maximum(np.abs(away + wave) - np.float32(fracture.width / 2), within)
    moved = (away > 0) & (within < 0)
    v[here] += np.where(moved, np.float32(fracture.step), np.float32(0))
    u[here] += np.where(moved, np.float32(fracture.step * 0.3), np.float32(0))
    return distance


def _bone(u: Field, v: Field, h: Field, level: NDArray[np.intp]) -> tuple[Field, NDArray[np.intp]]:
    """Distance to bone and the vertebra it belongs to."""
    bone = np.full(u.shape, 99, dtype=np.float32)
    number = level.copy()
    atlas = level == 0
    rest = ~atlas
    if rest.any():
        bone[rest] = _vertebra(u[rest], v[rest], h[rest], level[rest])
    if atlas.any():
        ring, dens = _atlas(u[atlas], v[atlas], h[atlas])
        bone[atlas] = np.minimum(ring, dens)
        number[atlas] = np.where(dens < ring, 1, 0)
    return bone, number


def _vertebra(u: Field, v: Field, h: Field, level: NDArray[np.intp]) -> Field:
    width, depth, height = _HALF_WIDTH[level], _HALF_DEPTH[level], _HALF_HEIGHT[level]
    side = np.abs(u)
    axis2 = level == 1
    waist = np.float32(1) - np.float32(0.09) * np.clip(1 - (h / height) ** 2, 0, 1)
    body = both(ellipse(u, v + depth, width * waist, depth * waist), np.abs(h) - height)
    dens = both(ellipse(u, v + np.float32(5), 5.0, 4.9), -h)
    body = np.where(axis2, np.minimum(body, dens), body)
    canal = _canal(u, v)
    rear = v > 6
    arch = both(shell(canal, 3.6), slab(h, np.where(rear, np.float32(-6.5), np.float32(-0.5)), 5.2))
    half = np.where(axis2, np.float32(7), np.float32(7.4))
    pillar = both(ellipse(side - 16, v - np.float32(5.5), 5.4, 6.2), np.abs(h) - half)
    thoracic = level >= 7
    process = both(ellipse(side - 14, v + np.float32(3.5), 6.2, 4.6), np.abs(h - 0.5) - np.float32(4.2))
    process = np.maximum(process, -(np.hypot(side - 14, v + np.float32(3.5)) - np.float32(2.6)))
    wing = ellipsoid(side - 24, v - np.float32(4), h, (13.0, 5.0, 4.2))
    process = np.where(thoracic, wing, process)
    spinous = both(side - np.float32(2.6), slab(v, 14.5, 15 + _SPINOUS[level]), np.abs(h + 0.5) - np.float32(4.4))
    solid = either(body, arch, pillar, process, spinous)
    return np.maximum(solid, -canal)


def _canal(u: Field, v: Field) -> Field:
    """The canal at C2 and below: wider than deep."""
    return ellipse(u, v - np.float32(7.6), 11.2, 7.2)


def _atlas(u: Field, v: Field, h: Field) -> tuple[Field, Field]:
    """Distances to the ring of C1 and to the dens of C2 inside it."""
    side = np.abs(u)
    opening = ellipse(u, v - np.float32(3), 14.5, 15.0)
    ring = both(shell(opening, 4.6), np.abs(h) - np.float32(4.6))
    mass = ellipsoid(side - np.float32(17.5), v + np.float32(3), h, (7.0, 9.5, 9.0))
    process = both(ellipse(side - 27, v + np.float32(1), 9.0, 5.0), np.abs(h) - np.float32(4.5))
    process = np.maximum(process, -(np.hypot(side - 28, v + np.float32(1)) - np.float32(2.8)))
    dens = both(ellipse(u, v + np.float32(5), 5.0, 4.9), h - np.float32(6.5))
    dome = ellipsoid(u, v + np.float32(5), h, (9.0, 9.0, 8.0))
    dens = np.where(h > 0, np.maximum(dens, dome), dens)
    return either(ring, mass, process), dens


def _tissue_near(under: Field, u: Field, v: Field, h: Field, level: NDArray[np.intp]) -> Field:
    """Disc, canal contents and the fat of the foramina over the soft tissue, before bone is laid on."""
    values = under.copy()
    width, depth = _HALF_WIDTH[level], _HALF_DEPTH[level]
    disc = np.where(level > 0, ellipse(u, v + depth, width, depth), np.float32(99))
    paint(values, disc.astype(np.float32), DISC)
    foramen = both(ellipse(np.abs(u) - 13, v - np.float32(3), 6.0, 5.0), -h)
    paint(values, np.where(level > 0, foramen, np.float32(99)).astype(np.float32), FAT * 0.5)
    atlas = level == 0
    canal = np.where(atlas, ellipse(u, v - np.float32(8), 11.0, 8.5), _canal(u, v))
    paint(values, canal, FLUID)
    paint(values, ellipse(u, v - np.float32(7.6), 6.8, 4.4), CORD)
    paint(values, np.hypot(np.abs(u) - 14, v + np.float32(3.5)) - np.float32(2.2), 75.0)
    return values


def _soft_tissue(u: Field, v: Field, z: Field, top: float, build: float) -> Field:
    """Everything that is not spine."""
    side = np.abs(u)
    below = np.float32(top) - z  # millimetres under the skull base
    shoulder = np.clip((below - 105) / 28, 0, 1)
    jaw = np.clip((62 - below) / 25, 0, 1)
    wide = (58 + 4 * jaw + 60 * shoulder * shoulder) * np.float32(build)
    long = (52 + 12 * jaw + 8 * shoulder) * np.float32(build)
    skin = ellipse(u, v + np.float32(10) + 6 * jaw, wide, long)
    values = np.full(u.shape, AIR, dtype=np.float32)
    paint(values, skin, 20.0, 1.6)
    paint(values, skin + np.float32(2.2), FAT, 1.6)
    paint(values, both(skin + np.float32(6.5), -(skin + np.float32(15)), 8 - v), MUSCLE, 2.0)
    for distance in (
        ellipse(side - 12, v - np.float32(27), 10.5, 15.0),
        ellipse(side - 27, v - np.float32(17), 9.0, 15.0),
        ellipse(side - np.float32(41), v + np.float32(6), 8.5, 16.0),
        ellipse(side - 8, v + np.float32(19), 8.0, 4.0),
        ellipse(side - 24, v + np.float32(2), 7.0, 8.0),
        ellipse(u, v + np.float32(37), 27.0, 19.0),
        np.hypot(side - 30, v + np.float32(20)) - np.float32(4.5),
    ):
        paint(values, distance, MUSCLE, 2.0)
    airway = ellipse(u, v + np.float32(31), 8.5 + 5 * jaw, 6.5)
    cartilage = both(shell(ellipse(u, v + np.float32(34), 14.0, 13.0), 2.4), slab(below, 70, 96), v + np.float32(28))
    paint(values, cartilage, 210.0)
    paint(values, both(airway, 20 - below), AIR)
    horseshoe = both(np.abs(ellipse(u, v + np.float32(20), 41.0, 43.0)) - np.float32(4.2), v + np.float32(16))
    mandible = both(horseshoe, slab(below, 26, 50))
    paint(values, mandible, 950.0)
    paint(values, mandible + np.float32(2.2), 330.0)
    _skull_base(values, u, v, below)
    return values


def _skull_base(values: Field, u: Field, v: Field, below: Field) -> None:
    if float(below.min()) > 12:
        return
    inside = ellipsoid(u, v - np.float32(12), below + np.float32(52), (60.0, 66.0, 54.0))
    paint(values, inside, BRAIN)
    opening = ellipse(u, v - np.float32(8), 15.0, 17.0)
    bone = either(
        np.maximum(shell(inside, 6.0), -opening),
        ellipsoid(np.abs(u) - np.float32(16.5), v + np.float32(2), below - np.float32(0.5), (7.0, 10.0, 5.0)),
    )
    paint(values, np.maximum(bone, below - np.float32(4)), CORTEX, 1.4)
    paint(values, np.maximum(bone, below - np.float32(4)) + np.float32(2), 380.0, 1.4)
    paint(values, both(opening, below - np.float32(3)), CORD)


def random_neck(rng: np.random.Generator, broken: tuple[int, ...]) -> Neck:
    """A patient with fractures of the vertebrae ``broken`` (0 = C1 .. 6 = C7); all else drawn from ``rng``."""
    size = float(rng.uniform(0.94, 1.08))
    pitch = _PITCH * size * rng.uniform(0.98, 1.02, len(_PITCH))
    edges = np.concatenate([[0.0], -np.cumsum(pitch)])
    edges += float(pitch[:7].sum() / 2)
    levels = Levels(NAMES, tuple(((edges[1:] + edges[:-1]) / 2).tolist()), tuple(edges[1:-1].tolist()))
    angles = tuple(rng.uniform(-1, 1, 3) * np.array([7.0, 4.0, 7.0]))
    origin = rng.uniform(-1, 1, 3) * np.array([6.0, 6.0, 8.0]) + np.array([0.0, 18.0, 0.0])
    axis = Axis(
        slope=float(rng.uniform(-0.06, 0.06)),
        bend=float(rng.uniform(0.0005, 0.0042)),
        twist=float(rng.uniform(-1.2e-5, 1.2e-5)),
        bow=float(rng.uniform(-4e-4, 4e-4)),
        pose=pose((angles[0], angles[1], angles[2]), origin),
    )
    build = float(rng.uniform(0.94, 1.06))
    fractures = tuple(cleft for level in broken for cleft in _fractures(rng, level))  # last: else the same patient
    return Neck(axis, levels, fractures, size, build)


def _fractures(rng: np.random.Generator, level: int) -> tuple[Fracture, ...]:
    """The usual pattern of each level: a burst ring (C1), the base of the dens (C2), a cleft through body and arch."""
    width, step = float(rng.uniform(2.6, 3.8)), float(rng.uniform(1.5, 3.0)) * float(rng.choice([-1, 1]))
    turn = float(rng.uniform(-0.35, 0.35))
    if level == 0:
        side = float(rng.choice([-1, 1]))
        front = Fracture(0, (side * 6, -13.0, 0.0), _unit(1, 0.3 * side, turn), width, 9.0, 0.0)
        back = Fracture(0, (-side * 9, 17.0, 0.0), _unit(1, -0.4 * side, turn), width, 9.0, 0.0)
        return front, back
    if level == 1:
        return (Fracture(1, (0.0, -6.0, 7.5), _unit(turn * 0.5, 0.15, 1), width, 11.0, step),)
    depth = -float(_HALF_DEPTH[level])
    tilt = float(rng.uniform(0.5, 1.1)) * float(rng.choice([-1, 1]))
    body = Fracture(level, (0.0, depth, float(rng.uniform(-1.5, 1.5))), _unit(turn, tilt, 1), width, 13.0, step)
    side = float(rng.choice([-1, 1]))
    arch = Fracture(level, (side * 9, 12.0, 0.0), _unit(1, 0.5 * side, turn), width * 0.8, 8.0, 0.0)
    return body, arch


def _unit(u: float, v: float, h: float) -> tuple[float, float, float]:
    length = float(np.sqrt(u * u + v * v + h * h))
    return u / length, v / length, h / length
