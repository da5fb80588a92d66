"""Every table that a store or a release holds, as Arrow schemas. All keyed: none has a value that identifies.

Units: millimetres, LPS frame. Index columns are in the array order of the volume, (k, j, i). Affines are 16 numbers,
row by row, mapping (k, j, i, 1) to LPS millimetres.
"""

from __future__ import annotations

import pyarrow as pa

AFFINE = pa.list_(pa.float64(), 16)
TRIPLE = pa.list_(pa.float64(), 3)

_FRAME = pa.struct(  # of a multi-frame object or a mosaic; lists are null where the header has no such numbers
    [
        ("frame", pa.int32()),  # from 0
        ("image_position_mm", pa.list_(pa.float64())),
        ("image_orientation", pa.list_(pa.float64())),
        ("pixel_spacing_mm", pa.list_(pa.float64())),
        ("slice_thickness_mm", pa.float64()),
        ("rescale_slope", pa.float64()),
        ("rescale_intercept", pa.float64()),
        ("instance_number", pa.int64()),
        ("kind", pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))),  # tells frames at a place apart
        ("tile", pa.list_(pa.int32())),  # first row, first column, rows, columns in the mosaic
    ]
)

_KEYS = [
    ("site", pa.string()),
    ("patient_key", pa.string()),
    ("study_key", pa.string()),
    ("series_key", pa.string()),
]

