"""Scorer of the MIDI-B style archive: reads outputs with pydicom and knows nothing of the de-identifier."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.bench.deid.letters import ink, is_seen
from tests.bench.deid.midib_answers import KINDS, Answer, find
from tests.bench.deid.midib_archive import Archive, day_of
from tests.bench.deid.plants import Box


@dataclass(frozen=True, slots=True)
class Score:
    """Counts by (kind, cause); ``withheld``: checks of objects that were refused, which nobody can see or use."""

    passed: Counter[tuple[str, str]]
    failed: Counter[tuple[str, str]]
    withheld: Counter[tuple[str, str]]
    failures: tuple[Answer, ...]

    def percent(self, kind: str | None = None) -> float:
        """Checks passed of all checks of released objects, in percent; 100 when there are none."""
        good = sum(n for (k, _), n in self.passed.items() if kind in (None, k))
        bad = sum(n for (k, _), n in self.failed.items() if kind in (None, k))
        return 100.0 * good / (good + bad) if good + bad else 100.0


def score_outputs(archive: Archive, outputs: Mapping[int, bytes]) -> Score:
    """Check every answer. ``outputs``: de-identified file by number of the source; absent when it was refused."""
    passed, failed, withheld = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    failures = []
    judge = _Judge(archive, outputs)
    for answer in archive.answers:
        at = (answer.kind, answer.cause)
        if answer.source not in outputs:
            withheld[at] += 1
        elif judge.passes(answer):
            passed[at] += 1
        else:
            failed[at] += 1
            failures.append(answer)
    return Score(passed, failed, withheld, tuple(failures))


class _Judge:
    """Holds the outputs read, and what the first look at each patient and UID said."""

    def __init__(self, archive: Archive, outputs: Mapping[int, bytes]) -> None:
        self._read: tuple[int, Dataset] | None = None
        self._outputs = outputs
        self._raw = {source.number: source.raw for source in archive.sources}
        self._patient_of = {source.number: source.patient for source in archive.sources}
        self._days: dict[int, int] = {}
        self._new_uid: dict[str, str] = {}
        self._new_patient: dict[str, str] = {}
        self._owners: dict[str, set[str]] = defaultdict(set)

    def passes(self, answer: Answer) -> bool:
        """Whether the check holds in the output."""
        dataset = self._dataset(answer.source)
        element = find(dataset, answer.path)
        if element is None and answer.cause == "references":
            return True  # the table lets the sequence be removed
        value = "" if element is None or answer.path == "7FE0,0010" else str(element.value)
        if answer.kind == "tag_retained":
            return element is not None
        if answer.kind == "text_notnull":
            return bool(value.strip())
        if answer.kind == "text_retained":
            return answer.expected.strip() in value
        if answer.kind == "text_removed":
            return answer.expected.strip().lower() not in value.lower()
        if answer.kind == "date_shifted":
            return self._is_shifted(answer, value)
        if answer.kind == "uid_changed":
            return bool(value) and value != answer.expected and UID(value).is_valid and len(value) <= 64
        if answer.kind == "uid_consistent":
            return bool(value) and self._is_consistent(self._new_uid, answer.expected, value)
        if answer.kind == "patid_consistent":
            return bool(value) and self._is_consistent(self._new_patient, answer.expected, value)
        if answer.kind == "pixels_retained":
            return element is not None and hashlib.sha256(element.value).hexdigest() == answer.expected
        try:
            return self._is_hidden(dataset, answer)
        except (AttributeError, ValueError, RuntimeError, NotImplementedError):
            return False  # pixels that nobody can decode are lost, not clean

    def _dataset(self, number: int) -> Dataset:
        if self._read is None or self._read[0] != number:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._read = (number, pydicom.dcmread(BytesIO(self._outputs[number])))
        return self._read[1]

    def _is_shifted(self, answer: Answer, value: str) -> bool:
        """By the same number of days, not zero, for every date of a patient; the time of day stays."""
        before, after = day_of(answer.expected), day_of(value)
        if before is None or after is None or value[8:] != answer.expected[8:]:
            return False
        days = (after - before).days
        return days != 0 and self._days.setdefault(self._patient_of[answer.source], days) == days

    def _is_consistent(self, known: dict[str, str], old: str, new: str) -> bool:
        """One new name for an old one, and no two old names for a new one."""
        self._owners[new].add(old)
        return known.setdefault(old, new) == new and len(self._owners[new]) == 1

    def _is_hidden(self, dataset: Dataset, answer: Answer) -> bool:
        """The drawn letters, or what was bright in the box when the text is not ours, can no longer be seen."""
        *numbers, text = answer.expected.split(",", 5)
        frame, top, bottom, left, right = map(int, numbers)
        box = Box(frame, (top, bottom), (left, right))
        if text:
            return not is_seen(_frames(dataset), box, ink(text, 22))
        source = pydicom.dcmread(BytesIO(self._raw[answer.source]))
        window = _frames(source)[frame, top:bottom, left:right]
        return not is_seen(_frames(dataset), box, window.max(axis=-1) > 127)


def _frames(dataset: Dataset) -> NDArray[np.generic]:
    """Pixels as (frame, row, column[, sample])."""
    samples = (dataset.SamplesPerPixel,) if dataset.SamplesPerPixel > 1 else ()
    return np.asarray(dataset.pixel_array).reshape(-1, dataset.Rows, dataset.Columns, *samples)


def print_score(score: Score) -> None:
    """One row a kind, then one row a cause of failure."""
    print(f"{'kind':20}{'passed':>9}{'failed':>8}{'withheld':>10}{'score':>10}")
    for kind in KINDS:
        row = [
            sum(n for (k, _), n in counts.items() if k == kind)
            for counts in (score.passed, score.failed, score.withheld)
        ]
        print(f"{kind:20}{row[0]:>9}{row[1]:>8}{row[2]:>10}{score.percent(kind):>9.2f}%")
    totals = [counts.total() for counts in (score.passed, score.failed, score.withheld)]
    print(f"{'all':20}{totals[0]:>9}{totals[1]:>8}{totals[2]:>10}{score.percent():>9.3f}%")
    counted_as_lost = 100.0 * totals[0] / max(sum(totals), 1)
    print(f"with every check of a refused object counted as failed: {counted_as_lost:.3f}%")
    for (kind, cause), count in sorted(score.failed.items(), key=lambda entry: -entry[1]):
        print(f"failed by cause: {cause:10}{kind:20}{count:>7}")
