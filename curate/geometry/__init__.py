"""Grids, orientation, resampling, and mapping of points both ways.

``resample_torch`` (the same on tensors) is imported by its own name, so that nothing else needs torch.
"""

from curate.geometry.grid import Affine, Grid, Points
from curate.geometry.mapping import box_corners, patient_to_pixel, pixel_to_patient
from curate.geometry.normalise import normalise
from curate.geometry.onto import resample_onto
from curate.geometry.orientation import axis_order, orient, radiological_code
from curate.geometry.placement import Placement
from curate.geometry.resample import resample

__all__ = [
    "Affine",
    "Grid",
    "Placement",
    "Points",
    "axis_order",
    "box_corners",
    "normalise",
    "orient",
    "patient_to_pixel",
    "pixel_to_patient",
    "radiological_code",
    "resample",
    "resample_onto",
]
