from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq

from curate.phantoms import PhantomSummary
from curate.phantoms.defects import SERIES_DEFECTS
from curate.phantoms.sites import list_sites
from curate.phantoms.work import plan_work
from curate.reasons import Reason


def expected(summary: PhantomSummary) -> pd.DataFrame:
    return pq.read_table(summary.folder / "truth" / "expected.parquet").to_pandas()


def test_studies_go_round_the_sites() -> None:
    work = plan_work("cervical", list_sites(3), 7, 0, defects=False)
    assert [one.site.name[-1] for one in work] == list("abcabca")
    assert [one.visit for one in work] == [0, 0, 0, 1, 1, 1, 2]


def test_every_defect_comes_once_and_none_at_a_bare_site() -> None:
    work = plan_work("cervical", list_sites(4), 8, 0, defects=True)
    assert [one.defect.name for one in work if one.defect] == [defect.name for defect in SERIES_DEFECTS]
    assert all(not one.site.is_bare for one in work if one.defect or one.strays)
    visits = [(one.site.name, one.visit) for one in work]
    assert len(set(visits)) == len(visits)


def test_there_is_no_gantry_in_an_mr_scanner() -> None:
    work = plan_work("lumbar", list_sites(2), 2, 0, defects=True)
    assert "gantry_tilt" not in {one.defect.name for one in work if one.defect}


def test_an_unsafe_member_comes_only_where_there_is_an_archive_file() -> None:
    folders = plan_work("cervical", list_sites(1), 3, 0, defects=True)
    assert not any("unsafe_member" in one.strays for one in folders)
    zips = plan_work("cervical", list_sites(2), 3, 0, defects=True)
    assert [one.site.container for one in zips if "unsafe_member" in one.strays] == ["zip"]


def test_what_should_happen_is_written_for_every_defect(hostile: PhantomSummary) -> None:
    rows = expected(hostile)
    named = set(rows.defect.dropna())
    assert {defect.name for defect in SERIES_DEFECTS} <= named
    assert {"localizer", "secondary_capture", "wrong_modality", "empty_file", "text_file", "duplicate_file"} <= named
    assert {"directory_file", "unsafe_member", "unknown_study"} <= named
    codes = {reason.value for reason in Reason}
    for row in rows[rows.outcome != "done"].itertuples():
        assert row.accepted_reasons[0] == row.reason
        assert set(row.accepted_reasons) <= codes


def test_sound_series_stay_sound_beside_the_defects(hostile: PhantomSummary) -> None:
    rows = expected(hostile)
    assert ((rows.outcome == "done") & rows.defect.isna()).sum() == 4
