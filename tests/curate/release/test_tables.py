"""Expected text is written by hand from the data pages of the two challenges."""

import pyarrow as pa
import pytest

from curate.manifests import schemas
from curate.release.contents import EXCLUSIONS
from curate.release.tables import condition_title, level_title, render_csvs, render_solution, test_rows
from curate.scoring import score_cervical, score_lumbar

test_rows.__test__ = False  # type: ignore[attr-defined]


def cervical_tables() -> dict[str, pa.Table]:
    site = {"site": "a", "volumes": []}
    zeros = dict.fromkeys(schemas.CERVICAL_TARGETS, 0)
    samples = [
        {**site, "patient_key": "P2", "study_key": "S2", "split": "train", **zeros, "patient_overall": 1, "C2": 1},
        {**site, "patient_key": "P1", "study_key": "S1", "split": "train", **zeros, "C7": None},
        {**site, "patient_key": "P3", "study_key": "S3", "split": "validation", **zeros},
        {**site, "patient_key": "P4", "study_key": "S4", "split": "test", **zeros, "patient_overall": 1, "C1": 1},
    ]
    box = {"series_key": "R", "stack": 0, "instance_key": "I", "instance_number": 30, "label": "fracture"}
    boxes = [{**box, "study_key": "S2", "column": 10.5, "row": 20.0, "width": 30.0, "height": 40.25}]
    exclusions = [
        dict(zip(EXCLUSIONS.names, ("a", "S9", "R9", "rejected", "localizer", "A scout, no volume."), strict=True))
    ]
    return {
        "samples": pa.Table.from_pylist(samples, schemas.CERVICAL_SAMPLES),
        "series": schemas.SERIES.empty_table(),
        "boxes": pa.Table.from_pylist(boxes, schemas.BOXES),
        "exclusions": pa.Table.from_pylist(exclusions, EXCLUSIONS),
    }


def lumbar_tables() -> dict[str, pa.Table]:
    site = {"site": "a", "volumes": []}
    grades = dict.fromkeys(schemas.LUMBAR_TARGETS, 0)
    graded = {**grades, "spinal_canal_stenosis_l1_l2": 2, "right_subarticular_stenosis_l5_s1": None}
    samples = [
        {**site, "patient_key": "P1", "study_key": "S1", "split": "train", **graded},
        {**site, "patient_key": "P2", "study_key": "S2", "split": "test", **graded},
    ]
    series = [
        {"study_key": "S1", "series_key": "R2", "series_type": "Sagittal T2/STIR"},
        {"study_key": "S1", "series_key": "R1", "series_type": "Axial T2"},
        {"study_key": "S2", "series_key": "R3", "series_type": None},
    ]
    point = {"study_key": "S1", "series_key": "R1", "instance_number": 7, "column": 100.5, "row": 90.0}
    points = [{**point, "condition": "left_neural_foraminal_narrowing", "level": "l5_s1"}]
    return {
        "samples": pa.Table.from_pylist(samples, schemas.LUMBAR_SAMPLES),
        "series": pa.Table.from_pylist(series, schemas.SERIES),
        "points": pa.Table.from_pylist(points, schemas.POINTS),
        "exclusions": EXCLUSIONS.empty_table(),
    }


def test_cervical_labels_stand_in_the_schema_of_2022() -> None:
    files = render_csvs(cervical_tables(), "cervical")
    assert files["train.csv"].decode() == (
        "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\nS1,0,0,0,0,0,0,0,\nS2,1,0,1,0,0,0,0,0\n"
    )
    assert files["validation.csv"].decode().splitlines()[1:] == ["S3,0,0,0,0,0,0,0,0"]


def test_cervical_boxes_stand_in_the_schema_of_2022() -> None:
    files = render_csvs(cervical_tables(), "cervical")
    assert files["train_bounding_boxes.csv"].decode() == (
        "StudyInstanceUID,x,y,width,height,slice_number\nS2,10.5,20.0,30.0,40.25,30\n"
    )
    assert files["validation_bounding_boxes.csv"].decode().count("\n") == 1


def test_the_cervical_test_list_and_sample_submission_have_eight_rows_a_study_and_no_labels() -> None:
    files = render_csvs(cervical_tables(), "cervical")
    lines = files["test.csv"].decode().splitlines()
    assert lines[0] == "row_id,StudyInstanceUID,prediction_type"
    assert lines[1] == "S4_C1,S4,C1"
    assert lines[8] == "S4_patient_overall,S4,patient_overall"
    assert len(lines) == 9
    submission = files["sample_submission.csv"].decode().splitlines()
    assert submission[:2] == ["row_id,fractured", "S4_C1,0.5"]
    assert [line.split(",")[0] for line in submission] == [line.split(",")[0] for line in lines]
    assert b"S4" not in files["train.csv"] + files["validation.csv"]


