"""Grids, orientation, resampling, and mapping of points both ways."""

from curate.geometry.grid import Affine, Grid, Points

__all__ = ["Affine", "Grid", "Points"]
