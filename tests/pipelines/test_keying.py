"""Catalogue rows hold keys where headers hold ids."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.deid import Keyed, PublicIds
from curate.manifests import table_bytes
from curate.manifests.schemas import INSTANCES
from pipelines.keying import ids_from_path, keyed_instance

KEY = Keyed(bytes(range(32)))

HEADER: dict[str, Any] = {
    "member": "train_images/1001/2002/7.dcm",
    "study_instance_uid": "1.2.3",
    "series_instance_uid": "1.2.3.4",
    "sop_instance_uid": "1.2.3.4.5",
    "patient_id": "MRN77",
    "issuer_of_patient_id": None,
    "instance_number": 9,
    "rows": 512,
    "manufacturer": "ACME",
}


@pytest.mark.parametrize(
    ("member", "layout", "ids"),
    [
        ("train_images/1/2/3.dcm", "train_images/{study}/{series}/{instance}.dcm", ("1", "2", "3")),
        ("deep/er/train_images/1/2/3.dcm", "train_images/{study}/{series}/{instance}.dcm", ("1", "2", "3")),
        ("1.2.840/3.dcm", "{study}/{instance}.dcm", ("1.2.840", None, "3")),
        ("a/b/c/3.dcm", "{study}/*/{instance}.dcm", ("b", None, "3")),
        ("other/1/2/3.dcm", "train_images/{study}/{series}/{instance}.dcm", (None, None, None)),
        ("train_images/1/2/3.png", "train_images/{study}/{series}/{instance}.dcm", (None, None, None)),
    ],
)
def test_a_layout_names_ids_at_the_end_of_a_path(
    member: str, layout: str, ids: tuple[str | None, str | None, str | None]
) -> None:
    found = ids_from_path(member, layout)
    assert (found.get("study"), found.get("series"), found.get("instance")) == ids


def test_ids_become_keys_and_technical_values_stay() -> None:
    row = keyed_instance(HEADER, site="a", layout=None, pseudonyms=KEY)
    assert row["study_key"] == KEY.uid("1.2.3")
    assert row["series_key"] == KEY.uid("1.2.3.4")
    assert row["instance_key"] == KEY.uid("1.2.3.4.5")
    assert (row["rows"], row["instance_number"]) == (512, 9)
    assert "MRN77" not in str(row)
    assert "1.2.3" not in str({name: value for name, value in row.items() if value != row["site"]})
    assert set(row) <= set(INSTANCES.names)


def test_ids_that_the_layout_names_come_from_the_path() -> None:
    layout = "train_images/{study}/{series}/{instance}.dcm"
    row = keyed_instance(HEADER, site="a", layout=layout, pseudonyms=PublicIds())
    assert (row["study_key"], row["series_key"], row["instance_key"]) == ("1001", "2002", "1.2.3.4.5")
    assert row["instance_number"] == 9
    bare = keyed_instance({**HEADER, "instance_number": None}, site="a", layout=layout, pseudonyms=PublicIds())
    assert bare["instance_number"] == 7


def test_one_number_at_two_hospitals_is_two_patients() -> None:
    here, there = (keyed_instance(HEADER, site=site, layout=None, pseudonyms=KEY) for site in ("a", "b"))
    assert here["patient_key"] != there["patient_key"]
    assert here["study_key"] == there["study_key"]
    spelled = keyed_instance({**HEADER, "patient_id": " mrn77 "}, site="a", layout=None, pseudonyms=KEY)
    assert spelled["patient_key"] == here["patient_key"]


def test_a_missing_id_stays_missing() -> None:
    row = keyed_instance({**HEADER, "sop_instance_uid": None}, site="a", layout=None, pseudonyms=KEY)
    assert row["instance_key"] is None


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("image_type", "ORIGINAL\\PRIMARY\\AXIAL", "ORIGINAL\\PRIMARY\\AXIAL"),
        ("image_type", "ORIGINAL\\PRIMARY\\DOE JANE", "ORIGINAL\\PRIMARY\\OTHER"),
        ("modality", "CT", "CT"),
        ("modality", "JANEDOE", "OTHER"),
        ("burned_in_annotation", "yes", "YES"),
        ("photometric_interpretation", "Doe", "OTHER"),
        ("sop_class_uid", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2"),
        ("sop_class_uid", "1.2.3.19700101", "OTHER"),
        ("modality", None, None),
    ],
)
def test_only_known_words_of_a_header_reach_the_catalogue(name: str, value: str | None, kept: str | None) -> None:
    row = keyed_instance({**HEADER, name: value}, site="a", layout=None, pseudonyms=KEY)
    assert row[name] == kept


def test_no_free_text_of_a_header_reaches_the_catalogue() -> None:
    texts = {
        "manufacturer": "DOE JANE",
        "manufacturer_model_name": "DOE",
        "patient_sex": "DOE",
        "convolution_kernel": "DOE",
        "frames": [
            {
                "frame": 0,
                "kind": {
                    **dict.fromkeys(("image_type", "complex_component", "stack_id", "convolution_kernel"), "DOE"),
                    "echo_time_ms": "DOE",
                },
            }
        ],
    }
    row = keyed_instance({**HEADER, **texts}, site="a", layout=None, pseudonyms=KEY)
    assert "DOE" not in str(row)


def test_kernels_are_told_apart_by_a_digest_that_only_the_key_gives() -> None:
    def key_of(kernel: str | None, key: Keyed = KEY) -> Any:
        return keyed_instance({**HEADER, "convolution_kernel": kernel}, site="a", layout=None, pseudonyms=key)[
            "kernel_key"
        ]

    assert key_of("BONE") == key_of("BONE") != key_of("SOFT")
    assert key_of("BONE") != key_of("BONE", Keyed(bytes(32)))
    assert key_of(None) is None


def test_frames_keep_numbers_and_known_words_and_survive_the_table() -> None:
    kind = {"echo_time_ms": "2.5", "diffusion_direction": "0.0\\-0.6\\8e-05", "image_type": "ORIGINAL\\DOE"}
    frame = {
        "frame": 1,
        "image_position_mm": [1.0, 2.0, 3.0],
        "image_orientation": None,
        "pixel_spacing_mm": None,
        "slice_thickness_mm": None,
        "rescale_slope": 2.0,
        "rescale_intercept": None,
        "instance_number": 2,
        "kind": {**kind, "stack_id": "1", "complex_component": "PHASE"},
        "tile": [0, 4, 4, 4],
    }
    others = [{**frame, "frame": 2, "image_position_mm": None, "tile": None, "kind": {}}]
    rows = [
        keyed_instance({**HEADER, "frames": frames}, site="a", layout=None, pseudonyms=KEY)
        for frames in ([frame, *others], None)
    ]
    table = pa.Table.from_pylist(rows, schema=INSTANCES)
    first, second = pq.read_table(pa.BufferReader(table_bytes(table)))["frames"].to_pylist()
    assert second is None
    pairs = {pair["name"]: pair["value"] for pair in first[0].pop("kind")}
    assert pairs.pop("stack_key") == KEY.digest(b"1", "stack_key")[:16]
    assert pairs == {**kind, "image_type": "ORIGINAL\\OTHER", "complex_component": "PHASE"}
    assert first[0] == {name: value for name, value in frame.items() if name != "kind"}
    assert (first[1]["image_position_mm"], first[1]["tile"], first[1]["kind"]) == (None, None, [])


def test_an_id_that_stays_and_is_no_plain_name_is_no_id() -> None:
    row = keyed_instance({**HEADER, "study_instance_uid": "../up"}, site="a", layout=None, pseudonyms=PublicIds())
    assert row["study_key"] is None
    assert keyed_instance({**HEADER, "study_instance_uid": "../up"}, site="a", layout=None, pseudonyms=KEY)["study_key"]
