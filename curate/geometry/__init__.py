"""Grids, orientation, resampling, and mapping of points both ways."""

from curate.geometry.grid import Affine, Grid, Points
from curate.geometry.mapping import box_corners, patient_to_pixel, pixel_to_patient
from curate.geometry.orientation import orient, radiological_code
from curate.geometry.resample import resample, resample_onto

__all__ = [
    "Affine",
    "Grid",
    "Points",
    "box_corners",
    "orient",
    "patient_to_pixel",
    "pixel_to_patient",
    "radiological_code",
    "resample",
    "resample_onto",
]
