"""Both recipes on phantoms, at sites that the training set has not seen: the official score against the weighted prior.

    python -m tests.bench.train.recipes [--quick] [--only cervical|lumbar] [--recipe located|2.5d] [--keep FOLDER]

Makes phantoms of eight sites, curates them with two sites held out, trains both stages as ``curate train`` does (Ray
Train, two gloo ranks), predicts the held-out sites as ``curate predict`` does (no label is read), and scores the
submission. Prints a table, and exits with 1 where a score is not at least 25% better than the prior, the best answer
that looks at no image. ``--quick``: fewer studies and epochs, without an aim. ``--keep``: keeps what is made in a
folder, and takes up what is there. The networks and crops of ``2.5d`` are for a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cluster.session import start
from curate.loading.tables import open_manifests
from curate.phantoms import make_phantoms
from pipelines.predict import predict_place
from pipelines.recipes.folds import official_score
from pipelines.train import Began, Report, StagedSettings, Step, TrainSettings, train
from pipelines.train.run import recipe_named
from tests.support.curated import curate

SITES, HELD_OUT = 8, ("site-e", "site-f")
STUDIES, QUICK_STUDIES, MATRIX, SEED = 40, 24, 96, 5
SETTINGS = {
    "cervical": {
        "locate": TrainSettings(epochs=24, batch_size=2, learning_rate=1e-2),
        "classify": TrainSettings(epochs=24, batch_size=4, learning_rate=4e-3),
    },
    "lumbar": {
        "locate": TrainSettings(epochs=16, batch_size=2, learning_rate=8e-3),
        "classify": TrainSettings(epochs=20, batch_size=4, learning_rate=4e-3),
    },
}
AT_MOST = 0.75  # of the prior's score
SAID_EVERY = 40  # steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=tuple(SETTINGS))
    parser.add_argument("--recipe", choices=("located", "2.5d"), default="located")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    tasks = [task for task in SETTINGS if chosen.only in (None, task)]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as made:
        folder = chosen.keep or Path(made)
        prepare(tasks, folder, QUICK_STUDIES if chosen.quick else STUDIES)
        print(f"phantoms of {', '.join(tasks)} made and curated: {time.perf_counter() - began:.0f} s", flush=True)
        rows = [run(task, chosen.recipe, folder, quick=chosen.quick) for task in tasks]
    print(f"\n{' | '.join(rows[0])}")
    for row in rows:
        print(" | ".join(map(str, row.values())))
    print(f"in all {time.perf_counter() - began:.0f} s")
    return int(not chosen.quick and any(row["ratio"] > AT_MOST for row in rows))


def prepare(tasks: list[str], folder: Path, studies: int) -> None:
    """A curated store for each task, below ``folder``: archives one a process, volumes in two."""
    missing = [task for task in tasks if not (folder / task / "store" / "manifests" / "joined.json").exists()]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(make_archive, [folder / task for task in missing], [studies] * len(missing)))
    for task in missing:
        curate(folder / task, executor="processes", workers=2)


def make_archive(folder: Path, studies: int) -> None:
    """Phantoms of the task that the folder is named after, unless they are there."""
    if not (folder / "spec.toml").exists():
        make_phantoms(folder, task=folder.name, sites=SITES, studies=studies, seed=SEED, matrix=MATRIX)
        hold_out(folder / "spec.toml")


def run(task: str, recipe: str, folder: Path, *, quick: bool) -> dict[str, Any]:
    """One row of the table."""
    name, place, models = f"{task}-{recipe}", folder / task / "store", folder / f"{task}-{recipe}-models"
    manifests = open_manifests(place)
    settings = StagedSettings(
        stages={
            stage: own.model_copy(update={"epochs": own.epochs // 2}) if quick else own
            for stage, own in SETTINGS[task].items()
        }
    )
    print(f"\n{name}", flush=True)
    began = time.perf_counter()
    with start(None, 2):
        result = train(name, str(place), manifests, settings, output=models, on_report=say)
    trained = time.perf_counter() - began
    made = predict_place(str(place), models, folder / f"{name}-prediction")
    for warning in made.warnings:
        print(f"  warning: {warning}")
    samples = manifests["samples"]
    score = official_score(samples, pd.read_csv(made.submission), ("test",))
    prior = official_score(samples, constant_submission(task, place, manifests), ("test",))
    locator = result.stages[0]
    return {
        "recipe": name,
        "studies": f"{result.final.studies['train']} + {made.studies} at unseen sites",
        "locator mm": round(locator.parts["millimetres"], 2),
        "found": round(locator.parts["found"], 3),
        "train s": round(trained),
        "predict s": round(time.perf_counter() - began - trained),
        "weighted prior": round(prior, 4),
        "score": round(score, 4),
        "ratio": round(score / prior, 3),
    }


def hold_out(spec: Path) -> None:
    """All patients of two sites to the test set, and nobody else."""
    text = spec.read_text("utf-8")
    sites = ", ".join(f'"{site}"' for site in HELD_OUT)
    for before, after in (
        ("holdout_sites = []", f"holdout_sites = [{sites}]"),
        ("test_fraction = 0.2", "test_fraction = 0.0"),
        ("validation_fraction = 0.2", "validation_fraction = 0.15"),
    ):
        if before not in text:
            raise SystemExit(f"the spec of phantoms has no line {before!r}")
        text = text.replace(before, after)
    spec.write_text(text, "utf-8")


def constant_submission(task: str, place: Path, manifests: Mapping[str, pa.Table]) -> pd.DataFrame:
    """The best answer that looks at no image, fitted to the training studies."""
    recipe = recipe_named(task)  # without a locator: labels are all that is asked of it
    judge: Any = recipe.stages[-1].make(str(place), {})
    samples = judge.samples(manifests)
    constants = judge.constants([sample for sample in samples if sample.split == "train"])
    keys = [sample.study_key for sample in samples if sample.split == "test"]
    return recipe.submission(keys, np.repeat(constants[None], len(keys), axis=0))


def say(report: Report) -> None:
    """What a reader of the table wants to see of the stages while it waits: one begins after the other."""
    if not isinstance(report, Step) or report.step % SAID_EVERY == 0 or report.step == report.steps:
        print(f"{'  ' if isinstance(report, Began) else '    '}{report}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
