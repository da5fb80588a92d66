"""Both recipes end to end on small stores: locate, classify, predict without labels, and the mirror."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curate.errors import Misconfigured
from curate.geometry import Grid
from curate.labels.placement import pixel_to_patient
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_TARGETS
from pipelines.predict import find_models, predict_place
from pipelines.recipes.cervical import Cervical
from pipelines.recipes.folds import official_score
from pipelines.recipes.lumbar import Lumbar
from pipelines.recipes.predict import predict
from tests.support.trained_recipes import (
    BACK,
    BACK_25D,
    NECK,
    NECK_25D,
    Trained,
    cut,
    in_two_stacks,
    of_study,
    trained,
    trained_on,
    without,
)
from tests.support.training_store import cervical_store, lumbar_store, mirrored_store


@pytest.fixture(scope="module")
def neck(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("neck")
    return trained(NECK, store, cervical_store(store, studies=15, without_masks=(3, 5)))


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("back")
    return trained(BACK, store, lumbar_store(store, studies=10))


@pytest.fixture(scope="module")
def flat_neck(neck: Trained) -> Trained:
    """2.5D: the network reads slices, with neighbours and the predicted mask as channels."""
    return trained_on(neck, NECK_25D)


@pytest.fixture(scope="module")
def flat_back(back: Trained) -> Trained:
    return trained_on(back, BACK_25D)


@pytest.fixture(params=["neck", "flat_neck"])
def any_neck(request: pytest.FixtureRequest) -> Trained:
    value: Trained = request.getfixturevalue(request.param)
    return value


@pytest.fixture(params=["back", "flat_back"])
def any_back(request: pytest.FixtureRequest) -> Trained:
    value: Trained = request.getfixturevalue(request.param)
    return value


@pytest.fixture(params=["neck", "back", "flat_neck", "flat_back"])
def either(request: pytest.FixtureRequest) -> Trained:
    value: Trained = request.getfixturevalue(request.param)
    return value


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


def test_the_patient_is_at_least_as_suspicious_as_any_vertebra(any_neck: Trained) -> None:
    rows = any_neck.predict().submission
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


def test_half_a_neck_in_view_is_answered_with_a_warning(any_neck: Trained, tmp_path: Path) -> None:
    """An odd number of vertebrae: the scan ends in the middle of C4."""
    manifests = cut(any_neck, tmp_path, keep=38)
    found = predict(any_neck.recipe, str(tmp_path), manifests, [any_neck.checkpoints])
    assert len(found.submission) == len(any_neck.predict().submission)
    assert any("answered from the prior" in warning for warning in found.warnings)
    assert len(found.findings)


@pytest.mark.parametrize("series_type", ["Axial T2", "Sagittal T1", "Sagittal T2/STIR"])
def test_a_study_without_a_series_type_is_answered_with_a_warning(any_back: Trained, series_type: str) -> None:
    whole, part = any_back.predict(), any_back.predict(without(any_back.manifests, series_type=series_type))
    assert len(part.submission) == len(whole.submission)
    assert any("no volume to come from" in warning for warning in part.warnings)
    sums = part.submission[["normal_mild", "moderate", "severe"]].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
    kinds = {"Axial T2": "subarticular", "Sagittal T1": "foraminal", "Sagittal T2/STIR": "spinal"}
    affected = part.submission["row_id"].str.contains(kinds[series_type])
    assert part.submission[affected]["severe"].nunique() == 1
    assert whole.submission[affected]["severe"].nunique() > 1


def test_of_several_axial_stacks_each_level_takes_the_one_that_shows_it(any_back: Trained, tmp_path: Path) -> None:
    manifests = in_two_stacks(any_back, tmp_path)
    found = predict(any_back.recipe, str(tmp_path), manifests, [any_back.checkpoints])
    axial = found.findings[found.findings["object"].str.contains("subarticular")]
    stacks = {level: set(axial[axial["object"].str.endswith(level)]["stack"]) for level in ("l1_l2", "l5_s1")}
    assert stacks == {"l1_l2": {1}, "l5_s1": {0}}
    whole = any_back.predict().submission.set_index("row_id")["severe"]
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
