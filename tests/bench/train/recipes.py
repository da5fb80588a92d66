"""Both recipes on phantoms, at sites that the training set has not seen: the official score against the weighted prior.

    python -m tests.bench.train.recipes [--quick] [--only cervical|lumbar] [--recipe located|2.5d] [--keep FOLDER]

Makes phantoms of eight sites, curates them with two sites held out, trains both stages on two gloo ranks, predicts the
held-out sites by `curate predict`'s own function (no label is read) and scores the submission. Reaches its aim where
the last column is at most 0.75. `--keep` keeps and takes up what is in a folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cluster.session import start
from curate.manifests import read_table
from curate.phantoms import make_phantoms
from curate.storage import open_store
from pipelines.predict import predict_place
from pipelines.recipes.folds import official_score
from pipelines.train import StagedSettings, Step, TrainSettings, train
from pipelines.train.run import recipe_named
from tests.support.curated import curate

SITES, HELD_OUT = 8, ("site-e", "site-f")
STUDIES, QUICK_STUDIES, MATRIX, SEED = 72, 40, 96, 5
SETTINGS = {
    "cervical": {
        "locate": TrainSettings(epochs=16, batch_size=2, learning_rate=1e-2),
        "classify": TrainSettings(epochs=16, batch_size=4, learning_rate=4e-3),
    },
    "lumbar": {
        "locate": TrainSettings(epochs=10, batch_size=2, learning_rate=8e-3),
        "classify": TrainSettings(epochs=10, batch_size=4, learning_rate=4e-3),
    },
}
TABLES = ("samples", "volumes", "slices", "objects", "boxes", "points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer studies and half the epochs")
    parser.add_argument("--only", choices=tuple(SETTINGS))
    parser.add_argument("--recipe", choices=("located", "2.5d"), default="located")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as made:
        folder = chosen.keep or Path(made)
        rows = [
            run(task, chosen.recipe, folder, quick=chosen.quick) for task in SETTINGS if chosen.only in (None, task)
        ]
    columns = list(rows[0])
    print(" | ".join(columns))
    for row in rows:
        print(" | ".join(str(row[column]) for column in columns))


def run(task: str, recipe: str, folder: Path, *, quick: bool) -> dict[str, Any]:
    """One row of the table."""
    archive = folder / task
    if not (archive / "store" / "manifests").exists():
        studies = QUICK_STUDIES if quick else STUDIES
        make_phantoms(archive, task=task, sites=SITES, studies=studies, seed=SEED, matrix=MATRIX)
        hold_out(archive / "spec.toml")
        curate(archive)
    place = archive / "store"
    manifests = {name: read_table(open_store(place), f"manifests/{name}.parquet") for name in TABLES}
    settings = StagedSettings(
        stages={
            name: own.model_copy(update={"epochs": own.epochs // 2}) if quick else own
            for name, own in SETTINGS[task].items()
        }
    )
    models = folder / f"{task}-{recipe}-models"
    began = time.perf_counter()
    with start(None, 2):
        result = train(f"{task}-{recipe}", str(place), manifests, settings, output=models, on_report=said)
    trained = time.perf_counter() - began
    made = predict_place(str(place), models, folder / f"{task}-prediction")
    for warning in made.warnings:
        print(f"warning: {warning}")
    samples = manifests["samples"]
    score = official_score(samples, read_submission(made.submission), ("test",))
    prior = official_score(samples, constant_submission(task, recipe, place, manifests), ("test",))
    locator = result.stages[0]
    return {
        "recipe": f"{task}-{recipe}",
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
    text = text.replace("holdout_sites = []", f"holdout_sites = [{sites}]").replace(
        "test_fraction = 0.2", "test_fraction = 0.0"
    )
    spec.write_text(text.replace("validation_fraction = 0.2", "validation_fraction = 0.15"), "utf-8")


def constant_submission(task: str, recipe: str, place: Path, manifests: Any) -> Any:
    """The best answer that looks at no image, fitted to the training studies."""
    stages = recipe_named(task).stages  # without a locator: labels are all that is asked of it
    judge: Any = stages[-1].make(str(place), {})
    samples = judge.samples(manifests)
    constants = judge.constants([sample for sample in samples if sample.split == "train"])
    keys = [sample.study_key for sample in samples if sample.split == "test"]
    return recipe_named(task).submission(keys, np.repeat(constants[None], len(keys), axis=0))


def read_submission(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path)


def said(step: object) -> None:
    if isinstance(step, Step) and (step.step % 20 == 0 or step.step == step.steps):
        print(step, flush=True)


if __name__ == "__main__":
    main()
