"""Out-of-fold: a patient's fold is its own, every patient is answered once, and the score is the official one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curate.errors import Misconfigured
from curate.manifests import schemas
from curate.scoring import score_cervical
from pipelines.recipes.cervical import submission
from pipelines.recipes.folds import fold_manifests, fold_of, official_score, train_folds
from tests.support.training_store import table

FOLDS = 3


def manifests(studies: int = 24) -> dict[str, pa.Table]:
    rows: list[dict[str, Any]] = []
    for n in range(studies):
        truth = {f"C{level + 1}": int(n % 7 == level) for level in range(7)}
        split = "test" if n % 6 == 5 else "validation" if n % 6 == 4 else "train"
        person = f"p{n // 2}"  # two studies each
        rows.append({"site": "a", "patient_key": person, "study_key": f"s{n:02d}", "split": split, **truth})
        rows[-1]["patient_overall"] = 1
    return {"samples": table(rows, schemas.CERVICAL_SAMPLES)}


def answers_for(tables: Mapping[str, pa.Table]) -> pd.DataFrame:
    keys = [row["study_key"] for row in tables["samples"].to_pylist() if row["split"] == "validation"]
    fractured = np.full((len(keys), 8), 0.25)
    return submission(keys, np.stack([1 - fractured, fractured], axis=2))


def test_a_fold_depends_on_the_patient_and_the_salt_alone() -> None:
    found = [fold_of(f"p{n}", folds=FOLDS, salt="a") for n in range(600)]
    assert found == [fold_of(f"p{n}", folds=FOLDS, salt="a") for n in range(600)]
    assert found != [fold_of(f"p{n}", folds=FOLDS, salt="b") for n in range(600)]
    assert np.bincount(found, minlength=FOLDS).min() > 150


def test_every_patient_is_held_out_once_and_never_parted() -> None:
    tables = manifests()
    held_out: list[str] = []
    for fold in range(FOLDS):
        rows = fold_manifests(tables, fold, folds=FOLDS, salt="")["samples"].to_pylist()
        splits: dict[str, set[str]] = {}
        for row in rows:
            splits.setdefault(row["patient_key"], set()).add(row["split"])
        assert all(len(own) == 1 for own in splits.values())
        held_out += [row["study_key"] for row in rows if row["split"] == "validation"]
    used = [row["study_key"] for row in tables["samples"].to_pylist() if row["split"] != "test"]
    assert sorted(held_out) == sorted(used)


def test_out_of_fold_answers_are_those_of_the_fold_and_scored_together(tmp_path: Path) -> None:
    tables = manifests()
    seen: list[set[str]] = []

    class Result:
        def __init__(self, path: Path) -> None:
            self.submission = path

    def train(own: Mapping[str, pa.Table], folder: Path) -> Any:
        folder.mkdir(parents=True)
        seen.append({row["study_key"] for row in own["samples"].to_pylist() if row["split"] == "train"})
        frame = answers_for(own)
        assert not seen[-1] & set(frame["row_id"].str.split("_").str[0])
        frame.to_csv(folder / "submission.csv", index=False)
        return Result(folder / "submission.csv")

    found = train_folds(train, tables, tmp_path, folds=FOLDS)
    assert len(seen) == len(found.results) == FOLDS
    assert len(found.answers) == 8 * sum(row["split"] != "test" for row in tables["samples"].to_pylist())
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "oof.csv"), found.answers)
    assert json.loads((tmp_path / "oof.json").read_text()) == {"folds": FOLDS, "score": found.score}
    rows = [row for row in tables["samples"].to_pylist() if row["split"] != "test"]
    names = schemas.CERVICAL_TARGETS
    truth = [{"row_id": f"{r['study_key']}_{name}", "fractured": r[name]} for r in rows for name in names]
    assert found.score == pytest.approx(score_cervical(pd.DataFrame(truth), found.answers).score)


def test_one_fold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"train\.folds: expected at least 2, got 1"):
        train_folds(lambda own, folder: None, manifests(), tmp_path, folds=1)  # type: ignore[arg-type,return-value]


def test_studies_without_a_label_are_not_scored() -> None:
    tables = manifests(8)
    rows = tables["samples"].to_pylist()
    for name in schemas.CERVICAL_TARGETS:
        rows[0][name] = None
    samples = pa.Table.from_pylist(rows, schema=schemas.CERVICAL_SAMPLES)
    keys = [row["study_key"] for row in rows if row["split"] == "train"]
    half = np.full((len(keys), 8), 0.5)
    assert official_score(samples, submission(keys, np.stack([half, half], axis=2)), ("train",)) == pytest.approx(
        np.log(2)
    )
