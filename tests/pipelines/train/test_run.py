"""Training end to end on Ray Train with two gloo ranks: it learns, stays in its folder, and says nothing by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
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
from pipelines.train import Evaluation, Report, StagedSettings, Step, TrainResult, TrainSettings, run, train
from pipelines.train.checkpoint import read_record
from pipelines.train.recipe import Recipe, Stage
from pipelines.train.task import Answers
from tests.support.tiny_task import Tiny, tiny_manifests
from tests.support.training_store import cervical_store, lumbar_store

SETTINGS = TrainSettings(epochs=14, batch_size=4, learning_rate=5e-3, workers=2, seed=1)
QUICK = TrainSettings(epochs=1, batch_size=4, max_failures=0)


@dataclass
class Trained:
    result: TrainResult
    manifests: dict[str, pa.Table]
    store: Path
    output: Path
    reports: list[Report]

    @property
    def steps(self) -> list[Step]:
        return [report for report in self.reports if isinstance(report, Step)]


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    with start(None, 2):
        yield


@pytest.fixture(scope="module")
def neck(session: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("neck")
    output = store / "training"
    manifests = cervical_store(store, studies=15, without_masks=(4,))
    reports: list[Report] = []
    logs = output / "logs"
    result = train("cervical", str(store), manifests, SETTINGS, output=output, on_report=reports.append, logs=logs)
    return Trained(result, manifests, store, output, reports)


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
    assert sorted(path.name for path in neck.output.iterdir()) == ["logs", "result.json", "runs", "submission.csv"]
    checkpoint = Path(neck.result.final.checkpoint)
    assert neck.output in checkpoint.parents
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "checkpoint.json",
        "optimiser.npz",
        "weights.npz",
    ]
    assert not Path("~/ray_results").expanduser().exists()
    assert not [name for name in os.environ if name.startswith("RAY_TRAIN_")]


def test_the_same_call_again_finds_the_work_done(neck: Trained) -> None:
    reports: list[Report] = []
    again = train("cervical", str(neck.store), neck.manifests, SETTINGS, output=neck.output, on_report=reports.append)
    assert not reports
    assert replace(again, seconds=0) == replace(neck.result, seconds=0)


def test_the_validation_split_is_scored_four_times(neck: Trained) -> None:
    evaluations = [report for report in neck.reports if isinstance(report, Evaluation)]
    assert [evaluation.epoch for evaluation in evaluations] == [4, 8, 12, 14]
    assert set(evaluations[0].parts) == {"patient_overall", "vertebrae"}


def test_logs_say_throughput_and_waiting(neck: Trained) -> None:
    (lines,) = (neck.output / "logs/steps").iterdir()
    steps = [line for line in map(json.loads, lines.read_text().splitlines()) if line["kind"] == "step"]
    assert len(steps) == neck.result.final.steps
    assert all(line["studies_per_second"] > 0 and 0 <= line["wait_share"] <= 1 for line in steps)
    assert {path.name for path in (neck.output / "logs").iterdir()} == {"mlruns", "steps", "tensorboard"}


def test_stages_follow_each_other_and_the_later_has_the_weights_of_the_earlier(
    session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submission(keys: Sequence[str], answers: Answers) -> pd.DataFrame:
        return pd.DataFrame({"row_id": keys, "value": answers[:, 0]})

    second = Stage("second", lambda root, checkpoints: Tiny(earlier=checkpoints["first"]), {"learning_rate": 1e-4})
    recipe = Recipe("tiny", (Stage("first", lambda root, checkpoints: Tiny()), second), submission)
    monkeypatch.setitem(run._RECIPES, "tiny", recipe)  # type: ignore[attr-defined]
    settings = StagedSettings(epochs=6, workers=1, learning_rate=2e-2, stages={"second": TrainSettings(epochs=1)})
    reports: list[Report] = []
    result = train("tiny", str(tmp_path), tiny_manifests(), settings, output=tmp_path / "o", on_report=reports.append)
    first, final = result.stages
    assert (first.name, final.name) == ("first", "second")
    assert final.settings.learning_rate == 2e-2  # what the spec says for all counts more than what the recipe does
    assert (first.steps, final.steps) == (6 * 3, 3)
    assert final.score < first.constant_score / 2  # in one epoch, from where the first one ended
    assert read_record(final.checkpoint).task == "tiny"
    assert pd.read_csv(result.submission).columns.tolist() == ["row_id", "value"]
    with pytest.raises(Misconfigured, match=r"train\.stages\.third: expected first or second"):
        train("tiny", "", {}, StagedSettings(stages={"third": TrainSettings()}), output=tmp_path)


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
        train("cervical", str(tmp_path / "nowhere"), neck.manifests, QUICK, output=tmp_path / "training")
    assert type(caught.value).__name__ == "Unavailable"
    assert "nowhere" not in str(caught.value)
    assert ray.is_initialized()  # it was the caller's, and stays


def test_an_interrupted_caller_leaves_no_run_behind(neck: Trained, session: None, tmp_path: Path) -> None:
    def stop(report: Report) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("cervical", str(neck.store), neck.manifests, SETTINGS, output=tmp_path, on_report=stop)
    quick = TrainSettings(**{**SETTINGS.model_dump(), "epochs": 1, "seed": 2})
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
    with pytest.raises(Misconfigured, match=r"task: expected cervical or .*lumbar.*, got 'thoracic'"):
        train("thoracic", str(tmp_path), {}, SETTINGS, output=tmp_path)
