"""The values that a header scan reads, as an Arrow schema.

Raw values: this table identifies people. The catalogue step turns it into keyed rows before anything is stored.
"""

from __future__ import annotations

import pyarrow as pa

HEADER_SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # folder or archive file, then, below, the path inside it
        ("member", pa.string()),
        ("size_bytes", pa.int64()),
        ("reason", pa.string()),  # null: readable; else a Reason code and every value below is null
        ("detail", pa.string()),
        ("header_bytes", pa.int64()),  # offset of the pixel data element, or the whole file
        ("transfer_syntax_uid", pa.string()),
        ("sop_class_uid", pa.string()),
        ("sop_instance_uid", pa.string()),
        ("study_instance_uid", pa.string()),
        ("series_instance_uid", pa.string()),
        ("frame_of_reference_uid", pa.string()),
        ("patient_id", pa.string()),
        ("issuer_of_patient_id", pa.string()),
        ("patient_sex", pa.string()),
        ("patient_age", pa.string()),
        ("modality", pa.string()),
        ("image_type", pa.string()),  # values joined by a backslash
        ("conversion_type", pa.string()),
        ("burned_in_annotation", pa.string()),
        ("manufacturer", pa.string()),
        ("manufacturer_model_name", pa.string()),
        ("convolution_kernel", pa.string()),
        ("instance_number", pa.int64()),
        ("acquisition_number", pa.int64()),
        ("echo_time_ms", pa.float64()),
        ("rows", pa.int64()),
        ("columns", pa.int64()),
        ("number_of_frames", pa.int64()),
        ("samples_per_pixel", pa.int64()),
        ("photometric_interpretation", pa.string()),
        ("bits_allocated", pa.int64()),
        ("bits_stored", pa.int64()),
        ("pixel_representation", pa.int64()),
        ("pixel_spacing_mm", pa.list_(pa.float64(), 2)),  # between rows, between columns
        ("slice_thickness_mm", pa.float64()),
        ("gantry_tilt_deg", pa.float64()),
        ("image_position_mm", pa.list_(pa.float64(), 3)),  # LPS
        ("image_orientation", pa.list_(pa.float64(), 6)),  # direction of a row, direction of a column
        ("rescale_slope", pa.float64()),
        ("rescale_intercept", pa.float64()),
        ("has_pixels", pa.bool_()),
    ]
)