FILES = pa.schema(  # catalogue: what is not an instance of a series, one row a file
    [
        ("site", pa.string()),
        ("file_key", pa.string()),
        ("size_bytes", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)

INSTANCES = pa.schema(  # catalogue: one row an instance, sorted by (series_key, stack, position_in_stack, instance_key)
    [
        *_KEYS,
        ("instance_key", pa.string()),
        ("file_key", pa.string()),
        ("size_bytes", pa.int64()),
        ("header_digest", pa.string()),  # keyed digest of the header bytes
        ("stamp", pa.string()),  # keyed digest of size and modification time of the file, to notice change
        ("reason", pa.string()),  # null: used; else why this instance was set apart
        ("stack", pa.int32()),
        ("position_in_stack", pa.int32()),
        ("transfer_syntax_uid", pa.string()),
        ("sop_class_uid", pa.string()),
        ("modality", pa.string()),
        ("image_type", pa.string()),
        ("conversion_type", pa.string()),
        ("burned_in_annotation", pa.string()),
        ("instance_number", pa.int64()),
        ("acquisition_number", pa.int64()),
        ("temporal_position", pa.int64()),
        ("echo_time_ms", pa.float64()),
        ("trigger_time_ms", pa.float64()),
        ("inversion_time_ms", pa.float64()),
        ("flip_angle_deg", pa.float64()),
        ("b_value", pa.float64()),  # s/mm2
        ("kernel_key", pa.string()),  # keyed digest of the convolution kernel
        ("rows", pa.int64()),
        ("columns", pa.int64()),
        ("number_of_frames", pa.int64()),
        ("samples_per_pixel", pa.int64()),
        ("photometric_interpretation", pa.string()),
        ("bits_allocated", pa.int64()),
        ("bits_stored", pa.int64()),
        ("pixel_representation", pa.int64()),
        ("pixel_spacing_mm", pa.list_(pa.float64(), 2)),
        ("slice_thickness_mm", pa.float64()),
        ("image_position_mm", TRIPLE),
        ("image_orientation", pa.list_(pa.float64(), 6)),
        ("rescale_slope", pa.float64()),
        ("rescale_intercept", pa.float64()),
        ("frames", pa.list_(_FRAME)),  # null: one frame, which the columns above describe
    ]
)

SERIES = pa.schema(  # catalogue and manifests: one row a series; the manifest's status is final
    [
        *_KEYS,
        ("modality", pa.string()),
        ("series_type", pa.string()),  # lumbar: Sagittal T1 | Sagittal T2/STIR | Axial T2
        ("manufacturer", pa.string()),
        ("manufacturer_model_name", pa.string()),
        ("patient_sex", pa.string()),
        ("instances", pa.int64()),  # in the archive
        ("instances_used", pa.int64()),
        ("stacks", pa.int32()),
        ("size_bytes", pa.int64()),
        ("memory_bytes", pa.int64()),  # estimated peak of building it
        ("status", pa.string()),  # catalogue: accepted | rejected; manifest: done | rejected | quarantined
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("fingerprint", pa.string()),  # catalogue: of headers, sizes and times; manifest: of content, null if not done
    ]
)

VOLUMES = pa.schema(  # one row a volume (a stack of a series)
    [
        *_KEYS,
        ("stack", pa.int32()),
        ("series_type", pa.string()),
        ("levels", pa.list_(pa.string())),  # lumbar: l1_l2 .. l5_s1 inside it by the readers' points; null: unknown
        ("split", pa.string()),
        ("modality", pa.string()),
        ("uri", pa.string()),  # relative to the store or release
        ("objects", pa.list_(pa.string())),  # keys of every object of the volume, relative to uri
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),  # of the shard that holds the voxels
        ("shape", pa.list_(pa.int64(), 3)),
        ("dtype", pa.string()),
        ("units", pa.string()),  # HU | stored
        ("spacing_mm", TRIPLE),
        ("affine", AFFINE),
        ("axis_codes", pa.string()),
        ("slice_axis", pa.int32()),  # the array axis along which slices were acquired
        ("source_shape", pa.list_(pa.int64(), 3)),  # (slices, rows, columns) as acquired
        ("source_affine", AFFINE),  # slices evenly between first and last; the true place of each is in SLICES
        ("gap_min_mm", pa.float64()),  # between neighbouring slices as acquired
        ("gap_max_mm", pa.float64()),
        ("missing_slices", pa.int64()),
        ("tilt_deg", pa.float64()),  # of the line of positions from the normal of the planes
        ("intensity_min", pa.float64()),
        ("intensity_max", pa.float64()),
        ("intensity_mean", pa.float64()),
        ("intensity_p01", pa.float64()),
        ("intensity_p99", pa.float64()),
        ("flags", pa.list_(pa.string())),
        ("detail", pa.string()),  # the flags of the stack in numbers
    ]
)

SLICES = pa.schema(  # one row a source slice of a volume: the way back to what a radiologist looks at
    [
        ("series_key", pa.string()),
        ("stack", pa.int32()),
        ("position_in_stack", pa.int32()),  # first index of source_affine
        ("instance_key", pa.string()),
        ("frame", pa.int32()),  # of a multi-frame object, from 0
        ("instance_number", pa.int64()),
        ("dicom", pa.string()),  # the de-identified file, relative to the store or release
        ("dicom_sha256", pa.string()),
        ("image_position_mm", TRIPLE),
    ]
)

_PLACE = [
    ("study_key", pa.string()),
    ("series_key", pa.string()),
    ("stack", pa.int32()),
    ("instance_key", pa.string()),
    ("instance_number", pa.int64()),
]

BOXES = pa.schema(  # a rectangle on one source slice; column, row: upper-left corner, pixel centres at whole numbers
    [
        *_PLACE,
        ("label", pa.string()),
        ("column", pa.float64()),
        ("row", pa.float64()),
        ("width", pa.float64()),
        ("height", pa.float64()),
        # four corners, LPS, in order (row, column): low-low, low-high, high-high, high-low
        ("corners_mm", pa.list_(pa.float64(), 12)),
        ("corners_index", pa.list_(pa.float64(), 12)),  # the same in the volume, (k, j, i)
    ]
)

POINTS = pa.schema(
    [
        *_PLACE,
        ("condition", pa.string()),  # spinal_canal_stenosis, left_neural_foraminal_narrowing, ...
        ("level", pa.string()),  # l1_l2 .. l5_s1
        ("column", pa.float64()),
        ("row", pa.float64()),
        ("point_mm", TRIPLE),
        ("point_index", TRIPLE),
    ]
)

OBJECTS = pa.schema(  # anatomy found in masks (cervical) or points (lumbar): where crops go
    [
        ("study_key", pa.string()),
        ("series_key", pa.string()),
        ("stack", pa.int32()),
        ("object", pa.string()),  # C1..C7; or condition:level
        ("centroid_mm", TRIPLE),
        ("centroid_index", TRIPLE),
        ("box_low_index", TRIPLE),
        ("box_high_index", TRIPLE),
        ("voxels", pa.int64()),
    ]
)

CERVICAL_TARGETS = ("patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7")
LUMBAR_CONDITIONS = (
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
)
LUMBAR_LEVELS = ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")
LUMBAR_TARGETS = tuple(f"{condition}_{level}" for condition in LUMBAR_CONDITIONS for level in LUMBAR_LEVELS)
LUMBAR_GRADES = ("Normal/Mild", "Moderate", "Severe")
SERIES_TYPES = ("Sagittal T1", "Sagittal T2/STIR", "Axial T2")

_SAMPLE = [
    ("site", pa.string()),
    ("patient_key", pa.string()),
    ("study_key", pa.string()),
    ("split", pa.string()),  # train | validation | test
    ("volumes", pa.list_(pa.string())),  # uris
]
CERVICAL_SAMPLES = pa.schema([*_SAMPLE, *((name, pa.int8()) for name in CERVICAL_TARGETS)])  # 0, 1
LUMBAR_SAMPLES = pa.schema([*_SAMPLE, *((name, pa.int8()) for name in LUMBAR_TARGETS)])  # 0, 1, 2; null: not graded

LABEL_ISSUES = pa.schema(  # label rows that were not used, or used with doubt
    [
        ("table", pa.string()),  # train | boxes | coordinates | series_descriptions | masks
        ("row", pa.int64()),  # counted from 0 without the header line
        ("study_key", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)

_COUNT = pa.struct([pa.field("what", pa.string(), nullable=False), pa.field("elements", pa.int64(), nullable=False)])
_BOX = pa.struct([("cause", pa.string()), *((side, pa.int32()) for side in ("top", "left", "bottom", "right"))])

FILE_AUDIT = pa.schema(  # how each file was de-identified; one row a file, nothing of what stood in it
    [
        ("series_key", pa.string()),
        ("instance_key", pa.string()),
        ("profile", pa.string()),
        ("profile_digest", pa.string()),
        ("edition", pa.string()),  # of PS3.15 Table E.1-1
        ("options", pa.list_(pa.string())),  # CID 7050 codes
        ("key_fingerprint", pa.string()),
        ("code_version", pa.string()),
        ("sop_class_uid", pa.string()),
        ("source_digest", pa.string()),  # keyed
        ("output_sha256", pa.string()),
        ("counts", pa.list_(_COUNT)),  # what was done -> elements at any depth
        ("flags", pa.list_(pa.string())),  # what made the pixels worth a look
        ("blanked", pa.list_(_BOX)),  # rectangles made black in all frames, ends not included
    ]
)
AUDIT = pa.schema(  # of a release: numbered, and each entry is a digest over its row and the entry before
    [("number", pa.int64()), *FILE_AUDIT, ("entry", pa.string())]
)
