"""What tasks share: how far the model looked away from where readers saw the finding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.loading.dataset import StudyBatch
from pipelines.recipes.cervical import Cervical
from pipelines.recipes.lumbar import Lumbar
from pipelines.train.task import guided_crops, missed_marks


def batch(marks: torch.Tensor, *, weight: list[float] | None = None) -> StudyBatch:
    studies, slots = marks.shape[:2]
    return StudyBatch(
        crops=torch.zeros(studies, slots, 2, 2, 2),
        present=torch.ones(studies, slots, dtype=torch.bool),
        marks=marks,
        targets=torch.zeros(studies, slots, dtype=torch.int64),
        weight=torch.tensor(weight or [1.0] * studies),
        index=torch.arange(studies),
    )


def guide(looks: torch.Tensor, given: StudyBatch) -> tuple[torch.Tensor, torch.Tensor]:
    return missed_marks(looks, given), guided_crops(given).sum()


def test_guidance_is_minus_the_log_of_the_attention_on_marked_cells() -> None:
    marks = torch.zeros(1, 2, 4, dtype=torch.bool)
    marks[0, 0, 1:3] = True
    attention = torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]]])
    away, guided = guide(attention.log(), batch(marks))
    assert float(away) == pytest.approx(-np.log(0.5), rel=1e-5)
    assert float(guided) == 1


def test_all_attention_on_the_marks_costs_nothing() -> None:
    marks = torch.ones(2, 3, 4, dtype=torch.bool)
    away, guided = guide(torch.full((2, 3, 4), 0.25).log(), batch(marks))
    assert float(away) == pytest.approx(0, abs=1e-5)
    assert float(guided) == 6


def test_padding_and_crops_without_marks_ask_for_nothing() -> None:
    marks = torch.zeros(2, 1, 4, dtype=torch.bool)
    marks[1, 0, 0] = True
    looks = torch.randn(2, 1, 4, requires_grad=True)
    away, guided = guide(looks.log_softmax(dim=2), batch(marks, weight=[1.0, 0.0]))
    assert (float(away.detach()), float(guided)) == (0, 0)
    away.backward()  # type: ignore[no-untyped-call]
    assert looks.grad is not None
    assert not looks.grad.any()
    assert torch.isfinite(looks.grad).all()


def test_a_task_without_marks_is_not_guided() -> None:
    away, guided = guide(torch.randn(1, 2, 9), batch(torch.zeros(1, 2, 0, dtype=torch.bool)))
    assert (float(away), float(guided)) == (0, 0)


@pytest.mark.parametrize("task", [Cervical(), Lumbar()], ids=lambda task: task.name)
def test_a_model_looks_at_as_many_cells_as_marks_are_made_for(task: Cervical | Lumbar) -> None:
    classes = 2 if isinstance(task, Cervical) else 3
    model = task.model(np.full((len(task.targets), classes), 1 / classes) + np.linspace(0.1, 0, classes))
    slots = 7 if isinstance(task, Cervical) else 25
    _, looks = model(torch.zeros(1, slots, *task.shape.shape), torch.ones(1, slots, dtype=torch.bool))
    if isinstance(task, Cervical):
        assert looks.shape[2] == np.prod([n // task.mark_stride for n in task.shape.shape])
    assert torch.allclose(looks.exp().sum(dim=2), torch.ones(1, slots), atol=1e-5)
