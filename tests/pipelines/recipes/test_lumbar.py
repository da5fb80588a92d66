"""The lumbar task: ordered grades, weights of the challenge, constants fitted to the whole metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.loading.dataset import StudyBatch
from curate.manifests.schemas import LUMBAR_TARGETS
from pipelines.recipes.lumbar import LUMBAR, Lumbar, _ordered
from pipelines.train.task import Constants, Labels
from tests.support.training_store import samples_of

TASK = Lumbar()


def labels(studies: int, *, seed: int = 0) -> Labels:
    draw = np.random.default_rng(seed)
    return draw.choice([-1, 0, 1, 2], size=(studies, 25), p=[0.05, 0.6, 0.22, 0.13]).astype(np.int64)


def batch(truth: Labels, *, weight: list[float] | None = None) -> StudyBatch:
    studies = len(truth)
    return StudyBatch(
        crops=torch.randn(studies, 25, 3, 16, 16),
        present=torch.ones(studies, 25, dtype=torch.bool),
        marks=torch.zeros(studies, 25, 0, dtype=torch.bool),
        targets=torch.tensor(truth),
        weight=torch.tensor(weight or [1.0] * studies),
        index=torch.arange(studies),
    )


def official(truth: Labels, constants: Constants) -> float:
    return TASK.score(samples_of(truth), np.repeat(constants[None], len(truth), axis=0)).score


def test_ordered_answers_are_probabilities_that_follow_the_scale() -> None:
    moderate = torch.linspace(-6, 6, 50)
    grades = _ordered(moderate, moderate - 1.5).exp()
    assert torch.allclose(grades.sum(dim=1), torch.ones(50), atol=1e-6)
    assert (grades[:, 0].diff() < 0).all()
    assert (grades[:, 2].diff() > 0).all()
    assert torch.allclose(grades[:, 1], torch.sigmoid(moderate) - torch.sigmoid(moderate - 1.5), atol=1e-6)


def test_far_out_answers_stay_finite_and_so_do_their_gradients() -> None:
    scale = torch.tensor([-80.0, 80.0], requires_grad=True)
    logs = _ordered(scale, scale - 0.5)
    assert torch.isfinite(logs).all()
    logs.sum().backward()  # type: ignore[no-untyped-call]
    assert scale.grad is not None
    assert torch.isfinite(scale.grad).all()


def test_within_a_group_the_loss_is_the_official_one() -> None:
    truth = labels(9)
    model_says = torch.log_softmax(torch.randn(9, 25, 3), dim=2)
    answers = TASK.answers((model_says, torch.zeros(1))).numpy()
    parts = TASK.score(samples_of(truth), answers).parts
    for group, (first, last) in {"spinal": (0, 5), "foraminal": (5, 15), "subarticular": (15, 25)}.items():
        only = np.full_like(truth, -1)
        only[:, first:last] = truth[:, first:last]
        loss = TASK.losses((model_says, torch.zeros(9, 25, 1)), batch(only)) / TASK.weights(batch(only))
        assert float(loss[0]) == pytest.approx(parts[group], rel=1e-5)


def test_the_second_term_is_any_severe_of_the_metric() -> None:
    truth = labels(9)
    truth[:, 1] = np.maximum(truth[:, 1], 0)  # every study has a graded canal
    model_says = torch.log_softmax(torch.randn(9, 25, 3), dim=2)
    parts = TASK.score(samples_of(truth), TASK.answers((model_says, torch.zeros(1))).numpy()).parts
    loss = TASK.losses((model_says, torch.zeros(9, 25, 1)), batch(truth)) / TASK.weights(batch(truth))
    assert float(loss[1]) == pytest.approx(parts["any_severe_spinal"], rel=1e-4)


def test_targets_of_a_group_follow_each_other() -> None:
    assert [target.split("_")[0] for target in LUMBAR_TARGETS] == (
        ["spinal"] * 5 + ["left"] * 5 + ["right"] * 5 + ["left"] * 5 + ["right"] * 5
    )
    assert all("foraminal" in target for target in LUMBAR_TARGETS[5:15])


def test_padding_weighs_nothing() -> None:
    truth, says = labels(3), torch.log_softmax(torch.randn(3, 25, 3), dim=2)
    whole = TASK.losses((says[:1], torch.zeros(1, 25, 1)), batch(truth[:1]))
    padded = TASK.losses((says, torch.zeros(3, 25, 1)), batch(truth, weight=[1.0, 0.0, 0.0]))
    assert padded.tolist() == pytest.approx(whole.tolist())
    weights = TASK.weights(batch(truth, weight=[1.0, 0.0, 0.0]))
    assert weights.tolist() == TASK.weights(batch(truth[:1])).tolist()


def test_no_other_constants_score_better() -> None:
    """Against random neighbours: any_severe_spinal pulls the canal's severe share, the others are plain shares."""
    truth = labels(60, seed=1)
    constants = TASK.constants(samples_of(truth))
    ours = official(truth, constants)
    draw = np.random.default_rng(2)
    for _ in range(60):
        groups = np.exp(np.log(constants[[0, 5, 15]]) + draw.normal(0, 0.25, (3, 3)))
        groups /= groups.sum(axis=1, keepdims=True)
        assert official(truth, np.repeat(groups, [5, 10, 10], axis=0)) > ours - 2e-4


def test_the_constants_know_that_any_severe_counts() -> None:
    truth = labels(60, seed=1)
    constants = TASK.constants(samples_of(truth))
    share = (truth[:, :5] == 2).sum() * 4 / np.array([1, 2, 4])[truth[:, :5][truth[:, :5] >= 0]].sum()
    assert constants[0, 2] > share + 0.05
    assert constants.sum(axis=1) == pytest.approx(np.ones(25))


def test_constants_without_any_canal_label_are_plain_shares() -> None:
    truth = labels(6)
    truth[:, :5] = -1
    assert TASK.constants(samples_of(truth))[0] == pytest.approx(np.array([1, 2, 4]) / 7)


def test_a_model_without_crops_answers_the_constants() -> None:
    constants = TASK.constants(samples_of(labels(40)))
    given = batch(labels(2))
    outputs = TASK.model(constants)(given.crops, torch.zeros(2, 25, dtype=torch.bool))
    assert TASK.answers(outputs).detach().numpy() == pytest.approx(np.repeat(constants[None], 2, axis=0), abs=1e-5)


def test_each_crop_moves_its_own_target_only() -> None:
    model = TASK.model(TASK.constants(samples_of(labels(40))))
    given = batch(labels(1)).crops
    before, _ = model(given, torch.ones(1, 25, dtype=torch.bool))
    changed = given.clone()
    changed[0, 7] += 1
    after, _ = model(changed, torch.ones(1, 25, dtype=torch.bool))
    moved = ((after - before).abs().amax(dim=2) > 1e-6)[0]
    assert moved.nonzero().flatten().tolist() == [7]


def test_answers_are_written_in_the_challenge_schema() -> None:
    frame = LUMBAR.submission(["a"], np.tile([0.5, 0.3, 0.2], (1, 25, 1)))
    assert frame.columns.tolist() == ["row_id", "normal_mild", "moderate", "severe"]
    assert frame["row_id"][0] == "a_spinal_canal_stenosis_l1_l2"
    assert (frame["severe"] == 0.2).all()
