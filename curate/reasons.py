"""The closed list of reason codes: why a file or a series is not in the result, or why a label could not be placed.

Reports, documentation and tests read this list. A code, once released, keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

from curate.worded import Worded


class Reason(Worded):
    """One member a code; ``.text`` is its line of English."""

    # files
    EMPTY_FILE = "empty_file", "The file has no bytes."
    NOT_DICOM = "not_dicom", "The file is not DICOM."
    TRUNCATED_FILE = "truncated_file", "The file ends before its header or its pixel data do."
    NOT_PERMITTED = "not_permitted", "The file is there and may not be read: its permissions forbid it."
    UNREADABLE_HEADER = "unreadable_header", "The DICOM header breaks the encoding rules and cannot be parsed."
    UNREADABLE_ARCHIVE = "unreadable_archive", "The zip or tar file itself is damaged or encrypted."
    UNSAFE_NAME = "unsafe_name", "The archive member has an absolute path, a '..' part, or is a link or device."
    SUSPICIOUS_COMPRESSION = "suspicious_compression", "The archive member inflates beyond the allowed ratio or size."
    SOURCE_CHANGED = (
        "source_changed",
        "The file changed after its header was read.",
    )
    FILE_TOO_LARGE = "file_too_large", "The file is larger than the limit."
    MISSING_IDENTIFIERS = "missing_identifiers", "The header lacks a study, series or instance UID."
    NOT_AN_IMAGE = "not_an_image", "The object holds no pixels (directory, report, presentation state)."
    DUPLICATE_INSTANCE = "duplicate_instance", "The same instance with the same header is already in the series."
    CONFLICTING_INSTANCE = "conflicting_instance", "The same SOP Instance UID names objects with different content."
    # series
    MIXED_IDENTITY = "mixed_identity", "One series UID stands under several patients or studies."
    SEVERAL_SITES = "several_sites", "The same series came from several sites: keep it in the archives of one of them."
    WRONG_MODALITY = "wrong_modality", "The modality is not the one that the task uses."
    LOCALIZER = "localizer", "A localizer (scout) image, not a volume."
    SECONDARY_CAPTURE = "secondary_capture", "A screen or secondary capture, which may show identifying text."
    UNKNOWN_SOP_CLASS = (
        "unknown_sop_class",
        "The SOP class is not on the list of image classes that can be de-identified.",
    )
    NOT_MONOCHROME = "not_monochrome", "Colour pixels: not a CT or MR intensity image."
    MULTIFRAME = "multiframe", "A multi-frame object; only single-frame objects are assembled."
    MISSING_GEOMETRY = "missing_geometry", "Position, orientation or pixel spacing is missing or not a number."
    MISSING_RESCALE = (
        "missing_rescale",
        "A CT image without rescale slope and intercept: its values are no Hounsfield units.",
    )
    IMPLAUSIBLE_HEADER = "implausible_header", "Sizes in the header cannot be true for the bytes that are there."
    MIXED_MATRIX = "mixed_matrix", "Images of different rows, columns or pixel spacing under one series."
    MIXED_ORIENTATION = "mixed_orientation", "Planes of many orientations: not a stack of parallel slices."
    GANTRY_TILT = "gantry_tilt", "Slice positions drift across the plane (gantry tilt)."
    SLICE_GAP = "slice_gap", "One or more slices are missing."
    IRREGULAR_SPACING = "irregular_spacing", "The distance between slices changes along the stack."
    REPEATED_POSITION = (
        "repeated_position",
        "Several different images lie at one position (echo, time, reconstruction).",
    )
    TOO_FEW_SLICES = "too_few_slices", "Fewer slices than the spec asks for."
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax", "No installed decoder reads this transfer syntax."
    UNDECODABLE_PIXELS = "undecodable_pixels", "The pixel data are damaged and cannot be decoded."
    TOO_LARGE = "too_large", "The series needs more memory than any worker has."
    # privacy
    BURNED_IN_ANNOTATION = "burned_in_annotation", "The header says that text is burned into the pixels."
    DEIDENTIFICATION_FAILED = "deidentification_failed", "The object could not be de-identified with certainty."
    LEAK_FOUND = "leak_found", "A known identifier was found in what was written."
    # what was written
    VERIFICATION_FAILED = "verification_failed", "Reading back gave other bytes than were written."
    # runtime
    UNEXPECTED_ERROR = "unexpected_error", "An error that nobody foresaw; a bug, or data of a new kind."
    STORAGE_UNAVAILABLE = "storage_unavailable", "Storage kept refusing after all retries."
    WORKER_CRASHED = "worker_crashed", "The worker process died each time it worked on this."
    TIMED_OUT = "timed_out", "The work on this did not end within its deadline, each time."
    # labels
    LABEL_UNKNOWN_STUDY = "label_unknown_study", "The label names a study that the archive does not hold."
    LABEL_UNKNOWN_SERIES = "label_unknown_series", "The label names a series that the study does not hold."
    LABEL_UNKNOWN_INSTANCE = (
        "label_unknown_instance",
        "The label names an instance number that the series does not hold.",
    )
    LABEL_SERIES_NOT_DONE = "label_series_not_done", "The label lies on a series that was rejected or quarantined."
    LABEL_OUTSIDE_FRAME = "label_outside_frame", "The box or point lies outside the image."
    LABEL_AMBIGUOUS = "label_ambiguous", "The label fits more than one series or slice."
    LABEL_CONTRADICTION = "label_contradiction", "Labels of one study contradict each other."
    LABEL_DUPLICATE = "label_duplicate", "The same label stands more than once."
    LABEL_MALFORMED = "label_malformed", "The label row cannot be read (not a number, unknown level or grade)."
    MASK_UNREADABLE = "mask_unreadable", "The mask file cannot be read."
    MASK_MISPLACED = "mask_misplaced", "The mask does not lie on the spine of the images: flipped, moved or another's."


REASONS: Mapping[str, Reason] = {reason.value: reason for reason in Reason}  # by code
