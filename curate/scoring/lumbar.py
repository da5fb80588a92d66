"""RSNA 2024 lumbar spine degenerative classification: three weighted log losses and a per-study one, averaged.

Follows the host's metric, with its traps taken out: rows are aligned by ``row_id``, rows of probabilities that do not
sum to 1 are refused (library versions differ on what they would mean), and a fold without any severe row scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curate.manifests.schemas import LUMBAR_TARGETS
from curate.scoring.alignment import Aligned, SubmissionError, align, weighted_mean
from curate.scoring.cervical import binary_losses

GRADE_COLUMNS = ("normal_mild", "moderate", "severe")
GRADE_WEIGHTS = (1.0, 2.0, 4.0)  # what the solution's sample_weight holds
GROUPS = ("spinal", "foraminal", "subarticular")
EPSILON = float(np.finfo(np.float64).eps)  # the host clips at the eps of the dtype: 2.22e-16
SUM_TOLERANCE = 1e-3  # three probabilities printed with four decimals still pass; nothing is renormalised


@dataclass(frozen=True, slots=True)
class LumbarScore:
    """``score`` is the official number, lower is better; the next four are what it averages."""

    score: float
    spinal: float
    foraminal: float
    subarticular: float
    any_severe_spinal: float
    any_severe_scalar: float
    studies: int
    rows: int


def score_lumbar(
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    *,
    any_severe_scalar: float = 1.0,
    complete: bool = True,
) -> LumbarScore:
    """Score ``row_id, normal_mild, moderate, severe``; the solution is one-hot and has ``sample_weight`` (1, 2 or 4).

    ``row_id`` = ``<study>_<condition>_<level>``. Cells without a grade are not in the solution but are in a submission;
    ``complete=False`` does not ask for them.

    1. Per group (left and right pooled) ``sum w (-ln p_true) / sum w``.
    2. Per study over its graded spinal rows y = max(severe), p = max(predicted severe), w = max(w): weighted binary
       log loss.
    3. The mean of the four, the last weighted by the scalar.

    Raises ``SubmissionError`` as ``align`` does, and for rows of the solution that are not one-hot, rows of the
    submission that do not sum to 1 (within 0.001), and a group without a single graded row.
    """
    if not (np.isfinite(any_severe_scalar) and any_severe_scalar >= 0):
        raise ValueError("any_severe_scalar: expected a number of at least 0")
    rows = align(
        solution,
        submission,
        targets=LUMBAR_TARGETS,
        columns=GRADE_COLUMNS,
        weight_column="sample_weight",
        complete=complete,
    )
    _check_sums(submission)
    if not (np.isin(rows.truth, (0.0, 1.0)).all() and (rows.truth.sum(axis=1) == 1).all()):
        raise SubmissionError("solution: a row does not name exactly one grade")

    losses = -np.log(np.clip((rows.truth * rows.predicted).sum(axis=1), EPSILON, 1 - EPSILON))
    group = np.array([group_of(target) for target in rows.targets], dtype=np.str_)
    for name in GROUPS:
        if not (group == name).any():
            raise SubmissionError(f"solution: no graded {name} row")
    means = {name: weighted_mean(losses[group == name], rows.weight[group == name]) for name in GROUPS}
    any_severe = _any_severe(rows, group == "spinal", rows.weight)
    return LumbarScore(
        score=(sum(means.values()) + any_severe_scalar * any_severe) / (len(GROUPS) + any_severe_scalar),
        spinal=means["spinal"],
        foraminal=means["foraminal"],
        subarticular=means["subarticular"],
        any_severe_spinal=any_severe,
        any_severe_scalar=any_severe_scalar,
        studies=len(np.unique(rows.studies)),
        rows=len(losses),
    )


def group_of(target: str) -> str:
    """``left_neural_foraminal_narrowing_l4_l5`` -> ``foraminal``: left and right are pooled."""
    return next(group for group in GROUPS if group in target)


def _any_severe(rows: Aligned, spinal: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    studies, study_of_row = np.unique(rows.studies[spinal], return_inverse=True)

    def highest(values: NDArray[np.float64]) -> NDArray[np.float64]:
        top = np.full(len(studies), -np.inf)
        np.maximum.at(top, study_of_row, values[spinal])
        return top

    severe = GRADE_COLUMNS.index("severe")
    losses = binary_losses(highest(rows.truth[:, severe]), highest(rows.predicted[:, severe]), clip=EPSILON)
    return weighted_mean(losses, highest(weight))


def _check_sums(submission: pd.DataFrame) -> None:
    """Every row of the submission, those for blank cells too; ``align`` has made sure that all are numbers."""
    values = submission[list(GRADE_COLUMNS)].apply(pd.to_numeric).to_numpy(dtype=np.float64)
    wrong = np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE
    if wrong.any():
        raise SubmissionError(
            f"submission: {int(wrong.sum())} of {len(values)} rows do not sum to 1 (within {SUM_TOLERANCE})"
        )
