"""Label tables of the two challenges: read, keyed, placed in patient and voxel coordinates, and checked by rule."""

from curate.labels.cervical import CervicalLabels, read_cervical_labels
from curate.labels.issues import Issue, issues_table
from curate.labels.lumbar import LumbarLabels, read_lumbar_labels, with_series_types
from curate.labels.placement import place_boxes, place_points, source_of

__all__ = [
    "CervicalLabels",
    "Issue",
    "LumbarLabels",
    "issues_table",
    "place_boxes",
    "place_points",
    "read_cervical_labels",
    "read_lumbar_labels",
    "source_of",
    "with_series_types",
]
