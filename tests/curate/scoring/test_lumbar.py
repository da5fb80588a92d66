"""The lumbar metric against the golden of the challenge facts and against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from curate.scoring import SubmissionError, score_lumbar
from curate.scoring.lumbar import group_of

CONDITIONS = (
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
)
LEVELS = ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")
GRADES = ["normal_mild", "moderate", "severe"]


def golden() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = []
    for study in (1, 2):
        for ci, condition in enumerate(CONDITIONS):
            for li, level in enumerate(LEVELS):
                k = (study * 7 + ci * 3 + li * 5) % 9
                grade = 0 if k < 6 else 1 if k < 8 else 2
                rows.append((f"{study}_{condition}_{level}", *np.eye(3, dtype=int)[grade], (1, 2, 4)[grade]))
    solution = pd.DataFrame(rows, columns=["row_id", *GRADES, "sample_weight"])
    solution = solution.sort_values("row_id").reset_index(drop=True)
    predicted = 0.8 * np.array([0.6, 0.25, 0.15]) + 0.2 * np.eye(3)[np.arange(50) % 3]
    submission = pd.DataFrame(predicted, columns=GRADES)
    submission.insert(0, "row_id", solution["row_id"])
    return solution, submission


def constant(solution: pd.DataFrame, probabilities: tuple[float, float, float]) -> pd.DataFrame:
    frame = solution[["row_id"]].copy()
    for name, value in zip(GRADES, probabilities, strict=True):
        frame[name] = value
    return frame


def test_the_golden_of_two_studies() -> None:
    result = score_lumbar(*golden())
    assert result.spinal == pytest.approx(1.2351234707, abs=1e-9)
    assert result.foraminal == pytest.approx(1.1136780630, abs=1e-9)
    assert result.subarticular == pytest.approx(1.2172792839, abs=1e-9)
    assert result.any_severe_spinal == pytest.approx(0.8881770157, abs=1e-9)
    assert result.score == pytest.approx(1.1135644583, abs=1e-9)
    assert (result.studies, result.rows) == (2, 50)


def test_one_third_everywhere_scores_the_logarithm_of_three_in_each_group() -> None:
    solution, _ = golden()
    result = score_lumbar(solution, constant(solution, (1 / 3, 1 / 3, 1 / 3)))
    for part in (result.spinal, result.foraminal, result.subarticular):
        assert part == pytest.approx(math.log(3), abs=1e-12)


def test_the_scalar_weighs_the_per_study_part() -> None:
    solution, submission = golden()
    plain = score_lumbar(solution, submission)
    without = score_lumbar(solution, submission, any_severe_scalar=0.0)
    assert without.score == pytest.approx((plain.spinal + plain.foraminal + plain.subarticular) / 3, abs=1e-12)
    double = score_lumbar(solution, submission, any_severe_scalar=2.0)
    assert double.score == pytest.approx((3 * without.score + 2 * plain.any_severe_spinal) / 5, abs=1e-12)
    with pytest.raises(ValueError, match="any_severe_scalar"):
        score_lumbar(solution, submission, any_severe_scalar=-1)


def test_the_per_study_part_done_by_hand() -> None:
    solution, submission = golden()
    spinal = solution["row_id"].str.contains("spinal")
    losses, weights = [], []
    for study in ("1", "2"):
        chosen = spinal & solution["row_id"].str.startswith(f"{study}_")
        y = solution.loc[chosen, "severe"].max()
        p = submission.loc[chosen, "severe"].max()
        losses.append(-math.log(p) if y else -math.log(1 - p))
        weights.append(solution.loc[chosen, "sample_weight"].max())
    expected = float(np.average(losses, weights=weights))
    assert score_lumbar(solution, submission).any_severe_spinal == pytest.approx(expected, abs=1e-12)


def test_rows_are_matched_by_id_and_not_by_position() -> None:
    solution, submission = golden()
    shuffled = submission.sample(frac=1, random_state=5)
    assert score_lumbar(solution.iloc[::-1], shuffled).score == pytest.approx(1.1135644583, abs=1e-9)


def test_blank_cells_are_not_in_the_solution_but_are_asked_of_the_submission() -> None:
    solution, submission = golden()
    blank = solution["row_id"] == "1_left_subarticular_stenosis_l3_l4"
    graded = solution[~blank]
    result = score_lumbar(graded, submission)
    assert result.rows == 49
    with pytest.raises(SubmissionError, match="1 missing row, the first is 1_left_subarticular_stenosis_l3_l4"):
        score_lumbar(graded, submission[~blank])
    assert score_lumbar(graded, submission[~blank], complete=False).score == result.score


def test_a_row_of_another_study_is_refused() -> None:
    solution, submission = golden()
    stranger = submission.tail(1).assign(row_id="3_spinal_canal_stenosis_l1_l2")
    with pytest.raises(SubmissionError, match="1 extra row"):
        score_lumbar(solution, pd.concat([submission, stranger]))


def test_a_duplicate_row_is_refused() -> None:
    solution, submission = golden()
    with pytest.raises(SubmissionError, match="duplicate"):
        score_lumbar(solution, pd.concat([submission, submission.head(1)]))


def test_a_fold_without_any_severe_row_scores() -> None:
    solution, submission = golden()
    severe = solution["severe"] == 1
    solution.loc[severe, ["normal_mild", "moderate", "severe"]] = [1, 0, 0]
    solution.loc[severe, "sample_weight"] = 1
    result = score_lumbar(solution, submission)
    assert math.isfinite(result.score)
    assert result.any_severe_spinal > 0


def test_rows_that_do_not_sum_to_one_are_refused_and_not_renormalised() -> None:
    solution, submission = golden()
    halved = submission.assign(**{name: submission[name] / 2 for name in GRADES})
    with pytest.raises(SubmissionError, match="50 of 50 rows do not sum to 1"):
        score_lumbar(solution, halved)


def test_rows_rounded_to_four_decimals_pass() -> None:
    solution, submission = golden()
    rounded = constant(solution, (0.3333, 0.3333, 0.3333))
    assert score_lumbar(solution, rounded).spinal == pytest.approx(-math.log(0.3333), abs=1e-12)
    single = submission.astype(dict.fromkeys(GRADES, np.float32))
    assert score_lumbar(solution, single).score == pytest.approx(1.1135644583, abs=1e-6)


def test_a_certain_error_is_clipped_at_the_eps_of_float64() -> None:
    solution, _ = golden()
    solution[GRADES] = [1, 0, 0]
    result = score_lumbar(solution, constant(solution, (0.0, 0.0, 1.0)))
    assert result.spinal == pytest.approx(-math.log(np.finfo(float).eps), abs=1e-9)
    assert result.any_severe_spinal == pytest.approx(-math.log(np.finfo(float).eps), abs=1e-9)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.2])
def test_values_that_are_no_probabilities_are_refused(value: float) -> None:
    solution, submission = golden()
    submission.loc[3, "severe"] = value
    with pytest.raises(SubmissionError, match="not numbers in"):
        score_lumbar(solution, submission)


def test_a_solution_that_is_not_one_hot_is_refused() -> None:
    solution, submission = golden()
    solution.loc[0, GRADES] = [1, 1, 0]
    with pytest.raises(SubmissionError, match="exactly one grade"):
        score_lumbar(solution, submission)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan])
def test_weights_that_weigh_nothing_are_refused(weight: float) -> None:
    solution, submission = golden()
    solution["sample_weight"] = solution["sample_weight"].astype(float)
    solution.loc[0, "sample_weight"] = weight
    with pytest.raises(SubmissionError, match="solution"):
        score_lumbar(solution, submission)


def test_a_solution_without_weights_is_refused_by_name() -> None:
    solution, submission = golden()
    with pytest.raises(SubmissionError, match="column 'sample_weight' is missing"):
        score_lumbar(solution.drop(columns="sample_weight"), submission)


def test_a_group_without_a_graded_row_is_refused() -> None:
    solution, submission = golden()
    no_foramina = solution[~solution["row_id"].str.contains("foraminal")]
    with pytest.raises(SubmissionError, match="no graded foraminal row"):
        score_lumbar(no_foramina, submission)


def test_every_condition_falls_into_its_group() -> None:
    assert [group_of(f"{condition}_l1_l2") for condition in CONDITIONS] == [
        "spinal",
        "foraminal",
        "foraminal",
        "subarticular",
        "subarticular",
    ]


def test_a_usage_column_in_the_solution_does_no_harm() -> None:
    solution, submission = golden()
    assert score_lumbar(solution.assign(Usage="Public"), submission).score == pytest.approx(1.1135644583, abs=1e-9)
