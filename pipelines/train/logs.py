"""What a run said, for people and their tools: lines of JSON, TensorBoard, MLflow. Clocks are allowed here.

Below the folder: ``steps/STAGE-KEY.jsonl``, ``tensorboard/STAGE-KEY/`` (``tensorboard --logdir``) and ``mlruns/``
(see ``mlflow_files``). Nothing reads them back: a run does not depend on them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from curate.storage.store import unavailable
from pipelines.train.mlflow_files import MlflowRun
from pipelines.train.reports import Began, Evaluation, OnReport, Report
from pipelines.train.settings import TrainSettings


@contextlib.contextmanager
def logging_to(folder: Path | None, *, recipe: str, run: str, settings: TrainSettings) -> Iterator[OnReport]:
    """A function that writes each report; with no folder it does nothing. Raises ``Unavailable`` when it cannot."""
    if folder is None:
        yield lambda report: None
        return
    try:
        logs = _Logs(folder, recipe, run, settings)
    except OSError as error:
        raise unavailable("write", error) from None
    has_failed = True
    try:
        yield logs.write
        has_failed = False
    finally:
        logs.close(has_failed=has_failed)


class _Logs:
    def __init__(self, folder: Path, recipe: str, run: str, settings: TrainSettings) -> None:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        (folder / "steps").mkdir(parents=True, exist_ok=True)
        self._lines = (folder / "steps" / f"{run}.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard" / run), flush_secs=10)
        self._mlflow = MlflowRun(folder / "mlruns", experiment=recipe, run=run, params=settings.to_json())

    def write(self, report: Report) -> None:
        line = {"kind": type(report).__name__.lower(), **asdict(report)}
        try:
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
            metrics = metrics_of(report)
            for name, value in metrics.items():
                self._board.add_scalar(name, value, report.step)
            self._mlflow.log(report.step, metrics)
        except OSError as error:
            raise unavailable("write", error) from None

    def close(self, *, has_failed: bool) -> None:
        with contextlib.suppress(OSError):
            self._lines.close()
            self._board.close()
            self._mlflow.end(has_failed=has_failed)


def metrics_of(report: Report) -> dict[str, float]:
    """The numbers of a report by the names they have in every log."""
    if isinstance(report, Began):
        return {}
    if isinstance(report, Evaluation):
        return {"validation_score": report.score} | {f"validation_{name}": part for name, part in report.parts.items()}
    return {
        "loss": report.loss,
        "learning_rate": report.learning_rate,
        "studies_per_second": report.studies_per_second,
        "step_seconds": report.seconds,
        "data_wait_share": report.wait_share,
    }
