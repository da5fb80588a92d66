from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from curate.phantoms.planes import axial_ct
from curate.phantoms.tables import LabelTables, write_mask


def test_the_columns_are_those_of_the_challenges(tmp_path: Path) -> None:
    LabelTables("cervical").write(tmp_path)
    LabelTables("lumbar").write(tmp_path / "lumbar")
    train = pd.read_csv(tmp_path / "train.csv")
    assert ",".join(train.columns) == "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7"
    boxes = pd.read_csv(tmp_path / "train_bounding_boxes.csv")
    assert ",".join(boxes.columns) == "StudyInstanceUID,x,y,width,height,slice_number"
    grades = pd.read_csv(tmp_path / "lumbar" / "train.csv")
    assert len(grades.columns) == 26
    assert grades.columns[1] == "spinal_canal_stenosis_l1_l2"
    assert grades.columns[25] == "right_subarticular_stenosis_l5_s1"
    points = pd.read_csv(tmp_path / "lumbar" / "train_label_coordinates.csv")
    assert ",".join(points.columns) == "study_id,series_id,instance_number,condition,level,x,y"


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="train"):
        LabelTables("cervical").add("train", "1.2.3", 1)


def test_a_mask_keeps_its_place_in_the_patient_though_its_array_is_turned(tmp_path: Path) -> None:
    grid = axial_ct((7, -5, 30), (20, 24), 48.0, 3.0, 30.0)
    mask = np.zeros(grid.shape, np.uint8)
    mask[2, 15, 4] = 5
    write_mask(tmp_path / "one.nii", mask, grid)
    image = nibabel.load(tmp_path / "one.nii")
    array = np.asanyarray(image.dataobj)
    assert array.shape != mask.shape
    where = np.argwhere(array == 5)
    assert len(where) == 1
    ras = image.affine @ [*where[0], 1]
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], grid.to_patient([2, 15, 4]), atol=1e-4)
    assert nibabel.aff2axcodes(image.affine) == ("P", "I", "L")
