"""The ten action kinds of the MIDI-B challenge as rows: what must be true of one place of one object.

A path is written ``0040,0275[0]/0040,0007``; a private element ``0019,SIEMENS MR HEADER,0C``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

KINDS = (
    "tag_retained",
    "text_notnull",
    "text_retained",
    "text_removed",
    "date_shifted",
    "uid_changed",
    "uid_consistent",
    "patid_consistent",
    "pixels_hidden",
    "pixels_retained",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One check. ``source``: number of the object; ``cause``: what a tool must get right for it to pass."""

    source: int
    kind: str
    cause: str  # rule, text, private, dates, uids, references, patient, pixels
    path: str
    expected: str  # text, old date or UID, digest, or box


def find(dataset: Dataset, path: str) -> DataElement | None:
    """The element at the path; None when it, or a sequence on the way, is not there."""
    *steps, last = path.split("/")
    for step in steps:
        tag, _, index = step.rstrip("]").partition("[")
        element = _element(dataset, tag)
        if element is None or element.VR != "SQ" or len(element.value) <= int(index):
            return None
        dataset = element.value[int(index)]
    return _element(dataset, last)


def _element(dataset: Dataset, step: str) -> DataElement | None:
    parts = step.split(",")
    if len(parts) == 2:
        tag = int("".join(parts), 16)
        return dataset.get(tag)
    group, creator, number = parts
    try:
        return dataset.private_block(int(group, 16), creator)[int(number, 16)]
    except KeyError:
        return None


def uids_of(dataset: Dataset, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Path and value of every UID of an object that is not one of the standard's own, at any depth."""
    for element in dataset:
        if element.tag.is_private:
            continue
        path = f"{prefix}{element.tag.group:04X},{element.tag.element:04X}"
        if element.VR == "SQ":
            for index, item in enumerate(element.value):
                yield from uids_of(item, f"{path}[{index}]/")
        elif element.VR == "UI" and element.VM == 1 and not str(element.value).startswith("1.2.840.10008."):
            yield path, str(element.value)
