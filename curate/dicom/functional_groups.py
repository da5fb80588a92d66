"""What a multi-frame header says of each frame: functional groups (PS3.3 C.7.6.16), and the tiles of Siemens mosaics.

Values of a frame's own item go before those that all frames share. Pydicom parses; this path is rare.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from curate.dicom.encoding import PARSING_ERRORS, find_encoding, inflate
from curate.dicom.mosaic import read_tiles
from curate.errors import Rejected
from curate.reasons import Reason

MULTIFRAME_CLASSES = frozenset(  # enhanced and legacy converted enhanced CT and MR, enhanced MR colour
    f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2.1", "2.2", "4.1", "4.3", "4.4")
)
MAXIMUM_FRAMES = 65_536
MAXIMUM_HEADER_BYTES = 64 * 2**20

_SHARED, _PER_FRAME, _LAST = 0x52009229, 0x52009230, 0x52009231
_POSITION, _ORIENTATION, _MEASURES, _TRANSFORMATION = 0x00209113, 0x00209116, 0x00289110, 0x00289145
_CONTENT, _ECHO, _DIFFUSION, _TIMING, _MODIFIER = 0x00209111, 0x00189114, 0x00189117, 0x00189112, 0x00189115
_DIRECTION, _CARDIAC, _TEMPORAL, _KERNEL = 0x00189076, 0x00189118, 0x00209310, 0x00189314
_CT_TYPE, _MR_TYPE, _X_RAY = 0x00189329, 0x00189226, 0x00189325
_BEFORE = 0x00209228  # frames of the concatenation that other objects hold before these
_CONVERTED = (0x00209171, 0x00209170)  # unassigned attributes of legacy converted objects: per frame, shared

_Path = tuple[int, ...]
_NUMBERS: Mapping[str, tuple[_Path, ...]] = {  # places of each value, the likeliest first
    "echo_time_ms": ((_ECHO, 0x00189082), *((group, 0x00180081) for group in _CONVERTED)),
    "b_value": ((_DIFFUSION, 0x00189087), *((group, 0x00189087) for group in _CONVERTED)),
    "diffusion_direction": ((_DIFFUSION, _DIRECTION, 0x00189089),),
    "temporal_position": ((_CONTENT, 0x00209128), *((group, 0x00200100) for group in _CONVERTED)),
    "temporal_offset_s": ((_TEMPORAL, 0x0020930D),),
    "trigger_time_ms": ((_CARDIAC, 0x00209153), *((group, 0x00181060) for group in _CONVERTED)),
    "inversion_time_ms": ((_MODIFIER, 0x00189079), *((group, 0x00180082) for group in _CONVERTED)),
    "flip_angle_deg": ((_TIMING, 0x00181314), *((group, 0x00181314) for group in _CONVERTED)),
    "tube_voltage_kv": ((_X_RAY, 0x00180060), *((group, 0x00180060) for group in _CONVERTED)),
}
_TEXTS: Mapping[str, tuple[_Path, ...]] = {
    "image_type": ((_MR_TYPE, 0x00089007), (_CT_TYPE, 0x00089007), *((group, 0x00080008) for group in _CONVERTED)),
    "complex_component": ((_MR_TYPE, 0x00089208),),
    "diffusion_directionality": ((_DIFFUSION, 0x00189075),),
    "convolution_kernel": ((_KERNEL, 0x00181210), *((group, 0x00181210) for group in _CONVERTED)),
    "stack_id": ((_CONTENT, 0x00209056),),
}


def read_frames(head: bytes, row: Mapping[str, object]) -> list[dict[str, object]] | None:
    """What a header says of each frame, or None for an object of one frame and for one without functional groups.

    ``head``: the header bytes that were scanned; ``row``: its values by the names of HEADER_SCHEMA. One dict a frame:
    ``frame`` (from 0), ``image_position_mm`` [3], ``image_orientation`` [6] (LPS, the direction of a row first),
    ``pixel_spacing_mm`` [2] (between rows, between columns), ``slice_thickness_mm``, ``rescale_slope``,
    ``rescale_intercept``, each None where the header has no such finite number; ``instance_number``, what a label calls
    the slice: the number of the frame from 1, counted through a concatenation (PS3.3 C.7.6.16.2.2.4), or of an object
    of one frame and no concatenation its own InstanceNumber; ``kind``, name -> value of what may tell frames at one
    position apart; ``tile``, None, or of a mosaic [first row, first column, rows, columns].

    Raises Rejected(UNREADABLE_HEADER) for a header that cannot be parsed, is longer than MAXIMUM_HEADER_BYTES or names
    more than MAXIMUM_FRAMES, Rejected(IMPLAUSIBLE_HEADER) where frames and their descriptions are not as many, and
    Rejected(SUSPICIOUS_COMPRESSION) for a deflated header that explodes.
    """
    count = row.get("number_of_frames")
    frames = count if isinstance(count, int) else 0
    is_mosaic = "MOSAIC" in str(row.get("image_type") or "").upper().split("\\") and frames <= 1
    is_multiframe = row.get("sop_class_uid") in MULTIFRAME_CLASSES and frames >= 1
    if not is_mosaic and not is_multiframe:
        return None
    if frames > MAXIMUM_FRAMES or len(head) > MAXIMUM_HEADER_BYTES:
        raise Rejected(Reason.UNREADABLE_HEADER, "more frames or a longer header than is read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            dataset = _parse(head)
            return _described(dataset, frames, row.get("instance_number")) if is_multiframe else read_tiles(dataset)
    except (*PARSING_ERRORS, ArithmeticError):
        raise Rejected(Reason.UNREADABLE_HEADER, "what it says of its frames cannot be parsed") from None


def _parse(head: bytes) -> Dataset:
    """The data set before its pixels, from the elements that are wanted; nothing is inflated without a limit."""
    encoding = find_encoding(head)
    body = head[encoding.offset :]
    if encoding.is_deflated:
        body, _ = inflate(body, maximum=8 * MAXIMUM_HEADER_BYTES)

    def is_past(tag: BaseTag, vr: str | None, length: int) -> bool:
        return bool(0xFFFE > tag.group > _LAST >> 16)

    return read_dataset(BytesIO(body), encoding.is_implicit, encoding.is_little_endian, stop_when=is_past)


def _described(dataset: Dataset, count: int, number: object) -> list[dict[str, object]] | None:
    shared = next(iter(_items(dataset, _SHARED)), Dataset())
    own = _items(dataset, _PER_FRAME)
    if not own and count == 1 and len(shared):
        own = [Dataset()]
    if not own:
        return None
    if len(own) != count:
        raise Rejected(Reason.IMPLAUSIBLE_HEADER, f"{count} frames, {len(own)} described")
    common = _facts(shared)
    offset = _number(dataset, (_BEFORE,))
    first = number if count == 1 and offset is None else 1 + int(offset or 0)
    return [
        {**_frame(frame, _facts(item), common), "instance_number": first + frame if isinstance(first, int) else None}
        for frame, item in enumerate(own)
    ]


def _facts(item: Dataset) -> dict[str, Any]:
    """What one item of functional groups says; absent where it does not."""
    groups: dict[str, Any] = {
        "image_position_mm": _numbers(item, (_POSITION, 0x00200032), 3),
        "image_orientation": _numbers(item, (_ORIENTATION, 0x00200037), 6),
        "pixel_spacing_mm": _numbers(item, (_MEASURES, 0x00280030), 2),
        "slice_thickness_mm": _number(item, (_MEASURES, 0x00180050)),
        "rescale_slope": _number(item, (_TRANSFORMATION, 0x00281053)),
        "rescale_intercept": _number(item, (_TRANSFORMATION, 0x00281052)),
    }
    for name, places in _NUMBERS.items():
        found = next(filter(None, (_numbers(item, place) for place in places)), None)
        groups[name] = None if found is None else "\\".join(map(repr, found))
    for name, places in _TEXTS.items():
        groups[name] = next(filter(None, (_text(item, place) for place in places)), None)
    return {name: value for name, value in groups.items() if value is not None}


def _frame(frame: int, own: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, object]:
    facts = {**common, **own}
    names = ("image_position_mm", "image_orientation", "pixel_spacing_mm")
    return {
        "frame": frame,
        **{name: facts.get(name) for name in (*names, "slice_thickness_mm", "rescale_slope", "rescale_intercept")},
        "kind": {name: facts[name] for name in (*_NUMBERS, *_TEXTS) if name in facts},
        "tile": None,
    }


def _items(dataset: Dataset, tag: int) -> Sequence[Dataset]:
    found = dataset.get(tag)
    return [] if found is None or found.VR != "SQ" or found.value is None else list(found.value)


def _value(item: Dataset, place: _Path) -> Any:
    """The value behind sequence tags of which the first item counts, or None."""
    for tag in place[:-1]:
        inner = _items(item, tag)
        if not inner:
            return None
        item = inner[0]
    found = item.get(place[-1])
    return None if found is None or found.VR == "SQ" else found.value


def _numbers(item: Dataset, place: _Path, count: int | None = None) -> list[float] | None:
    value = _value(item, place)
    if value is None or value == "" or isinstance(value, bytes):
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str)
    try:
        found = [float(each) for each in (value if several else [value])]
    except (TypeError, ValueError):  # a decimal string that is no number
        return None
    is_right = bool(found) and all(map(math.isfinite, found)) and (count is None or len(found) == count)
    return found if is_right else None


def _number(item: Dataset, place: _Path) -> float | None:
    found = _numbers(item, place)
    return found[0] if found else None


def _text(item: Dataset, place: _Path) -> str | None:
    value = _value(item, place)
    if value is None or isinstance(value, bytes):
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str | UID)
    return "\\".join(str(each).strip() for each in (value if several else [value])) or None
