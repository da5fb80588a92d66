"""The whole product once, on synthetic data: archive, curation, release, proof and training for both tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from cluster.events import EventLog
from cluster.executors.ray_tasks import RayTasks
from cluster.session import Session
from curate.errors import CurateError
from curate.phantoms import make_phantoms
from pipelines.kernels import warm_kernels
from pipelines.release import release, verify
from pipelines.run import Balance, run
from pipelines.spec import Task, read_spec
from pipelines.train import TrainResult
from pipelines.training import train_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace, prove_zones

SITES, STUDIES, MATRIX, SEED = 4, 16, 96, 2026

Say = Callable[[str], None]


class DemoFailed(CurateError):
    """A release of the demo did not pass its verification."""


@dataclass(frozen=True)
class Shown:
    """What one task came to."""

    balance: Balance
    trained: TrainResult
    seconds: dict[str, float]  # by stage, in order
    store: Path
    release: Path


def show(folder: Path, task: Task, session: Session, watch: Watch, say: Say) -> Shown:
    """Make an archive ``folder/TASK`` and curate, release, verify and train by the ready spec of the demo.

    Raises ``DemoFailed`` when the release does not pass its verification.
    """
    seconds: dict[str, float] = {}

    def timed(stage: str, began: float) -> None:
        seconds[stage] = time.monotonic() - began

    session.prepare(warm_kernels)  # beside the drawing
    say(f"{task}: drawing {STUDIES} studies of {SITES} sites, some of them broken, all with identifiers")
    began = time.monotonic()
    archive = folder / task
    make_phantoms(
        archive, task=task, sites=SITES, studies=STUDIES, seed=SEED, defects=True, identifiers=True, matrix=MATRIX
    )
    timed("phantoms", began)
    spec_file = folder / f"{task}.toml"
    spec_file.write_text(resources.files("pipelines.specs").joinpath(f"demo-{task}.toml").read_text("utf-8"), "utf-8")
    spec = read_spec(spec_file)
    workspace = open_workspace(spec)
    prove_zones(workspace)
    with EventLog(workspace.store) as events:
        stages = Watch(watch.console, events)
        began = time.monotonic()
        balance = run(spec, workspace, RayTasks(workspace.store.url, session, events, flight=stages.flight), stages)
        timed("join", began + sum(stages.seconds.values()))
    say(f"{task}: freezing and verifying release {spec.release.version}")
    began = time.monotonic()
    frozen = release(spec, workspace)
    timed("release", began)
    began = time.monotonic()
    findings, _ = verify(frozen.path, private=Path(workspace.private.url), digest=frozen.digest)
    timed("verify", began)
    if findings:
        raise DemoFailed(f"{len(findings)} findings, first: {findings[0]}")
    began = time.monotonic()
    trained = train_spec(spec, workspace, on_report=lambda report: say(f"{task}: {report}"))
    timed("train", began)
    ordered = {"phantoms": seconds.pop("phantoms")} | stages.seconds | seconds
    return Shown(balance, trained, ordered, Path(workspace.store.url), frozen.path)
