"""A run in the layout of MLflow's file store, for people who compare runs there.

``mlflow migrate-filestore`` takes the folder into a database; ``MLFLOW_ALLOW_FILE_STORE=true mlflow ui
--backend-store-uri FOLDER`` shows it as it is (read back by mlflow-skinny 3.17). Written here and not by
``mlflow-skinny``: that is forty packages for four kinds of small text files. The layout is that of
``mlflow.store.tracking.file_store``: ``<experiment>/meta.yaml`` and ``<experiment>/<run>/{meta.yaml, params/NAME,
metrics/NAME, tags/NAME}``; a line of a metric is "milliseconds value step".
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

_RUNNING, _FINISHED, _FAILED = 1, 3, 4  # mlflow.protos.service_pb2.RunStatus
_SOURCE_LOCAL = 4  # SourceType


class MlflowRun:
    """One run of an experiment. The same names go on with the run that is there."""

    def __init__(self, folder: Path, *, experiment: str, run: str, params: Mapping[str, object]) -> None:
        number = str(int(hashlib.sha256(experiment.encode()).hexdigest()[:15], 16))
        self._id = hashlib.sha256(f"{experiment}/{run}".encode()).hexdigest()[:32]
        self._experiment, self._name, self._number = folder / number, run, number
        self._run = self._experiment / self._id
        self._metrics = self._run / "metrics"
        for part in (self._metrics, self._run / "params", self._run / "tags", self._run / "artifacts"):
            part.mkdir(parents=True, exist_ok=True)
        experiment_file = self._experiment / "meta.yaml"
        if not experiment_file.exists():
            _write(
                experiment_file,
                {
                    "artifact_location": self._experiment.resolve().as_uri(),
                    "creation_time": _now(),
                    "experiment_id": number,
                    "last_update_time": _now(),
                    "lifecycle_stage": "active",
                    "name": experiment,
                },
            )
        for name, value in params.items():
            (self._run / "params" / name).write_text(str(value), "utf-8")
        (self._run / "tags" / "mlflow.runName").write_text(run, "utf-8")
        self._began = _now()
        self._describe(_RUNNING, None)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a point to each metric."""
        for name, value in metrics.items():
            with (self._metrics / name).open("a", encoding="utf-8") as lines:
                lines.write(f"{_now()} {value} {step}\n")

    def end(self, *, has_failed: bool) -> None:
        self._describe(_FAILED if has_failed else _FINISHED, _now())

    def _describe(self, status: int, end: int | None) -> None:
        _write(
            self._run / "meta.yaml",
            {
                "artifact_uri": (self._run / "artifacts").resolve().as_uri(),
                "end_time": end,
                "entry_point_name": "",
                "experiment_id": self._number,
                "lifecycle_stage": "active",
                "run_id": self._id,
                "run_name": self._name,
                "run_uuid": self._id,
                "source_name": "",
                "source_type": _SOURCE_LOCAL,
                "source_version": "",
                "start_time": self._began,
                "status": status,
                "tags": [],
                "user_id": "",
            },
        )


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(yaml.safe_dump(dict(content)), "utf-8")


def _now() -> int:
    return int(time.time() * 1000)
