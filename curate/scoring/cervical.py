"""RSNA 2022 cervical spine fracture detection: weighted multi-label log loss.

A row costs ``-[y ln p + (1 - y) ln(1 - p)]``. A vertebra weighs 1 where y = 0 and 2 where y = 1; ``patient_overall``
weighs 7 and 14. Two ways of normalising are in use and both stand here by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curate.manifests.schemas import CERVICAL_TARGETS
from curate.scoring.alignment import SubmissionError, align, weighted_mean

OVERALL = "patient_overall"
CLIP = 1e-15  # probabilities are taken from CLIP..1 - CLIP, so that a certain error costs 34.5 and not infinity
VERTEBRA_WEIGHTS = (1.0, 2.0)  # y = 0, y = 1
OVERALL_WEIGHTS = (7.0, 14.0)


@dataclass(frozen=True, slots=True)
class CervicalScore:
    """``score`` is the official number, lower is better; its parts are each ``sum w l / sum w`` of their rows."""

    score: float
    normalisation: str
    studies: int
    rows: int
    patient_overall: float  # NaN where the solution has no such row
    vertebrae: float  # C1..C7 pooled
    by_target: Mapping[str, float]  # every target, in the order of CERVICAL_TARGETS


def score_cervical(
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    *,
    normalisation: Literal["A", "B"] = "B",
    complete: bool = True,
) -> CervicalScore:
    """Score ``row_id, fractured`` against ``row_id, fractured``; ``row_id`` = ``<study>_<C1..C7|patient_overall>``.

    ``normalisation``: "A" is the mean over studies of ``sum w l / sum w`` within the study; "B" is ``sum w l / sum w``
    over all rows. They differ because positive studies weigh more under B. ``complete``: ask for all eight rows of a
    study in the submission, also where the solution leaves one out.

    Raises ``SubmissionError`` as ``align`` does, and for a truth other than 0 or 1; ``ValueError`` for another
    normalisation.
    """
    if normalisation not in ("A", "B"):
        raise ValueError("normalisation: expected 'A' or 'B'")
    rows = align(solution, submission, targets=CERVICAL_TARGETS, columns=("fractured",), complete=complete)
    truth, predicted = rows.truth[:, 0], rows.predicted[:, 0]
    if not np.isin(truth, (0.0, 1.0)).all():
        raise SubmissionError("solution: column 'fractured' holds values other than 0 and 1")

    losses = binary_losses(truth, predicted)
    weights = target_weights(truth, rows.targets == OVERALL)
    studies, study_of_row = np.unique(rows.studies, return_inverse=True)
    if normalisation == "A":
        per_study = np.bincount(study_of_row, weights * losses) / np.bincount(study_of_row, weights)
        score = float(per_study.mean())
    else:
        score = weighted_mean(losses, weights)

    def part(chosen: NDArray[np.bool_]) -> float:
        return weighted_mean(losses[chosen], weights[chosen])

    return CervicalScore(
        score=score,
        normalisation=normalisation,
        studies=len(studies),
        rows=len(losses),
        patient_overall=part(rows.targets == OVERALL),
        vertebrae=part(rows.targets != OVERALL),
        by_target={target: part(rows.targets == target) for target in CERVICAL_TARGETS},
    )


def binary_losses(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], clip: float = CLIP
) -> NDArray[np.float64]:
    """float64 of the shape given: log loss of each row, natural logarithm."""
    p = np.clip(predicted, clip, 1 - clip)
    losses: NDArray[np.float64] = -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    return losses


def target_weights(truth: NDArray[np.float64], is_overall: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 of the shape given: the weight of each row by its truth (0 or 1) and by what it is."""
    weights: NDArray[np.float64] = np.where(
        is_overall,
        np.where(truth == 1, OVERALL_WEIGHTS[1], OVERALL_WEIGHTS[0]),
        np.where(truth == 1, VERTEBRA_WEIGHTS[1], VERTEBRA_WEIGHTS[0]),
    )
    return weights
