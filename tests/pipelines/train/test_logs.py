"""What a run leaves for people's tools: lines of JSON, TensorBoard's events, MLflow's files; read here as they read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]

from curate.errors import Unavailable
from pipelines.train.logs import logging_to, metrics_of
from pipelines.train.mlflow_files import MlflowRun
from pipelines.train.reports import Began, Evaluation, Report, Step
from pipelines.train.settings import TrainSettings

REPORTS: list[Report] = [
    Began(0, 4),
    Step(1, 4, 0, 0.75, 1e-3, 12.0, 0.5, 0.04),
    Step(2, 4, 1, 0.5, 2e-3, 14.0, 0.25, 0.02),
    Evaluation(2, 1, 0.625, {"vertebrae": 0.5}, True),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("logs")
    with logging_to(made, recipe="cervical", run="classify-abc", settings=TrainSettings(epochs=2)) as write:
        for report in REPORTS:
            write(report)
    return made


def events(path: Path) -> Iterator[Event]:
    """Records of a TFRecord file: length, its checksum, the bytes, their checksum."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def test_every_report_is_a_line_of_json(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "steps/classify-abc.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["began", "step", "step", "evaluation"]
    assert lines[1]["wait_share"] == 0.04
    assert lines[1]["studies_per_second"] == 12.0
    assert lines[3]["parts"] == {"vertebrae": 0.5}


def test_tensorboard_reads_the_scalars(folder: Path) -> None:
    (path,) = (folder / "tensorboard/classify-abc").iterdir()
    found = {(value.tag, event.step): value.simple_value for event in events(path) for value in event.summary.value}
    assert found["loss", 1] == 0.75
    assert found["loss", 2] == 0.5
    assert found["data_wait_share", 1] == pytest.approx(0.04)
    assert found["validation_score", 2] == 0.625
    assert found["validation_vertebrae", 2] == 0.5


def test_mlflow_finds_experiment_run_parameters_and_metrics(folder: Path) -> None:
    (experiment,) = (folder / "mlruns").iterdir()
    described = yaml.safe_load((experiment / "meta.yaml").read_text())
    assert described["name"] == "cervical"
    assert described["experiment_id"] == experiment.name
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    meta = yaml.safe_load((run / "meta.yaml").read_text())
    assert (meta["run_id"], meta["run_name"], meta["status"]) == (run.name, "classify-abc", 3)
    assert meta["end_time"] >= meta["start_time"]
    assert (run / "params/epochs").read_text() == "2"
    points = [line.split() for line in (run / "metrics/loss").read_text().splitlines()]
    assert [(float(value), int(step)) for _, value, step in points] == [(0.75, 1), (0.5, 2)]
    assert (run / "tags/mlflow.runName").read_text() == "classify-abc"


def test_a_run_that_goes_on_is_the_same_run(tmp_path: Path) -> None:
    for _ in range(2):
        run = MlflowRun(tmp_path, experiment="lumbar", run="locate-1", params={"epochs": 1})
        run.log(1, {"loss": 1.0})
        run.end(has_failed=False)
    (metric,) = tmp_path.rglob("metrics/loss")
    assert len(metric.read_text().splitlines()) == 2


def test_a_run_that_failed_is_said_to_have(tmp_path: Path) -> None:
    with pytest.raises(KeyError), logging_to(tmp_path, recipe="c", run="r", settings=TrainSettings()):
        raise KeyError
    (meta,) = tmp_path.glob("mlruns/*/*/meta.yaml")
    assert yaml.safe_load(meta.read_text())["status"] == 4


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with logging_to(None, recipe="c", run="r", settings=TrainSettings()) as write:
        write(REPORTS[1])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("in the way")
    with (
        pytest.raises(Unavailable) as caught,
        logging_to(tmp_path, recipe="c", run="r", settings=TrainSettings()),
    ):
        pass
    assert str(tmp_path) not in str(caught.value)


def test_the_line_of_a_step_has_throughput_and_waiting() -> None:
    assert str(REPORTS[1]) == (
        "step 1/4  epoch 1  loss 0.7500  lr 1.00e-03  12.0 studies/s  0.500 s/step  data wait 4.0%"
    )
    assert str(REPORTS[3]) == "validation after epoch 1: 0.6250 (best)"
    assert [str(Began(0, 4)), str(Began(3, 4))] == ["begins: 4 steps", "goes on after step 3/4"]
    assert metrics_of(REPORTS[0]) == {}
