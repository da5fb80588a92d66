"""Second opinion on a de-identified file: read again by pydicom, judged by rules that the writer does not use.

Only two things are shared with the writer: the published table, read here as plain rows, and the name of the profile.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag

from curate.deid.profile import Profile
from curate.deid.tables import TableRow, safe_private, table_rows

_META = {0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013}
_IDENTITY = (0x00100010, 0x00100020)
_TIMES = ("DA", "DT", "TM")
_CONTENT_VALUES = (0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, 0x0040A124, 0x0040A160)
_ACCESSION_NUMBER = 0x00080050
_DUMMIES = ("ANONYMIZED", "19000101", "000000", "19000101000000", "000Y", "0")


def check_header(raw_output: bytes, profile: Profile) -> list[str]:
    """Rules that the file breaks, one line each, tags but no values; empty when it breaks none."""
    if raw_output[:128] != bytes(128) or raw_output[128:132] != b"DICM":
        return ["the preamble is not zero"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BytesIO(raw_output))
            return list(_broken_rules(dataset, raw_output, profile))
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError, OSError):
        return ["the file cannot be read again"]


def _broken_rules(dataset: pydicom.FileDataset, raw_output: bytes, profile: Profile) -> Iterator[str]:
    extra = {int(element.tag) for element in dataset.file_meta} - _META
    for tag in sorted(extra):
        yield f"{BaseTag(tag)}: not wanted in the file meta information"
    for tag, value in ((0x00120062, "YES"), (0x00280303, profile.dates)):
        if tag not in dataset or dataset[tag].value != value:
            yield f"{BaseTag(tag)}: does not say {value}"
    if not profile.keeps_ids:
        yield from _unstated_codes(dataset, profile)
        if dataset.get("PatientName") != dataset.get("PatientID"):
            yield "(0010,0010): is not the patient's key"
    if not _ends_with_pixels(dataset, raw_output):
        yield "bytes follow the pixel data"
    yield from sorted(set(_broken_by_elements(dataset, profile, top=True)))


def _unstated_codes(dataset: Dataset, profile: Profile) -> Iterator[str]:
    stated = {str(item.get("CodeValue", "")) for item in dataset.get("DeidentificationMethodCodeSequence", [])}
    for code, _ in profile.codes:
        if code not in stated:
            yield f"(0012,0064): lacks code {code}"


def _broken_by_elements(dataset: Dataset, profile: Profile, *, top: bool) -> Iterator[str]:
    for element in dataset:
        tag, group = int(element.tag), element.tag.group
        if element.tag.is_private:
            if not _is_safe(dataset, element, profile):
                yield f"({group:04X},xxxx): private"
            continue
        if group & 0xFF00 in (0x5000, 0x6000):
            yield f"({group:04X},xxxx): overlay or curve"
        if element.VR == "PN" and not _is_allowed_name(element, profile):
            yield f"{element.tag}: a name"
        if element.VR == "AS" and any(_is_old(str(age)) for age in _values(element.value)):
            yield f"{element.tag}: an age over 90"
        yield from _broken_by_table(element, profile)
        if element.VR == "SQ":
            for item in element.value:
                yield from _broken_by_elements(item, profile, top=False)
        elif element.VR == "UI" and not _is_kept(tag, profile) and any(map(_is_foreign, _values(element.value))):
            yield f"{element.tag}: a foreign UID"


def _broken_by_table(element: pydicom.DataElement, profile: Profile) -> Iterator[str]:
    """An attribute that the basic profile removes, and no option of the profile keeps, must not be there."""
    row = table_rows().get(int(element.tag))
    if row is None or int(element.tag) in _IDENTITY:
        return
    optional = _is_kept(int(element.tag), profile) or _is_cleaned(element, row, profile)
    shifted = element.VR in _TIMES and any("longitudinal" in o and o in profile.options for o in row.options)
    if optional or shifted:
        return
    if row.basic == "X":
        yield f"{element.tag}: must be removed"
    elif "U" not in row.basic and not element.is_empty and not _is_dummy(element):
        yield f"{element.tag}: must be empty or a dummy"


def _is_cleaned(element: pydicom.DataElement, row: TableRow, profile: Profile) -> bool:
    """Whether an option cleans the attribute instead of removing it, or a site keeps or cleans it.

    Dates have their own options; the value of a content item is judged by its concept, not by its tag.
    """
    if _choice(int(element.tag), profile) in ("keep", "clean", "empty"):
        return True
    if element.tag in _CONTENT_VALUES:
        return "clean_structured_content" in profile.options
    return element.VR not in _TIMES and any(row.options.get(option) == "C" for option in profile.options)


def _choice(tag: int, profile: Profile) -> str | None:
    spelling = f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
    return next((one.choice for one in profile.overrides if one.tag == spelling), None)


def _is_allowed_name(element: pydicom.DataElement, profile: Profile) -> bool:
    """Empty, a dummy, the patient's key, or kept by a site."""
    if element.is_empty or profile.keeps_ids or element.tag == _IDENTITY[0]:
        return True
    return str(element.value) in _DUMMIES or _choice(int(element.tag), profile) == "keep"


def _is_safe(dataset: Dataset, element: pydicom.DataElement, profile: Profile) -> bool:
    """A creator whose block holds something, or an attribute of Table E.3.10-1 or of the site's own list."""
    group, number = element.tag.group, element.tag.element
    if 0x10 <= number <= 0xFF:
        return any(tag.group == group and tag.element >> 8 == number for tag in dataset.keys())  # noqa: SIM118
    creator = str(dataset[group, number >> 8].value) if (group, number >> 8) in dataset else ""
    if any(one.tag == f'({group:04x},"{creator}",{number & 0xFF:02x})' for one in profile.overrides):
        return True
    return "retain_safe_private" in profile.options and (group, creator, number & 0xFF) in safe_private()


def _is_dummy(element: pydicom.DataElement) -> bool:
    if element.tag == _ACCESSION_NUMBER:
        return re.fullmatch("[0-9a-f]{16}", str(element.value)) is not None
    return element.value == bytes(8) or str(element.value) in _DUMMIES


def _ends_with_pixels(dataset: pydicom.FileDataset, raw_output: bytes) -> bool:
    """A native value must reach the last byte; encapsulated ones must end with their delimiter there."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_deflated or "PixelData" not in dataset:
        return True
    if syntax.is_encapsulated:
        return raw_output.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    element = dataset["PixelData"]
    return element.file_tell is not None and element.file_tell + len(element.value) == len(raw_output)


def _is_kept(tag: int, profile: Profile) -> bool:
    """Whether an option of the profile keeps the attribute as it is; UIDs outside the table go with the ids."""
    row = table_rows().get(tag)
    if row is None:
        return profile.keeps_ids
    return any(row.options.get(option) == "K" for option in profile.options)


def _is_foreign(uid: object) -> bool:
    return bool(uid) and not str(uid).startswith(("2.25.", "1.2.840.10008."))


def _values(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]


def _is_old(age: str) -> bool:
    return age.endswith("Y") and age[:3].isdigit() and int(age[:3]) > 90
