"""Out-of-fold predictions: every study of the training set is answered by a model that has not seen its patient.

A patient's fold is a keyed hash of its key alone: new patients move nobody, and no two studies of a patient are parted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from curate.errors import Misconfigured
from curate.identity import canonical_json
from curate.manifests.schemas import CERVICAL_TARGETS
from curate.manifests.split import TEST, TRAIN, VALIDATION, hash_position
from curate.release.tables import render_solution
from curate.scoring import score_cervical, score_lumbar
from curate.storage.store import unavailable
from pipelines.train.settings import TrainResult

Train = Callable[[Mapping[str, pa.Table], Path], TrainResult]


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """``answers``: the challenge's schema, one entry for each study of the splits train and validation; ``score``: the
    official metric of all of them together."""

    answers: pd.DataFrame
    score: float
    results: tuple[TrainResult, ...]


def fold_of(patient_key: str, *, folds: int, salt: str) -> int:
    """0..folds - 1, from the salt and the key alone."""
    return int(hash_position(f"folds {salt}", patient_key) * folds)


def fold_manifests(manifests: Mapping[str, pa.Table], fold: int, *, folds: int, salt: str) -> dict[str, pa.Table]:
    """The manifests without the test set, the patients of one fold as validation and all others as training."""
    samples = manifests["samples"]
    rows = [row for row in samples.to_pylist() if row["split"] in (TRAIN, VALIDATION)]
    for row in rows:
        row["split"] = VALIDATION if fold_of(row["patient_key"], folds=folds, salt=salt) == fold else TRAIN
    return {**manifests, "samples": pa.Table.from_pylist(rows, schema=samples.schema)}


def train_folds(
    train: Train, manifests: Mapping[str, pa.Table], output: Path, *, folds: int, salt: str = ""
) -> OutOfFold:
    """Train one model a fold into ``output/fold-N`` and answer each patient by the model of its own fold.

    ``train(manifests, folder)`` trains one. Writes ``oof.csv`` and, with the score of all,
    ``oof.json``. Raises ``Misconfigured`` for fewer than two folds.
    """
    if folds < 2:
        raise Misconfigured(f"train.folds: expected at least 2, got {folds}")
    results, answers = [], []
    for fold in range(folds):
        result = train(fold_manifests(manifests, fold, folds=folds, salt=salt), output / f"fold-{fold}")
        results.append(result)
        answers.append(pd.read_csv(result.submission))
    together = pd.concat(answers).sort_values("row_id", ignore_index=True)
    score = official_score(manifests["samples"], together, (TRAIN, VALIDATION))
    try:
        together.to_csv(output / "oof.csv", index=False)
        (output / "oof.json").write_bytes(canonical_json({"folds": folds, "score": score}) + b"\n")
    except OSError as error:
        raise unavailable("write", error) from None
    return OutOfFold(together, score, tuple(results))


def official_score(samples: pa.Table, submission: pd.DataFrame, splits: Sequence[str]) -> float:
    """The challenge's number of a submission for the studies of some splits; rows of studies without a label are left
    out. Raises ``curate.scoring.SubmissionError`` when it is no valid submission."""
    is_cervical = CERVICAL_TARGETS[0] in samples.schema.names
    rows = [{**row, "split": TEST} for row in samples.to_pylist() if row["split"] in splits]
    hidden = pa.Table.from_pylist(rows, schema=samples.schema)
    solution = pd.read_csv(io.BytesIO(render_solution(hidden, "cervical" if is_cervical else "lumbar")))
    studies = set(solution["row_id"].map(_study))
    own = submission[submission["row_id"].map(_study).isin(studies)]
    return score_cervical(solution, own).score if is_cervical else score_lumbar(solution, own).score


def _study(row_id: str) -> str:
    """The study of a row; study keys hold no underscore."""
    return row_id.split("_", 1)[0]
