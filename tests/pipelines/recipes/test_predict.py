"""What a recipe without a locator may know of studies that it answers: where things lie in others, and no more."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curate.loading.samples import cervical_samples
from pipelines.recipes.predict import with_training_places, without_labels
from tests.support.training_store import cervical_store, slices_of


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    root = tmp_path_factory.mktemp("store")
    tables = cervical_store(root, studies=8)
    return {**tables, "slices": slices_of(tables["volumes"])}


def studies_of(tables: dict[str, pa.Table], table: str) -> set[str]:
    return set(tables[table]["study_key"].to_pylist())


def test_crops_go_to_the_mean_place_of_training_studies(manifests: dict[str, pa.Table]) -> None:
    samples = [one for one in cervical_samples(with_training_places(manifests, "test")) if one.split == "test"]
    assert samples
    crops = [crop for sample in samples for crop in sample.crops]
    assert all(crop is not None and crop.is_estimated for crop in crops)
    assert all(set(sample.targets) == {-1} for sample in samples)


def test_no_object_of_an_answered_study_is_there(manifests: dict[str, pa.Table]) -> None:
    tables = with_training_places(manifests, "test")
    rows = manifests["samples"].to_pylist()
    answered = {row["study_key"] for row in rows if row["split"] == "test"}
    training = {row["study_key"] for row in rows if row["split"] == "train"}
    assert answered
    assert studies_of(tables, "objects") == training
    assert studies_of(tables, "samples") == answered | training


def test_of_training_studies_nothing_is_known_when_they_are_answered(manifests: dict[str, pa.Table]) -> None:
    assert with_training_places(manifests, "train")["objects"].num_rows == 0


def test_a_place_without_objects_or_training_studies_is_answered_blindly(manifests: dict[str, pa.Table]) -> None:
    alone = {**without_labels(manifests, "test"), "objects": manifests["objects"]}
    samples = cervical_samples(with_training_places(alone, "test"))
    assert {crop for sample in samples for crop in sample.crops} == {None}
