"""Train a task's baseline on a store's manifests and score it on the studies that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.errors import Misconfigured
from curate.identity import Json, canonical_json, digest_json
from curate.loading import StudySample
from curate.loading.samples import digest_samples
from curate.storage.store import unavailable
from pipelines.train.cervical import Cervical
from pipelines.train.launch import run_on_ray
from pipelines.train.loop import Assignment
from pipelines.train.lumbar import Lumbar
from pipelines.train.settings import OnStep, Step, TrainResult, TrainSettings
from pipelines.train.task import Labels, Score, Task

_VERSION = 2  # raise it when the same settings and samples would train another model
_TASKS: Mapping[str, type[Cervical] | type[Lumbar]] = {"cervical": Cervical, "lumbar": Lumbar}


def run_training(
    task_name: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: TrainSettings,
    output: Path,
    on_step: OnStep,
) -> TrainResult:
    """See ``pipelines.train.train``."""
    began = time.perf_counter()
    if task_name not in _TASKS:
        raise Misconfigured(f"task: expected {' or '.join(_TASKS)}, got {task_name!r}")
    task: Task = _TASKS[task_name]()
    graded = [sample for sample in task.samples(manifests) if max(sample.targets) >= 0]
    train = [sample for sample in graded if sample.split == "train"]
    held_out = [sample for sample in graded if sample.split in ("validation", "test")]
    for name, found in (("train", train), ("validation or test", held_out)):
        if not found:
            raise Misconfigured(f"training needs at least one graded study in the split {name}; there is none")
    digest = digest_samples([*train, *held_out])
    root = str(Path(store_url).resolve()) if "://" not in store_url else store_url
    assignment = Assignment(task, root, train, held_out, task.constants(_labels(train)), settings, digest)
    told: list[Step] = []

    def tell(step: Step) -> None:
        told.append(step)
        on_step(step)

    run = _run_folder(output, task_name, settings, digest)
    answers, checkpoint = run_on_ray(assignment, run, tell)

    keys, labels = [sample.study_key for sample in held_out], _labels(held_out)
    score = task.score(keys, labels, answers)
    result = TrainResult(
        task=task_name,
        score=score.score,
        constant_score=_constant(task, keys, labels, fitted_on=_labels(train)).score,
        hindsight_score=_constant(task, keys, labels, fitted_on=labels).score,
        parts=score.parts,
        studies={"train": len(train), "held_out": len(held_out)},
        warnings=_warnings(graded),
        checkpoint=checkpoint,
        submission=output / "submission.csv",
        seconds=0.0,
        steps=assignment.steps,
    )
    try:
        task.submission(keys, answers).to_csv(result.submission, index=False)
        (output / "result.json").write_bytes(canonical_json(_record(result, settings, digest)) + b"\n")
    except OSError as error:
        raise unavailable("write", error) from None
    return replace(result, seconds=time.perf_counter() - began)


def _run_folder(output: Path, task: str, settings: TrainSettings, digest: str) -> Path:
    """A folder of the run's own: the same settings and samples go on where they stopped, others start anew."""
    key = digest_json({"version": _VERSION, "task": task, "settings": settings.to_json(), "samples": digest})
    folder = output.resolve() / "runs" / key[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unavailable("write", error) from None
    return folder


def _labels(samples: Sequence[StudySample]) -> Labels:
    return np.array([sample.targets for sample in samples], dtype=np.int64)


def _constant(task: Task, keys: Sequence[str], labels: Labels, *, fitted_on: Labels) -> Score:
    return task.score(keys, labels, np.repeat(task.constants(fitted_on)[None], len(keys), axis=0))


def _warnings(samples: Sequence[StudySample]) -> tuple[str, ...]:
    crops = [crop for sample in samples for crop in sample.crops]
    absent = sum(crop is None for crop in crops)
    estimated = sum(crop is not None and crop.is_estimated for crop in crops)
    warnings = []
    if absent:
        warnings.append(f"{absent} of {len(crops)} crops have no volume to come from: answered from the prior")
    if estimated:
        warnings.append(f"{estimated} of {len(crops)} crops lie at the mean place: no mask or point says where")
    return tuple(warnings)


def _record(result: TrainResult, settings: TrainSettings, digest: str) -> dict[str, Json]:
    """What result.json says: no clock and no paths, so that equal runs give equal bytes."""
    return {
        "task": result.task,
        "score": result.score,
        "constant_score": result.constant_score,
        "hindsight_score": result.hindsight_score,
        "parts": dict(result.parts),
        "studies": dict(result.studies),
        "steps": result.steps,
        "settings": settings.to_json(),
        "samples_digest": digest,
        "warnings": list(result.warnings),
    }
