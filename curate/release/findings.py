"""What verification can find. A finding names keys, files and rows of the release, never a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is wrong, by kind."""

    CHANGED = "changed"  # other bytes than SHA256SUMS says
    MISSING = "missing"
    EXTRA = "extra"
    RENAMED = "renamed"
    NOT_A_FILE = "not_a_file"  # a link, device or empty folder
    NOT_FROZEN = "not_frozen"  # no list of digests, or not the expected one
    UNREADABLE = "unreadable"
    NUMBER = "number"  # a number that is not what is there
    REFERENCE = "reference"  # a row that points nowhere, or a file that no row names
    SPLIT = "split"  # one patient, study or image in two splits
    ANSWER = "answer"  # a label of the hidden split in the public folder
    HEADER = "header"  # a DICOM header that breaks the de-identification profile
    LEAK = "leak"  # a known identifier


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """``path`` is relative to the release, with what no plain path has replaced by ``?``."""

    path: str
    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.path}" + (f": {self.detail}" if self.detail else "")
