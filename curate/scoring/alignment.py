"""Bring a submission into the row order of the solution, or say precisely why that cannot be done.

Rows are matched by ``row_id``, never by position. A ``row_id`` is ``<study>_<target>``; the study may itself hold
underscores, so the target is recognised from the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curate.errors import CurateError

ROW_ID = "row_id"


class SubmissionError(CurateError):
    """The solution or the submission cannot be scored. The text is fit to be shown to a participant."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """One entry a row of the solution, sorted by ``row_id``.

    ``truth`` and ``predicted``: float64 (rows, columns). ``weight``: float64 (rows,), ones where the
    solution gives none.
    """

    studies: NDArray[np.str_]
    targets: NDArray[np.str_]
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]
    weight: NDArray[np.float64]


def align(
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    *,
    targets: Collection[str],
    columns: Sequence[str],
    weight_column: str | None = None,
    complete: bool = True,
) -> Aligned:
    """Match rows by ``row_id``; neither frame is changed.

    The solution may leave out rows (targets that nobody could grade). The submission holds every target of every study
    of the solution; with ``complete=False`` only the rows of the solution are asked for. Rows of other studies are
    refused.

    Raises ``SubmissionError`` for missing columns, duplicate, missing or extra rows, a ``row_id`` that does not end in
    a target, and values that are not numbers in 0..1.
    """
    true_ids = _row_ids(solution, "solution")
    given_ids = _row_ids(submission, "submission")
    if not true_ids:
        raise SubmissionError("solution: no rows")
    parts = {row_id: _split(row_id, targets, "solution") for row_id in true_ids}
    _compare(true_ids, given_ids, {study for study, _ in parts.values()}, targets, complete=complete)

    order = sorted(true_ids)
    return Aligned(
        studies=np.array([parts[row_id][0] for row_id in order], dtype=np.str_),
        targets=np.array([parts[row_id][1] for row_id in order], dtype=np.str_),
        truth=_numbers(solution, true_ids, order, columns, "solution", high=1.0),
        predicted=_numbers(submission, given_ids, order, columns, "submission", high=1.0),
        weight=np.ones(len(order)) if weight_column is None else _weights(solution, true_ids, order, weight_column),
    )


def weighted_mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """``sum w v / sum w``; NaN where there is nothing to average."""
    total = float(weights.sum())
    return float((weights * values).sum()) / total if total > 0 else float("nan")


def _row_ids(frame: pd.DataFrame, name: str) -> list[str]:
    if ROW_ID not in frame.columns:
        raise SubmissionError(f"{name}: column '{ROW_ID}' is missing")
    if frame[ROW_ID].isna().any():
        raise SubmissionError(f"{name}: {_count(int(frame[ROW_ID].isna().sum()), 'row')} without a {ROW_ID}")
    ids = frame[ROW_ID].map(str)
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise SubmissionError(f"{name}: {_count(len(repeated), 'duplicate row')}, the first is {repeated.iloc[0]}")
    return ids.tolist()


def _split(row_id: str, targets: Iterable[str], name: str) -> tuple[str, str]:
    for target in targets:
        if row_id.endswith(f"_{target}") and len(row_id) > len(target) + 1:
            return row_id[: -len(target) - 1], target
    raise SubmissionError(f"{name}: row {row_id} does not end in one of the targets")


def _compare(
    true_ids: Sequence[str], given_ids: Sequence[str], studies: set[str], targets: Collection[str], *, complete: bool
) -> None:
    every = {f"{study}_{target}" for study in studies for target in targets}
    given = set(given_ids)
    missing = (every if complete else set(true_ids)) - given
    if missing:
        raise SubmissionError(f"submission: {_count(len(missing), 'missing row')}, the first is {min(missing)}")
    extra = given - every
    if extra:
        raise SubmissionError(f"submission: {_count(len(extra), 'extra row')}, the first is {min(extra)}")


def _numbers(
    frame: pd.DataFrame, ids: Sequence[str], order: Sequence[str], columns: Sequence[str], name: str, *, high: float
) -> NDArray[np.float64]:
    """float64 (rows, columns), rows in ``order``. Every row of the frame is checked, also those not asked for."""
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise SubmissionError(f"{name}: column '{absent[0]}' is missing")
    values = np.column_stack([_column(frame, column, name) for column in columns])
    wrong = ~(np.isfinite(values) & (values >= 0) & (values <= high)).all(axis=1)
    if wrong.any():
        limits = "in 0..1" if high == 1.0 else "above 0"
        first = ids[int(np.argmax(wrong))]
        raise SubmissionError(
            f"{name}: {_count(int(wrong.sum()), 'row')} with values that are not numbers {limits}, the first is {first}"
        )
    position = {row_id: n for n, row_id in enumerate(ids)}
    return values[[position[row_id] for row_id in order]]


def _weights(frame: pd.DataFrame, ids: Sequence[str], order: Sequence[str], column: str) -> NDArray[np.float64]:
    weights = _numbers(frame, ids, order, [column], "solution", high=np.finfo(np.float64).max)[:, 0]
    if not (weights > 0).all():
        raise SubmissionError(f"solution: column '{column}' holds values that are not above 0")
    return weights


def _column(frame: pd.DataFrame, column: str, name: str) -> NDArray[np.float64]:
    try:
        return pd.to_numeric(frame[column], errors="raise").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise SubmissionError(f"{name}: column '{column}' holds values that are not numbers") from None


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
