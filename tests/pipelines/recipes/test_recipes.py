"""Both recipes end to end on small stores: locate, classify, predict without labels, and the mirror."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curate.errors import Misconfigured
from curate.geometry import Grid
from curate.labels.placement import pixel_to_patient
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_TARGETS
from pipelines.predict import find_models, predict_place
from pipelines.recipes.cervical import Cervical, FractureSettings, cervical_recipe
from pipelines.recipes.folds import official_score
from pipelines.recipes.levels import LevelSettings
from pipelines.recipes.lumbar import GradeSettings, Lumbar, lumbar_recipe
from pipelines.recipes.predict import Prediction, predict
from pipelines.recipes.vertebrae import VertebraSettings
from pipelines.train.recipe import Recipe
from pipelines.train.reports import Step
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Score
from tests.support.quick_training import train_recipe
from tests.support.training_store import cervical_store, lumbar_store, mirrored_store, slices_of

Tables = dict[str, pa.Table]

NECK = cervical_recipe(
    "cervical-located",
    FractureSettings(planes=(8, 16, 16), spacing_mm=(2.0, 2.0, 2.0)),
    VertebraSettings((24, 12, 12), filters=(8, 8, 16)),
)
BACK = lumbar_recipe(
    "lumbar-located",
    GradeSettings(shape=(3, 16, 16), spacing_mm=(4.0, 2.0, 2.0)),
    LevelSettings((12, 32, 12), filters=(8, 8, 16)),
)

QUICK = {
    "cervical": {
        "locate": TrainSettings(epochs=12, batch_size=2, learning_rate=1e-2, threads=0, seed=3, evaluate_epochs=99),
        "classify": TrainSettings(epochs=16, batch_size=2, learning_rate=8e-3, threads=0, seed=3, evaluate_epochs=99),
    },
    "lumbar": {
        "locate": TrainSettings(epochs=20, batch_size=2, learning_rate=1e-2, threads=0, seed=3, evaluate_epochs=99),
        "classify": TrainSettings(epochs=10, batch_size=2, learning_rate=8e-3, threads=0, seed=3, evaluate_epochs=99),
    },
}


@dataclass
class Trained:
    recipe: Recipe
    store: Path
    models: Path
    manifests: Tables
    checkpoints: dict[str, str]
    steps: Mapping[str, list[Step]]
    scores: Mapping[str, Score]
    constant: Score
    predicted: dict[str, Prediction] = field(default_factory=dict)

    def predict(self, manifests: Tables | None = None, *, split: str = "test") -> Prediction:
        if manifests is not None:
            return predict(self.recipe, str(self.store), manifests, [self.checkpoints], split=split)
        if split not in self.predicted:
            self.predicted[split] = self.predict(self.manifests, split=split)
        return self.predicted[split]


def trained(recipe: Recipe, store: Path, manifests: Tables) -> Trained:
    manifests["slices"] = slices_of(manifests["volumes"])
    models = store / "training"
    models.mkdir()
    found = train_recipe(recipe, store, manifests, QUICK[recipe.name.partition("-")[0]], models)
    return Trained(recipe, store, models, manifests, *found)


@pytest.fixture(scope="module")
def neck(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("neck")
    return trained(NECK, store, cervical_store(store, studies=15, without_masks=(3, 5)))


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("back")
    return trained(BACK, store, lumbar_store(store, studies=10))


@pytest.fixture(params=["neck", "back"])
def either(request: pytest.FixtureRequest) -> Trained:
    value: Trained = request.getfixturevalue(request.param)
    return value


def of_study(frame: pd.DataFrame, study: str) -> pd.DataFrame:
    return frame[frame["row_id"].str.startswith(f"{study}_")]


def without(manifests: Tables, **dropped: Any) -> Tables:
    """The manifests without the volumes whose column has the value."""
    volumes = manifests["volumes"]
    for name, value in dropped.items():
        volumes = volumes.filter(pc.field(name).is_null() | (pc.field(name) != value))
    return {**manifests, "volumes": volumes}


def test_the_loss_falls_in_every_stage(either: Trained) -> None:
    for steps in either.steps.values():
        third = len(steps) // 3
        assert np.mean([s.loss for s in steps[-third:]]) < 0.9 * np.mean([s.loss for s in steps[:third]])


def test_the_locator_finds_what_it_has_not_seen(either: Trained) -> None:
    assert either.scores["locate"].parts["found"] > 0.7
    assert either.scores["locate"].score < 15  # a miss counts 20


def test_the_classifier_beats_the_weighted_prior_at_places_that_the_locator_found(either: Trained) -> None:
    assert either.scores["classify"].score < 0.9 * either.constant.score


def test_a_submission_is_one_that_the_scorer_accepts(either: Trained) -> None:
    found = either.predict()
    score = official_score(either.manifests["samples"], found.submission, ("test",))
    assert np.isfinite(score)
    targets = CERVICAL_TARGETS if "fractured" in found.submission else LUMBAR_TARGETS
    assert found.submission["row_id"].tolist() == [
        f"{row['study_key']}_{target}"
        for row in either.manifests["samples"].to_pylist()
        if row["split"] == "test"
        for target in targets
    ]


def test_prediction_looks_at_no_label(either: Trained) -> None:
    samples = either.manifests["samples"]
    names = samples.schema.names[5:]
    blank = samples
    for name in names:
        blank = blank.set_column(
            blank.schema.get_field_index(name), samples.schema.field(name), pa.array([1] * len(samples), pa.int8())
        )
    lies = {**either.manifests, "samples": blank, "objects": either.manifests["objects"].slice(0, 0)}
    pd.testing.assert_frame_equal(either.predict().submission, either.predict(lies).submission)


def test_the_mirror_gets_the_mirrored_answer_and_the_same_score(either: Trained, tmp_path: Path) -> None:
    """The flip test: mirrored volumes with swapped labels score the same, through locator and classifier."""
    turned = mirrored_store(either.store, either.manifests, tmp_path)
    straight = either.predict(split="validation").submission
    seen = predict(either.recipe, str(tmp_path), turned, [either.checkpoints], split="validation").submission
    ours = official_score(either.manifests["samples"], straight, ("validation",))
    mirrors = official_score(turned["samples"], seen, ("validation",))
    assert mirrors == pytest.approx(ours, abs=2e-5)
    if "fractured" not in straight:  # a side that is not swapped is a wrong side
        assert official_score(either.manifests["samples"], seen, ("validation",)) > ours + 0.05


def test_findings_lead_back_to_the_acquired_slice(either: Trained) -> None:
    findings = either.predict().findings
    assert findings["is_found"].mean() > 0.3
    volumes = {(row["series_key"], row["stack"]): row for row in either.manifests["volumes"].to_pylist()}
    for row in findings.iloc[::7].to_dict("records"):
        volume = volumes[row["series_key"], row["stack"]]
        grid = Grid(tuple(volume["source_shape"]), np.reshape(volume["source_affine"], (4, 4)))
        back = pixel_to_patient(grid, row["slice"], row["column"], row["row"], row["distance_mm"])
        assert back == pytest.approx([row["x_mm"], row["y_mm"], row["z_mm"]], abs=0.02)
        assert row["instance_number"] == 100 + grid.shape[0] - row["slice"]
        assert abs(row["distance_mm"]) <= 5 + grid.spacing_mm[0] / 2


def test_found_places_are_where_the_objects_are(either: Trained) -> None:
    findings = either.predict().findings.set_index(["study_key", "object"])
    truth = {(row["study_key"], row["object"]): row["centroid_mm"] for row in either.manifests["objects"].to_pylist()}
    away = [
        np.linalg.norm(row[["x_mm", "y_mm", "z_mm"]].to_numpy(dtype=float) - truth[key])
        for key, row in findings.iterrows()
        if key in truth
    ]
    assert len(away) >= 14
    assert np.mean(away) < 6


def test_folds_are_averaged(either: Trained) -> None:
    once = either.predict().submission
    twice = predict(
        either.recipe, str(either.store), either.manifests, [either.checkpoints, either.checkpoints]
    ).submission
    pd.testing.assert_frame_equal(once, twice)


def test_a_study_without_any_volume_is_answered_from_the_prior_and_named(either: Trained) -> None:
    study = next(row["study_key"] for row in either.manifests["samples"].to_pylist() if row["split"] == "test")
    found = either.predict(without(either.manifests, study_key=study))
    rows = of_study(found.submission, study)
    assert len(rows) == len(of_study(either.predict().submission, study))
    assert study not in set(found.findings["study_key"])
    assert any("answered from the prior" in warning for warning in found.warnings)
    if "severe" in rows:
        assert rows["severe"].nunique() == 3  # a number a group


def test_an_empty_split_and_no_model_are_refused(either: Trained) -> None:
    with pytest.raises(Misconfigured, match="no study is in the split"):
        either.predict({**either.manifests, "samples": either.manifests["samples"].slice(0, 0)})
    with pytest.raises(Misconfigured, match="at least one training run"):
        predict(either.recipe, str(either.store), either.manifests, [])


def test_the_patient_is_at_least_as_suspicious_as_any_vertebra(neck: Trained) -> None:
    rows = neck.predict().submission
    values = rows["fractured"].to_numpy().reshape(-1, 8)
    assert (values[:, 0] >= values[:, 1:].max(axis=1) - 1e-12).all()


def test_training_studies_without_a_mask_get_their_crops_from_the_locator(neck: Trained) -> None:
    task = NECK.stages[1].make(str(neck.store), neck.checkpoints)
    assert isinstance(task, Cervical)
    samples = {sample.study_key: sample for sample in task.samples(neck.manifests)}
    truth = {(row["study_key"], row["object"]): row["centroid_mm"] for row in neck.manifests["objects"].to_pylist()}
    labelled, located = samples["s00"], samples["s03"]
    assert samples["s03"].split == "train"
    assert labelled.crops[0] is not None
    assert labelled.crops[0].centre_mm == pytest.approx(truth["s00", "C1"])
    assert all(crop is not None for crop in located.crops)
    held_out = samples["s02"]  # has a mask, but of another split than train
    assert held_out.crops[0] is not None
    assert held_out.crops[0].centre_mm != pytest.approx(truth["s02", "C1"], abs=1e-6)
    assert held_out.crops[0].centre_mm == pytest.approx(truth["s02", "C1"], abs=8)


def test_half_a_neck_in_view_is_answered_with_a_warning(neck: Trained, tmp_path: Path) -> None:
    """An odd number of vertebrae: the scan ends in the middle of C4."""
    manifests = cut(neck, tmp_path, keep=38)
    found = predict(NECK, str(tmp_path), manifests, [neck.checkpoints])
    assert len(found.submission) == len(neck.predict().submission)
    assert any("answered from the prior" in warning for warning in found.warnings)
    assert len(found.findings)


def cut(neck: Trained, root: Path, *, keep: int) -> Tables:
    """The store with the uppermost ``keep`` slices of every volume."""
    from curate.volumes import open_volume, write_volume

    rows = neck.manifests["volumes"].to_pylist()
    for row in rows:
        volume = open_volume(neck.store / row["uri"])
        first = volume.shape[0] - keep
        affine = volume.grid.affine.copy()
        affine[:3, 3] = volume.grid.to_patient([first, 0, 0])
        grid = Grid((keep, *volume.shape[1:]), affine)
        write_volume(root / row["uri"], np.ascontiguousarray(volume.read()[first:]), grid)
        row["shape"] = row["source_shape"] = list(grid.shape)
        row["affine"] = row["source_affine"] = affine.ravel().tolist()
    volumes = pa.Table.from_pylist(rows, schema=neck.manifests["volumes"].schema)
    return {**neck.manifests, "volumes": volumes, "slices": slices_of(volumes)}


@pytest.mark.parametrize("series_type", ["Axial T2", "Sagittal T1", "Sagittal T2/STIR"])
def test_a_study_without_a_series_type_is_answered_with_a_warning(back: Trained, series_type: str) -> None:
    whole, part = back.predict(), back.predict(without(back.manifests, series_type=series_type))
    assert len(part.submission) == len(whole.submission)
    assert any("no volume to come from" in warning for warning in part.warnings)
    sums = part.submission[["normal_mild", "moderate", "severe"]].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
    kinds = {"Axial T2": "subarticular", "Sagittal T1": "foraminal", "Sagittal T2/STIR": "spinal"}
    affected = part.submission["row_id"].str.contains(kinds[series_type])
    assert part.submission[affected]["severe"].nunique() == 1
    assert whole.submission[affected]["severe"].nunique() > 1


def test_of_several_axial_stacks_each_level_takes_the_one_that_shows_it(back: Trained, tmp_path: Path) -> None:
    from curate.volumes import open_volume, write_volume

    rows = []
    for row in back.manifests["volumes"].to_pylist():
        volume = open_volume(back.store / row["uri"])
        if row["series_type"] != "Axial T2":
            write_volume(tmp_path / row["uri"], volume.read(), volume.grid)
            rows.append(row)
            continue
        half = volume.shape[0] // 2
        for stack, first in enumerate((0, half)):  # lower and upper half, a stack each
            affine = volume.grid.affine.copy()
            affine[:3, 3] = volume.grid.to_patient([first, 0, 0])
            grid = Grid((half, *volume.shape[1:]), affine)
            uri = row["uri"].replace("/0.zarr", f"/{stack}.zarr")
            write_volume(tmp_path / uri, np.ascontiguousarray(volume.read()[first : first + half]), grid)
            place = {"affine": affine.ravel().tolist(), "shape": list(grid.shape)}
            place |= {"source_affine": place["affine"], "source_shape": place["shape"]}
            rows.append({**row, **place, "uri": uri, "stack": stack})
    volumes = pa.Table.from_pylist(rows, schema=back.manifests["volumes"].schema)
    manifests = {**back.manifests, "volumes": volumes, "slices": slices_of(volumes)}
    found = predict(BACK, str(tmp_path), manifests, [back.checkpoints])
    axial = found.findings[found.findings["object"].str.contains("subarticular")]
    stacks = {level: set(axial[axial["object"].str.endswith(level)]["stack"]) for level in ("l1_l2", "l5_s1")}
    assert stacks == {"l1_l2": {1}, "l5_s1": {0}}
    whole = back.predict().submission.set_index("row_id")["severe"]
    split = found.submission.set_index("row_id")["severe"]
    outer = [row for row in whole.index if row.endswith(("l1_l2", "l5_s1"))]
    assert split[outer].to_numpy() == pytest.approx(whole[outer].to_numpy(), abs=0.05)


def test_right_crops_are_mirrored_and_left_ones_are_not(back: Trained) -> None:
    task = BACK.stages[1].make(str(back.store), back.checkpoints)
    assert isinstance(task, Lumbar)
    sample = task.samples(back.manifests)[0]
    for target, crop in zip(LUMBAR_TARGETS, sample.crops, strict=True):
        assert crop is not None
        assert crop.mirrored == target.startswith("right")


def test_the_files_of_curate_predict(neck: Trained, tmp_path: Path) -> None:
    from curate.manifests import write_table
    from curate.storage import open_store

    store = open_store(neck.store)
    for name in ("samples", "volumes", "slices"):
        write_table(store, f"manifests/{name}.parquet", neck.manifests[name])
    made = predict_place(str(neck.store), neck.models, tmp_path / "out", recipe=NECK)
    assert (made.studies, made.models) == (3, 1)
    written = pd.read_csv(made.submission)
    pd.testing.assert_frame_equal(written, neck.predict().submission)
    assert pd.read_csv(made.findings).columns[:2].tolist() == ["study_key", "object"]
    with pytest.raises(Misconfigured, match="holds no trained model"):
        predict_place(str(neck.store), tmp_path, tmp_path / "out")
    with pytest.raises(Misconfigured, match="neither a store nor a release"):
        predict_place(str(tmp_path), neck.models, tmp_path / "out")
    assert find_models(neck.models)[0] == "cervical-located"
