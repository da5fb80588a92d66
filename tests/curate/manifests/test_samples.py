"""Samples: one row a study with labels, volumes and a split."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curate.manifests import cervical_samples, lumbar_samples, schemas


def volume(patient: str, study: str, series: str, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(schemas.VOLUMES.names)
    row |= {"site": "site-a", "patient_key": patient, "study_key": study, "series_key": series, "stack": 0}
    row |= more
    row["uri"] = f"volumes/{study}/{series}/{row['stack']}.zarr"
    return row


def volumes(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schemas.VOLUMES)


def cervical_targets(*studies: str) -> pa.Table:
    columns: dict[str, Any] = {"label_row": list(range(len(studies))), "study_key": list(studies)}
    for n, name in enumerate(schemas.CERVICAL_TARGETS):
        columns[name] = pa.array([n % 2] * len(studies), pa.int8())
    return pa.table(columns)


def lumbar_targets(study: str, blank: str) -> pa.Table:
    columns: dict[str, Any] = {"study_key": [study]}
    for n, name in enumerate(schemas.LUMBAR_TARGETS):
        columns[name] = pa.array([None if name == blank else n % 3], pa.int8())
    return pa.table(columns)


SPLITS = {"P1": "train", "P2": "test"}


def test_a_sample_joins_labels_split_and_volumes_of_a_study() -> None:
    table = cervical_samples(cervical_targets("S1"), volumes(volume("P1", "S1", "E1")), SPLITS)
    assert table.schema.equals(schemas.CERVICAL_SAMPLES)
    (row,) = table.to_pylist()
    assert (row["site"], row["patient_key"], row["study_key"], row["split"]) == ("site-a", "P1", "S1", "train")
    assert row["volumes"] == ["volumes/S1/E1/0.zarr"]
    assert [row[name] for name in schemas.CERVICAL_TARGETS] == [0, 1, 0, 1, 0, 1, 0, 1]


def test_studies_without_a_volume_and_volumes_without_a_label_are_no_samples() -> None:
    table = cervical_samples(
        cervical_targets("S1", "S2"), volumes(volume("P1", "S2", "E"), volume("P2", "S3", "E")), SPLITS
    )
    assert table["study_key"].to_pylist() == ["S2"]


def test_a_patient_without_a_split_gives_no_sample() -> None:
    assert cervical_samples(cervical_targets("S1"), volumes(volume("P9", "S1", "E")), SPLITS).num_rows == 0


def test_a_study_that_mixes_patients_is_left_out_so_that_no_split_leaks() -> None:
    mixed = volumes(volume("P1", "S1", "E1"), volume("P2", "S1", "E2"))
    assert cervical_samples(cervical_targets("S1"), mixed, SPLITS).num_rows == 0


def test_samples_are_sorted_by_site_patient_and_study() -> None:
    rows = volumes(
        volume("P2", "S1", "E"),
        volume("P1", "S3", "E"),
        volume("P1", "S2", "E"),
        volume("P2", "S4", "E", site="a-site"),
    )
    table = cervical_samples(cervical_targets("S1", "S2", "S3", "S4"), rows, SPLITS)
    assert table["study_key"].to_pylist() == ["S4", "S2", "S3", "S1"]
    assert table["split"].to_pylist() == ["test", "train", "train", "test"]


def test_lumbar_volumes_stand_in_the_order_of_series_types_then_series_then_stack() -> None:
    rows = volumes(
        volume("P1", "S1", "E4", series_type="Axial T2", stack=1),
        volume("P1", "S1", "E4", series_type="Axial T2", stack=0),
        volume("P1", "S1", "E0", series_type=None),
        volume("P1", "S1", "E2", series_type="Sagittal T2/STIR"),
        volume("P1", "S1", "E3", series_type="Sagittal T1"),
    )
    table = lumbar_samples(lumbar_targets("S1", "left_subarticular_stenosis_l3_l4"), rows, SPLITS)
    assert table.schema.equals(schemas.LUMBAR_SAMPLES)
    (row,) = table.to_pylist()
    assert row["volumes"] == [f"volumes/S1/{name}.zarr" for name in ("E3/0", "E2/0", "E4/0", "E4/1", "E0/0")]
    assert row["left_subarticular_stenosis_l3_l4"] is None
    assert row["spinal_canal_stenosis_l2_l3"] == 1


def test_the_order_of_the_inputs_does_not_change_the_samples() -> None:
    rows = volumes(volume("P2", "S1", "E"), volume("P1", "S3", "E"), volume("P1", "S3", "D"))
    forwards = cervical_samples(cervical_targets("S1", "S3"), rows, SPLITS)
    backwards = cervical_samples(cervical_targets("S1", "S3").take([1, 0]), rows.take([2, 1, 0]), SPLITS)
    assert forwards.equals(backwards)
