"""What a data engineer can do about a series or file that is not done: which line of the spec, or what outside it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from curate.deid.review.report import next_step
from curate.reasons import Reason

_AGAIN = "`curate run SPEC --retry-quarantined`"
_IN_SPEC: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.BURNED_IN_ANNOTATION: "Have text in pixels found and blanked: [deid] options with "
        '"clean_pixel_data" beside the profile\'s own (the extra [ocr] finds it); or leave these out.',
        Reason.SECONDARY_CAPTURE: "If these are images of the study: [deid] allow with "
        '"secondary_capture"; then look at each.',
        Reason.SLICE_GAP: "Ask for the missing slices; or allow more with [volumes] maximum_gap_mm, maximum_missing.",
        Reason.TOO_FEW_SLICES: "If such short stacks are wanted: [volumes] minimum_slices.",
        Reason.UNDECODABLE_PIXELS: "Ask for the files again; or allow more damaged slices: [volumes] maximum_missing.",
        Reason.WRONG_MODALITY: "Nothing: the other task's spec takes these.",
        Reason.LOCALIZER: "Nothing: localizers are no volumes.",
        Reason.MULTIFRAME: "Ask for the single images, or for an enhanced object.",
        Reason.TOO_LARGE: "Run again on nodes with more memory: a larger lane is tried by itself.",
        Reason.TIMED_OUT: f"If it is only slow: [runtime] deadline_seconds, then {_AGAIN}. Its last lines stand above.",
        Reason.WORKER_CRASHED: f"Report it with its last lines; after an upgrade: {_AGAIN}.",
        Reason.UNEXPECTED_ERROR: f"Report it with the place it names; after an upgrade: {_AGAIN}.",
        Reason.STORAGE_UNAVAILABLE: "Check disk, network and credentials, then run again: these are tried anew.",
        Reason.SOURCE_CHANGED: "`curate plan SPEC` reads the headers anew, then run again.",
        Reason.MIXED_IDENTITY: "Find out which patient or site these files belong to; take the others out.",
        Reason.SEVERAL_SITES: "Keep the series in the archives of one site.",
        Reason.MASK_MISPLACED: "Look at it (`curate show`); take the mask out, or put its frame right.",
    }
)


def what_to_do(reason: Reason) -> str:
    """One or two sentences. What the spec cannot change is answered as to a coordinator of a site."""
    return _IN_SPEC.get(reason) or next_step(reason)
