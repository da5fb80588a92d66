"""Training end to end on Ray Train with two gloo ranks: it learns, stays in its folder, and says nothing by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray

from cluster.session import start
from curate.errors import Misconfigured
from curate.scoring import score_cervical
from pipelines.train import Step, TrainResult, TrainSettings, train
from tests.support.training_store import cervical_store, lumbar_store

SETTINGS = TrainSettings(epochs=14, batch_size=4, learning_rate=5e-3, workers=2, seed=1)


@dataclass
class Trained:
    result: TrainResult
    manifests: dict[str, pa.Table]
    store: Path
    output: Path
    steps: list[Step]


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    with start(None, 2):
        yield


@pytest.fixture(scope="module")
def neck(session: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("neck")
    output = store / "training"
    manifests = cervical_store(store, studies=15, without_masks=(4,))
    steps: list[Step] = []
    result = train("cervical", str(store), manifests, SETTINGS, output=output, on_step=steps.append)
    return Trained(result, manifests, store, output, steps)


def test_the_model_beats_every_constant_on_patients_it_has_not_seen(neck: Trained) -> None:
    assert neck.result.final.has_learned
    assert neck.result.final.score < 0.8 * neck.result.final.constant_score
    assert neck.result.final.studies == {"train": 9, "held_out": 6}


def test_every_step_is_told_in_order(neck: Trained) -> None:
    assert [step.step for step in neck.steps] == list(range(1, neck.result.final.steps + 1))
    assert neck.result.final.steps == 14 * 3
    assert neck.steps[-1].loss < neck.steps[0].loss


def test_the_score_is_that_of_the_submission_it_leaves(neck: Trained) -> None:
    submission = pd.read_csv(neck.result.submission)
    rows = [row for row in neck.manifests["samples"].to_pylist() if row["split"] != "train"]
    names = ["patient_overall", *(f"C{n}" for n in range(1, 8))]
    solution = pd.DataFrame(
        [{"row_id": f"{row['study_key']}_{name}", "fractured": row[name]} for row in rows for name in names]
    )
    assert score_cervical(solution, submission).score == pytest.approx(neck.result.final.score, abs=1e-9)


def test_what_was_missing_is_said(neck: Trained) -> None:
    assert neck.result.final.warnings == ("7 of 105 crops lie at the mean place: no mask or point says where",)


def test_the_result_file_holds_numbers_and_neither_clock_nor_path(neck: Trained) -> None:
    text = (neck.output / "result.json").read_text()
    record = json.loads(text)
    (stage,) = record["stages"]
    assert stage["score"] == neck.result.final.score
    assert stage["constant_score"] == neck.result.final.constant_score
    assert stage["settings"] == SETTINGS.to_json()
    assert "seconds" not in record
    assert str(neck.store) not in text


def test_everything_lies_in_the_output(neck: Trained) -> None:
    assert sorted(path.name for path in neck.output.iterdir()) == ["result.json", "runs", "submission.csv"]
    assert neck.output in neck.result.final.checkpoint.parents
    assert sorted(path.name for path in neck.result.final.checkpoint.iterdir()) == [
        "checkpoint.json",
        "optimiser.npz",
        "weights.npz",
    ]
    assert not Path("~/ray_results").expanduser().exists()
    assert not [name for name in os.environ if name.startswith("RAY_TRAIN_")]


def test_the_same_call_again_finds_the_work_done(neck: Trained) -> None:
    steps: list[Step] = []
    again = train("cervical", str(neck.store), neck.manifests, SETTINGS, output=neck.output, on_step=steps.append)
    assert not steps
    assert replace(again, seconds=0) == replace(neck.result, seconds=0)


def test_one_rank_takes_the_same_steps_as_two(neck: Trained, session: None) -> None:
    steps: list[Step] = []
    alone = replace(SETTINGS, workers=1, epochs=1)
    train("cervical", str(neck.store), neck.manifests, alone, output=neck.output / "one", on_step=steps.append)
    two: list[Step] = []
    both = replace(SETTINGS, epochs=1)
    train("cervical", str(neck.store), neck.manifests, both, output=neck.output / "two", on_step=two.append)
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in two], rel=2e-3)


def test_a_study_without_its_axial_series_is_answered_all_the_same(session: None, tmp_path: Path) -> None:
    manifests = lumbar_store(tmp_path, studies=5, without_axial=(2,))
    quick = TrainSettings(epochs=1, batch_size=4)
    result = train("lumbar", str(tmp_path), manifests, quick, output=tmp_path / "training")
    assert set(result.final.parts) == {"spinal", "foraminal", "subarticular", "any_severe_spinal"}
    assert result.final.warnings[0].startswith("10 of 125 crops have no volume to come from")
    submission = pd.read_csv(result.submission)
    rows = submission[submission["row_id"].str.startswith("s02_") & submission["row_id"].str.contains("subarticular")]
    assert len(rows) == 10
    assert np.allclose(rows[["normal_mild", "moderate", "severe"]].sum(axis=1), 1)


def test_what_stops_a_rank_is_told_by_kind_and_without_paths(neck: Trained, session: None, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="worker failed") as caught:
        train("cervical", str(tmp_path / "nowhere"), neck.manifests, SETTINGS, output=tmp_path / "training")
    assert type(caught.value).__name__ == "Unavailable"
    assert "nowhere" not in str(caught.value)
    assert ray.is_initialized()  # it was the caller's, and stays


def test_an_interrupted_caller_leaves_no_run_behind(neck: Trained, session: None, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("cervical", str(neck.store), neck.manifests, SETTINGS, output=tmp_path, on_step=stop)
    quick = replace(SETTINGS, epochs=1, seed=2)
    assert train("cervical", str(neck.store), neck.manifests, quick, output=tmp_path / "next").final.steps == 3


@pytest.mark.parametrize(("kept", "missing"), [("test", "train"), ("train", "validation or test")])
def test_an_empty_split_is_refused_before_anything_starts(
    neck: Trained, tmp_path: Path, kept: str, missing: str
) -> None:
    samples = neck.manifests["samples"]
    only = samples.set_column(samples.schema.get_field_index("split"), "split", pa.array([kept] * len(samples)))
    with pytest.raises(Misconfigured, match=f"at least one graded study in the split {missing}; there is none"):
        train("cervical", str(neck.store), {**neck.manifests, "samples": only}, SETTINGS, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="expected cervical or lumbar, got 'thoracic'"):
        train("thoracic", str(tmp_path), {}, SETTINGS, output=tmp_path)
