"""The cervical metric against the golden of the challenge facts and against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from curate.errors import CurateError
from curate.scoring import SubmissionError, score_cervical

TARGETS = ("patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7")
TRUTH = [[0] * 8, [1, 0, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 1]]
PREDICTED = [[0.1] * 8, [0.8, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1], [0.9, 0.2, 0.7, 0.1, 0.1, 0.1, 0.2, 0.5]]


def long(values: list[list[float]], studies: list[str] | None = None) -> pd.DataFrame:
    names = studies or [f"2.25.{n}" for n in range(len(values))]
    ids = [f"{study}_{target}" for study in names for target in TARGETS]
    return pd.DataFrame({"row_id": ids, "fractured": [value for row in values for value in row]})


def test_the_golden_of_three_studies_under_both_normalisations() -> None:
    solution, submission = long(TRUTH), long(PREDICTED)
    assert score_cervical(solution, submission, normalisation="A").score == pytest.approx(0.209355784289, abs=1e-12)
    assert score_cervical(solution, submission, normalisation="B").score == pytest.approx(0.226427727841, abs=1e-12)


def test_normalisation_b_is_the_default_and_the_record_says_which_it_was() -> None:
    result = score_cervical(long(TRUTH), long(PREDICTED))
    assert result.normalisation == "B"
    assert result.score == pytest.approx(0.226427727841, abs=1e-12)
    assert (result.studies, result.rows) == (3, 24)


@pytest.mark.parametrize("normalisation", ["A", "B"])
def test_one_half_everywhere_scores_the_logarithm_of_two(normalisation: str) -> None:
    result = score_cervical(long(TRUTH), long([[0.5] * 8] * 3), normalisation=normalisation)  # type: ignore[arg-type]
    assert result.score == pytest.approx(math.log(2), abs=1e-12)
    assert result.patient_overall == pytest.approx(math.log(2), abs=1e-12)
    assert result.vertebrae == pytest.approx(math.log(2), abs=1e-12)


def test_the_parts_are_weighted_means_of_their_own_rows() -> None:
    result = score_cervical(long(TRUTH), long(PREDICTED))
    overall = (7 * -math.log(0.9) + 14 * -math.log(0.8) + 14 * -math.log(0.9)) / 35
    c2 = (1 * -math.log(0.9) + 2 * -math.log(0.6) + 2 * -math.log(0.7)) / 5
    assert result.patient_overall == pytest.approx(overall, abs=1e-12)
    assert result.by_target["C2"] == pytest.approx(c2, abs=1e-12)
    assert tuple(result.by_target) == TARGETS
    positives, negatives = 4, 17  # vertebrae of TRUTH
    weight_of_vertebrae, weight_of_overall = 2 * positives + negatives, 35
    recombined = (result.vertebrae * weight_of_vertebrae + result.patient_overall * weight_of_overall) / (
        weight_of_vertebrae + weight_of_overall
    )
    assert recombined == pytest.approx(result.score, abs=1e-12)


def test_rows_are_matched_by_id_and_not_by_position() -> None:
    shuffled = long(PREDICTED).sample(frac=1, random_state=1).reset_index(drop=True)
    assert score_cervical(long(TRUTH), shuffled).score == pytest.approx(0.226427727841, abs=1e-12)


def test_the_frames_given_are_left_as_they_were() -> None:
    solution, submission = long(TRUTH), long(PREDICTED)
    before = solution.copy(), submission.copy()
    score_cervical(solution, submission)
    pd.testing.assert_frame_equal(solution, before[0])
    pd.testing.assert_frame_equal(submission, before[1])


def test_a_certain_error_costs_much_and_not_infinity() -> None:
    wrong = score_cervical(long([[0] * 8]), long([[1.0] * 8]))
    assert wrong.score == pytest.approx(-math.log(1e-15), rel=1e-2)
    right = score_cervical(long([[0] * 8]), long([[0.0] * 8]))
    assert 0 <= right.score < 1e-12


def test_study_names_may_hold_underscores() -> None:
    names = ["site_a_1", "site_a_2", "C1"]
    assert score_cervical(long(TRUTH, names), long(PREDICTED, names), normalisation="A").studies == 3


def test_probabilities_read_as_text_are_numbers_all_the_same() -> None:
    text = long(PREDICTED)
    text["fractured"] = text["fractured"].astype(str)
    assert score_cervical(long(TRUTH), text).score == pytest.approx(0.226427727841, abs=1e-12)


def test_a_missing_row_is_refused_and_named() -> None:
    with pytest.raises(SubmissionError, match=r"submission: 1 missing row, the first is 2\.25\.0_C3"):
        score_cervical(long(TRUTH), long(PREDICTED).drop(index=3))


def test_an_extra_study_is_refused_and_counted() -> None:
    with pytest.raises(SubmissionError, match="submission: 8 extra rows"):
        score_cervical(long(TRUTH), long([*PREDICTED, [0.5] * 8]))


def test_a_duplicate_row_is_refused_on_either_side() -> None:
    doubled = pd.concat([long(PREDICTED), long(PREDICTED).head(2)])
    with pytest.raises(SubmissionError, match="submission: 2 duplicate rows"):
        score_cervical(long(TRUTH), doubled)
    with pytest.raises(SubmissionError, match="solution: 1 duplicate row,"):
        score_cervical(pd.concat([long(TRUTH), long(TRUTH).tail(1)]), long(PREDICTED))


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_values_that_are_no_probabilities_are_refused(value: float) -> None:
    submission = long(PREDICTED)
    submission.loc[5, "fractured"] = value
    with pytest.raises(SubmissionError, match=r"submission: 1 row with values .* the first is 2\.25\.0_C5"):
        score_cervical(long(TRUTH), submission)


def test_text_that_is_no_number_is_refused_without_quoting_it() -> None:
    submission = long(PREDICTED).astype({"fractured": object})
    submission.loc[5, "fractured"] = "secret words"
    with pytest.raises(SubmissionError, match="not numbers") as caught:
        score_cervical(long(TRUTH), submission)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("column", ["row_id", "fractured"])
@pytest.mark.parametrize("side", ["solution", "submission"])
def test_a_missing_column_is_refused_by_name(column: str, side: str) -> None:
    frames = {"solution": long(TRUTH), "submission": long(PREDICTED)}
    frames[side] = frames[side].drop(columns=column)
    with pytest.raises(SubmissionError, match=f"{side}: column '{column}' is missing"):
        score_cervical(**frames)


def test_a_row_without_an_id_is_refused() -> None:
    submission = long(PREDICTED)
    submission.loc[0, "row_id"] = None
    with pytest.raises(SubmissionError, match="1 row without a row_id"):
        score_cervical(long(TRUTH), submission)


def test_a_solution_that_is_no_solution_is_refused() -> None:
    with pytest.raises(SubmissionError, match="other than 0 and 1"):
        score_cervical(long(PREDICTED), long(PREDICTED))
    with pytest.raises(SubmissionError, match="solution: no rows"):
        score_cervical(long([]), long(PREDICTED))
    strange = pd.DataFrame({"row_id": ["2.25.1_C9"], "fractured": [0]})
    with pytest.raises(SubmissionError, match="does not end in one of the targets"):
        score_cervical(strange, strange)


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="normalisation"):
        score_cervical(long(TRUTH), long(PREDICTED), normalisation="C")  # type: ignore[arg-type]


def test_a_row_left_out_of_the_solution_is_still_asked_of_the_submission() -> None:
    solution = long(TRUTH).drop(index=3)
    whole = score_cervical(solution, long(PREDICTED))
    assert whole.rows == 23
    with pytest.raises(SubmissionError, match="missing row"):
        score_cervical(solution, long(PREDICTED).drop(index=3))
    assert score_cervical(solution, long(PREDICTED).drop(index=3), complete=False).score == whole.score


def test_the_error_belongs_to_the_project_and_pickles() -> None:
    import pickle

    assert issubclass(SubmissionError, CurateError)
    assert str(pickle.loads(pickle.dumps(SubmissionError("why")))) == "why"  # noqa: S301


def test_a_larger_random_fold_agrees_with_plain_loops() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, (40, 8))
    predicted = random.uniform(0.01, 0.99, (40, 8))
    total = weight_sum = 0.0
    per_study = []
    for y_row, p_row in zip(truth, predicted, strict=True):
        losses = [-math.log(p) if y else -math.log(1 - p) for y, p in zip(y_row, p_row, strict=True)]
        weights = [(7 if n == 0 else 1) * (2 if y else 1) for n, y in enumerate(y_row)]
        study = sum(w * loss for w, loss in zip(weights, losses, strict=True))
        per_study.append(study / sum(weights))
        total, weight_sum = total + study, weight_sum + sum(weights)
    solution, submission = long(truth.tolist()), long(predicted.tolist())
    assert score_cervical(solution, submission).score == pytest.approx(total / weight_sum, abs=1e-12)
    expected = sum(per_study) / len(per_study)
    assert score_cervical(solution, submission, normalisation="A").score == pytest.approx(expected, abs=1e-12)