def test_split_and_exclusions_are_listed_for_people() -> None:
    files = render_csvs(cervical_tables(), "cervical")
    assert files["split.csv"].decode().splitlines()[:2] == ["patient_key,study_key,site,split", "P1,S1,a,train"]
    assert files["exclusions.csv"].decode().splitlines() == [
        "site,study_key,series_key,status,reason,text",
        'a,S9,R9,rejected,localizer,"A scout, no volume."',
    ]


def test_lumbar_grades_are_words_and_a_missing_grade_is_blank() -> None:
    lines = render_csvs(lumbar_tables(), "lumbar")["train.csv"].decode().splitlines()
    header, row = (line.split(",") for line in lines)
    assert header[:2] == ["study_id", "spinal_canal_stenosis_l1_l2"]
    assert header[-1] == "right_subarticular_stenosis_l5_s1"
    assert len(header) == 26
    assert (row[0], row[1], row[2], row[-1]) == ("S1", "Severe", "Normal/Mild", "")


def test_lumbar_points_and_series_stand_in_the_schema_of_2024() -> None:
    files = render_csvs(lumbar_tables(), "lumbar")
    assert files["train_label_coordinates.csv"].decode() == (
        "study_id,series_id,instance_number,condition,level,x,y\n"
        "S1,R1,7,Left Neural Foraminal Narrowing,L5/S1,100.5,90.0\n"
    )
    assert files["train_series_descriptions.csv"].decode() == (
        "study_id,series_id,series_description\nS1,R1,Axial T2\nS1,R2,Sagittal T2/STIR\n"
    )
    assert files["test_series_descriptions.csv"].decode().splitlines()[1:] == ["S2,R3,"]


def test_rows_of_the_lumbar_sample_submission_sum_to_one_and_are_twenty_five() -> None:
    lines = render_csvs(lumbar_tables(), "lumbar")["sample_submission.csv"].decode().splitlines()
    assert lines[0] == "row_id,normal_mild,moderate,severe"
    assert len(lines) == 26
    for line in lines[1:]:
        assert sum(map(float, line.split(",")[1:])) == pytest.approx(1.0, abs=1e-15)
    assert lines[1].startswith("S2_left_neural_foraminal_narrowing_l1_l2,")  # sorted by row id, as the host does


def test_the_cervical_solution_leaves_out_what_was_not_labelled() -> None:
    assert render_solution(cervical_tables()["samples"], "cervical").decode().splitlines() == [
        "row_id,fractured",
        *(
            f"S4_{target},{int(target in ('C1', 'patient_overall'))}"
            for target in (*(f"C{n}" for n in range(1, 8)), "patient_overall")
        ),
    ]


def test_the_lumbar_solution_has_one_hot_grades_and_the_weights_of_the_metric() -> None:
    lines = render_solution(lumbar_tables()["samples"], "lumbar").decode().splitlines()
    assert lines[0] == "row_id,normal_mild,moderate,severe,sample_weight"
    assert "S2_spinal_canal_stenosis_l1_l2,0,0,1,4" in lines
    assert "S2_spinal_canal_stenosis_l2_l3,1,0,0,1" in lines
    assert len(lines) == 25  # 25 rows less the one that was not graded, and the header


def test_the_official_metrics_accept_solution_and_sample_submission() -> None:
    import io

    import pandas as pd

    def read(content: bytes) -> pd.DataFrame:
        return pd.read_csv(io.BytesIO(content))

    tables = cervical_tables()
    cervical = score_cervical(
        read(render_solution(tables["samples"], "cervical")),
        read(render_csvs(tables, "cervical")["sample_submission.csv"]),
    )
    assert cervical.score == pytest.approx(0.6931471805599453)  # all 0.5: ln 2
    lumbar = lumbar_tables()
    score = score_lumbar(
        read(render_solution(lumbar["samples"], "lumbar")), read(render_csvs(lumbar, "lumbar")["sample_submission.csv"])
    )
    # each of the three groups is ln 3; the fourth part is a severe study predicted at 1/3: ln 3 too
    assert score.score == pytest.approx(1.0986122886681098)


def test_names_are_those_of_the_challenge() -> None:
    assert condition_title("spinal_canal_stenosis") == "Spinal Canal Stenosis"
    assert level_title("l1_l2") == "L1/L2"
    assert test_rows(["b", "a"], "cervical")[0] == "a_C1"


def test_a_condition_that_the_challenge_does_not_know_is_refused() -> None:
    tables = lumbar_tables()
    tables["points"] = pa.Table.from_pylist(
        [{"study_key": "S1", "condition": "gout", "level": "l1_l2"}], schemas.POINTS
    )
    with pytest.raises(ValueError):
        render_csvs(tables, "lumbar")
