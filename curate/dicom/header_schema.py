"""What the header scan reads: columns, and the element behind each of them."""

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
        ("temporal_position", pa.int64()),
        ("echo_time_ms", pa.float64()),
        ("trigger_time_ms", pa.float64()),
        ("inversion_time_ms", pa.float64()),
        ("flip_angle_deg", pa.float64()),
        ("b_value", pa.float64()),  # s/mm2
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

CHARACTER_SET = 0x00080005
SOP_CLASS = 0x00080016
IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.2.", "1.2.840.10008.5.1.4.1.1.4.")  # CT, MR and enhanced (PS3.4 B.5)

TEXTS = {
    "sop_class_uid": SOP_CLASS,
    "sop_instance_uid": 0x00080018,
    "study_instance_uid": 0x0020000D,
    "series_instance_uid": 0x0020000E,
    "frame_of_reference_uid": 0x00200052,
    "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021,
    "patient_sex": 0x00100040,
    "patient_age": 0x00101010,
    "modality": 0x00080060,
    "image_type": 0x00080008,
    "conversion_type": 0x00080064,
    "burned_in_annotation": 0x00280301,
    "manufacturer": 0x00080070,
    "manufacturer_model_name": 0x00081090,
    "convolution_kernel": 0x00181210,
    "photometric_interpretation": 0x00280004,
}
INTEGERS = {
    "instance_number": (0x00200013, "IS"),
    "acquisition_number": (0x00200012, "IS"),
    "temporal_position": (0x00200100, "IS"),
    "rows": (0x00280010, "US"),
    "columns": (0x00280011, "US"),
    "number_of_frames": (0x00280008, "IS"),
    "samples_per_pixel": (0x00280002, "US"),
    "bits_allocated": (0x00280100, "US"),
    "bits_stored": (0x00280101, "US"),
    "pixel_representation": (0x00280103, "US"),
}
NUMBERS = {
    "echo_time_ms": 0x00180081,
    "trigger_time_ms": 0x00181060,
    "inversion_time_ms": 0x00180082,
    "flip_angle_deg": 0x00181314,
    "slice_thickness_mm": 0x00180050,
    "gantry_tilt_deg": 0x00181120,
    "rescale_slope": 0x00281053,
    "rescale_intercept": 0x00281052,
}
DOUBLES = {"b_value": 0x00189087}
LISTS = {
    "pixel_spacing_mm": (0x00280030, 2),
    "image_position_mm": (0x00200032, 3),
    "image_orientation": (0x00200037, 6),
}
WANTED = frozenset(
    (
        CHARACTER_SET,
        *TEXTS.values(),
        *NUMBERS.values(),
        *DOUBLES.values(),
        *(tag for tag, _ in INTEGERS.values()),
        *(tag for tag, _ in LISTS.values()),
    )
)
