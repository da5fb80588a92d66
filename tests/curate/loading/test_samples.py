"""From manifest rows to samples: which crop is laid where, and what happens when something is missing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curate.loading.samples import (
    BONE_WINDOW_HU,
    CERVICAL_SLOTS,
    LUMBAR_SLOTS,
    cervical_samples,
    digest_samples,
    lumbar_samples,
)
from curate.manifests.schemas import LUMBAR_TARGETS
from tests.support.training_store import cervical_store, lumbar_store

Manifests = dict[str, pa.Table]


@pytest.fixture(scope="module")
def neck(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    return cervical_store(tmp_path_factory.mktemp("neck"), studies=5, without_masks=(2,))


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    return lumbar_store(tmp_path_factory.mktemp("back"), studies=5, without_axial=(3,))


def without(manifests: Manifests, name: str, column: str, value: str) -> Manifests:
    table = manifests[name]
    return {**manifests, name: table.filter(pc.not_equal(table[column], value))}


def test_vertebrae_are_looked_at_where_the_masks_have_them(neck: Manifests) -> None:
    sample = cervical_samples(neck)[0]
    rows = {r["object"]: r["centroid_mm"] for r in neck["objects"].to_pylist() if r["study_key"] == sample.study_key}
    for slot, crop in zip(CERVICAL_SLOTS, sample.crops, strict=True):
        assert crop is not None
        assert crop.centre_mm == pytest.approx(rows[slot.object])
        assert (crop.low, crop.high) == BONE_WINDOW_HU
        assert not crop.is_estimated
        assert not crop.mirrored


def test_without_a_mask_the_mean_place_of_the_training_studies_serves(neck: Manifests) -> None:
    sample = cervical_samples(neck)[2]
    # in this store vertebra n lies 15 (3 - n) mm above the middle of the volume
    volume = neck["volumes"].to_pylist()[2]
    middle = np.reshape(volume["affine"], (4, 4)) @ [*((np.array(volume["shape"]) - 1) / 2), 1]
    for level, crop in enumerate(sample.crops):
        assert crop is not None
        assert crop.is_estimated
        assert np.array(crop.centre_mm) - middle[:3] == pytest.approx([0, 0, 15.0 * (3 - level)], abs=1e-6)


def test_held_out_studies_do_not_teach_where_vertebrae_lie(neck: Manifests) -> None:
    rows = neck["objects"].to_pylist()
    held_out = {r["study_key"] for r in neck["samples"].to_pylist() if r["split"] != "train"}
    for row in rows:
        if row["study_key"] in held_out:
            row["centroid_mm"] = [500.0, 500.0, 500.0]
    moved = {**neck, "objects": pa.Table.from_pylist(rows, schema=neck["objects"].schema)}
    assert cervical_samples(moved)[2] == cervical_samples(neck)[2]


def test_boxes_go_to_the_fractured_vertebra_that_they_lie_on(neck: Manifests) -> None:
    for sample in cervical_samples(neck):
        for target, crop, marks in zip(sample.targets[1:], sample.crops, sample.marks, strict=True):
            assert bool(marks) == (target == 1)
            assert crop is not None
            for mark in marks:
                assert np.linalg.norm(mark.centre_mm - np.array(crop.centre_mm)) < 6


def test_a_study_without_a_volume_has_no_crops_but_keeps_its_labels(neck: Manifests) -> None:
    key = cervical_samples(neck)[1].study_key
    sample = cervical_samples(without(neck, "volumes", "study_key", key))[1]
    assert sample.crops == (None,) * 7
    assert sample.targets == cervical_samples(neck)[1].targets
    assert sample.marks == ((),) * 7


def test_without_any_mask_nothing_says_where_to_look(neck: Manifests) -> None:
    bare = {**neck, "objects": neck["objects"].slice(0, 0)}
    assert all(crop is None for sample in cervical_samples(bare) for crop in sample.crops)


def test_boxes_may_be_absent(neck: Manifests) -> None:
    few = {name: table for name, table in neck.items() if name != "boxes"}
    assert all(not any(sample.marks) for sample in cervical_samples(few))


def test_lumbar_slots_stand_in_the_order_of_the_targets() -> None:
    assert tuple(slot.object.replace(":", "_") for slot in LUMBAR_SLOTS) == LUMBAR_TARGETS


def test_each_condition_is_looked_at_on_its_own_series_type(back: Manifests) -> None:
    types = {row["uri"]: row["series_type"] for row in back["volumes"].to_pylist()}
    for crop, slot in zip(lumbar_samples(back)[0].crops, LUMBAR_SLOTS, strict=True):
        assert crop is not None
        kind = (
            "Axial T2" if "subart" in slot.object else "Sagittal T1" if "foram" in slot.object else "Sagittal T2/STIR"
        )
        assert types[crop.uri] == kind
        assert crop.axes == ("SPL" if kind == "Axial T2" else "LIP")
        assert crop.mirrored == slot.object.startswith("right_")


def test_ungraded_targets_are_minus_one(back: Manifests) -> None:
    rows = {row["study_key"]: row for row in back["samples"].to_pylist()}
    seen = set()
    for sample in lumbar_samples(back):
        for name, target in zip(LUMBAR_TARGETS, sample.targets, strict=True):
            label = rows[sample.study_key][name]
            assert target == (-1 if label is None else label)
            seen.add(target)
    assert seen == {-1, 0, 1, 2}


def test_a_study_without_its_axial_series_lacks_those_crops_only(back: Manifests) -> None:
    sample = lumbar_samples(back)[3]
    for crop, slot in zip(sample.crops, LUMBAR_SLOTS, strict=True):
        assert (crop is None) == ("subarticular" in slot.object)


def test_a_point_missing_in_one_study_is_estimated_from_the_others(back: Manifests) -> None:
    rows = [
        row
        for row in back["objects"].to_pylist()
        if (row["study_key"], row["object"]) != ("s00", "left_subarticular_stenosis:l4_l5")
    ]
    fewer = {**back, "objects": pa.Table.from_pylist(rows, schema=back["objects"].schema)}
    slot = LUMBAR_TARGETS.index("left_subarticular_stenosis_l4_l5")
    whole, estimated = lumbar_samples(back)[0].crops[slot], lumbar_samples(fewer)[0].crops[slot]
    assert whole is not None
    assert estimated is not None
    assert estimated.is_estimated
    assert estimated.uri == whole.uri
    assert estimated.centre_mm == pytest.approx(whole.centre_mm, abs=1e-6)  # this store puts them at one place


def test_of_several_stacks_the_one_that_holds_the_point_is_taken(back: Manifests) -> None:
    rows = back["volumes"].to_pylist()
    far = {**next(row for row in rows if row["study_key"] == "s00" and row["series_type"] == "Axial T2")}
    affine = np.reshape(far["affine"], (4, 4)).copy()
    affine[2, 3] += 400
    far |= {"uri": "volumes/aaa/far.zarr", "stack": 7, "affine": affine.ravel().tolist()}
    more = {
        **back,
        "volumes": pa.Table.from_pylist([*rows, far], schema=back["volumes"].schema),
        "objects": back["objects"].filter(pc.not_equal(back["objects"]["study_key"], "s00")),
    }
    for crop in lumbar_samples(more)[0].crops[15:]:
        assert crop is not None
        assert crop.uri != far["uri"]


def test_samples_do_not_depend_on_the_order_of_rows(neck: Manifests, back: Manifests) -> None:
    for manifests, read in ((neck, cervical_samples), (back, lumbar_samples)):
        turned = {name: table.take(pa.array(range(len(table))[::-1], pa.int64())) for name, table in manifests.items()}
        assert read(turned) == read(manifests)
        assert digest_samples(read(turned)) == digest_samples(read(manifests))


def test_the_digest_follows_labels_places_and_splits(neck: Manifests) -> None:
    samples = cervical_samples(neck)
    digests = {digest_samples(samples), digest_samples(samples[1:]), digest_samples(samples[::-1])}
    assert len(digests) == 3
    assert all(len(digest) == 64 for digest in digests)
