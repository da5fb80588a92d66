"""Dates of whole files: one offset a patient, and every interval as it was, however a date is written or nested."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.deid.engine import deidentify_bytes
from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed
from tests.support.deid_files import KEY, PATIENT_ID, STUDY, encode, insert_before_pixels, item, make_ct, raw_element

KEYED = Keyed(KEY)
PROFILES = {name: load_profile(name) for name in ("basic", "mira")}
NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
CALIBRATION_DATE, CALIBRATION_TIME, FRAME_TIME = 0x00181200, 0x00181201, 0x00189074  # DA 1-n, TM 1-n, DT
DAYS = timedelta(days=KEYED.shift_days(KEYED.patient(PATIENT_ID, site="a")))
MOMENTS = st.datetimes(datetime(1930, 1, 1), datetime(2090, 12, 31))
ZONES = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
either = pytest.mark.parametrize("profile", PROFILES)


def clean(raw: bytes, profile: str = "mira") -> Dataset:
    return dcmread(BytesIO(deidentify_bytes(raw, PROFILES[profile], KEYED, site="a").content))


def value_after(tag: int, vr: bytes, value: bytes, profile: str) -> bytes | None:
    """Bytes that pydicom reads, not decoded, of an element planted in a CT file; None when it went."""
    padded = value + b" " * (len(value) % 2)
    after = clean(insert_before_pixels(encode(make_ct()), raw_element(tag, vr, padded)), profile)
    return None if tag not in after else (after.get_item(tag).value or b"").rstrip(b" ")


def moved(text: str) -> str:
    """A day of eight digits, by the calendar of Python."""
    return (datetime.strptime(text, "%Y%m%d") + DAYS).strftime("%Y%m%d")


@either
@pytest.mark.parametrize(
    ("tag", "vr", "value", "days"),
    [
        (CALIBRATION_DATE, b"DA", "{}", ["19970430"]),
        (CALIBRATION_DATE, b"DA", "{}\\{}", ["19970430", "19970501"]),
        (CALIBRATION_DATE, b"DA", "{}\\\\{}", ["19970430", "20200229"]),
        (CALIBRATION_DATE, b"DA", "{}-{}", ["19970430", "19970501"]),
        (CALIBRATION_DATE, b"DA", "{}-", ["19970430"]),
        (CALIBRATION_DATE, b"DA", "-{}", ["19970430"]),
        (CALIBRATION_DATE, b"DA", "{}-{}\\{}", ["20000228", "20000301", "20000229"]),
        (FRAME_TIME, b"DT", "{}", ["20240229"]),
        (FRAME_TIME, b"DT", "{}235959.999999", ["20240229"]),
        (FRAME_TIME, b"DT", "{}0000", ["20240301"]),
        (FRAME_TIME, b"DT", "{}000000+1400", ["20240101"]),
        (FRAME_TIME, b"DT", "{}235959.5-0930", ["20231231"]),
    ],
)
def test_every_way_to_write_a_date_moves_by_the_days_of_its_patient(
    tag: int, vr: bytes, value: str, days: list[str], profile: str
) -> None:
    expected = value.format(*map(moved, days)).encode()
    assert value_after(tag, vr, value.format(*days).encode(), profile) == expected
    assert not any(day.encode() in expected for day in days)


@either
def test_a_date_of_the_old_form_moves_in_the_old_form(profile: str) -> None:
    day = moved("19970430")
    expected = f"{day[:4]}.{day[4:6]}.{day[6:]}".encode()
    assert value_after(CALIBRATION_DATE, b"DA", b"1997.04.30", profile) == expected


@either
@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (CALIBRATION_DATE, b"DA", b"20210229"),
        (CALIBRATION_DATE, b"DA", b"19000229"),
        (CALIBRATION_DATE, b"DA", b"1997-04-30"),
        (CALIBRATION_DATE, b"DA", b"30.04.1997"),
        (CALIBRATION_DATE, b"DA", b"19970430\\Quixotova"),
        (CALIBRATION_DATE, b"DA", b"19970430-Quixotova"),
        (CALIBRATION_DATE, b"DA", b"00010101"),
        (CALIBRATION_TIME, b"TM", b"noon of Quixotova"),
        (FRAME_TIME, b"DT", b"19970430 12:00"),
        (FRAME_TIME, b"DT", b"1997-04-30T12:00"),
    ],
)
def test_what_is_no_date_goes_whole_and_is_not_guessed(tag: int, vr: bytes, value: bytes, profile: str) -> None:
    assert value_after(tag, vr, value, profile) in (None, b"19000101000000")


@either
@pytest.mark.parametrize("value", ["235959.999999", "000000", "23:59:59", "24", "1011\\1012", "1000-1200", "0930"])
def test_times_of_day_stay_to_the_last_digit(value: str, profile: str) -> None:
    assert value_after(CALIBRATION_TIME, b"TM", value.encode(), profile) == value.encode()


@pytest.mark.parametrize("transfer_syntax", NATIVE)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("20200228", "20200229"),
        ("20200229", "20200301"),
        ("20190228", "20190301"),
        ("20000229", "21000228"),
        ("19991231", "20000101"),
        ("20200229", "20240229"),
    ],
)
def test_days_between_dates_are_those_of_the_calendar(first: str, second: str, transfer_syntax: str) -> None:
    source = make_ct(StudyDate=first, ContentDate=second, DateOfLastCalibration=[first, second])
    after = clean(encode(source, transfer_syntax))
    apart = datetime.strptime(second, "%Y%m%d") - datetime.strptime(first, "%Y%m%d")
    for one, other in ((after.StudyDate, after.ContentDate), tuple(after.DateOfLastCalibration)):
        assert datetime.strptime(other, "%Y%m%d") - datetime.strptime(one, "%Y%m%d") == apart
        assert (one, other) == (moved(first), moved(second))


def at(day: str, time: str) -> datetime:
    return datetime.strptime(day + time, "%Y%m%d%H%M%S.%f")


@given(MOMENTS, MOMENTS, ZONES, ZONES)
@settings(max_examples=40, deadline=None)
def test_any_two_moments_stay_as_far_apart_as_they_were(
    first: datetime, second: datetime, zone: timezone, other_zone: timezone
) -> None:
    """As DA and TM, and as DT with their own offsets from UTC; to the microsecond and across midnight."""
    source = make_ct(
        SeriesDate=first.strftime("%Y%m%d"),
        SeriesTime=first.strftime("%H%M%S.%f"),
        AcquisitionDate=second.strftime("%Y%m%d"),
        AcquisitionTime=second.strftime("%H%M%S.%f"),
        AcquisitionDateTime=first.replace(tzinfo=zone).strftime("%Y%m%d%H%M%S.%f%z"),
        RadiopharmaceuticalInformationSequence=Sequence(
            [item(RadiopharmaceuticalStartDateTime=second.replace(tzinfo=other_zone).strftime("%Y%m%d%H%M%S.%f%z"))]
        ),
    )
    after = clean(encode(source))
    began, went_on = at(after.SeriesDate, after.SeriesTime), at(after.AcquisitionDate, after.AcquisitionTime)
    assert went_on - began == second - first
    assert began - first == DAYS
    start = after.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime
    instants = [datetime.strptime(text, "%Y%m%d%H%M%S.%f%z") for text in (after.AcquisitionDateTime, start)]
    assert instants[1] - instants[0] == second.replace(tzinfo=other_zone) - first.replace(tzinfo=zone)
    assert [instant.tzinfo for instant in instants] == [zone, other_zone]
    assert instants[0].replace(tzinfo=None) == began  # the two ways to say it still agree


@either
@pytest.mark.parametrize("seconds", [1, 600, 3600])
def test_from_an_injection_before_midnight_to_its_image_after_it(seconds: int, profile: str) -> None:
    injected = datetime(2020, 2, 29, 23, 59, 59)
    imaged = injected + timedelta(seconds=seconds)
    source = make_ct(
        AcquisitionDate=imaged.strftime("%Y%m%d"),
        AcquisitionTime=imaged.strftime("%H%M%S"),
        RadiopharmaceuticalInformationSequence=Sequence(
            [item(RadiopharmaceuticalStartDateTime="20200229235959", RadiopharmaceuticalStartTime="235959")]
        ),
    )
    after = clean(encode(source), profile)
    started = after.RadiopharmaceuticalInformationSequence[0]
    acquired = datetime.strptime(after.AcquisitionDate + after.AcquisitionTime, "%Y%m%d%H%M%S")
    began = datetime.strptime(started.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S")
    assert acquired - began == imaged - injected
    assert started.RadiopharmaceuticalStartTime == "235959"


def dates_of(dataset: Dataset) -> dict[str, list[date]]:
    """Days of every DA and DT at every depth, by the keyword."""
    found: dict[str, list[date]] = {}
    for element in dataset.iterall():
        if element.VR in ("DA", "DT") and element.value:
            texts = element.value if element.VM > 1 else [element.value]
            found.setdefault(element.keyword, []).extend(
                datetime.strptime(text[:8], "%Y%m%d").date() for text in map(str, texts)
            )
    return found


def dated(patient: str, study: int, day: date) -> Dataset:
    """A CT with dates at the top, and two and three items deep in two frames."""
    text = day.strftime("%Y%m%d")
    frame = item(FrameContentSequence=Sequence([item(FrameAcquisitionDateTime=text + "2359", KVP="100")]))
    deepest = item(ContentDate=text, DateOfLastCalibration=[text, text], ScheduledProcedureStepStartDate=text)
    frame.DerivationImageSequence = Sequence([item(AnatomicRegionSequence=Sequence([deepest]))])
    return make_ct(
        PatientID=patient,
        StudyInstanceUID=f"{STUDY}.{study}",
        StudyDate=text,
        ContentDate=text,
        InstanceCreationDate=text,
        PatientBirthDate="",
        AcquisitionDateTime=text + "120000",
        PerFrameFunctionalGroupsSequence=Sequence([frame, frame]),
    )


@either
def test_one_offset_holds_for_all_files_and_depths_of_a_patient_and_differs_between_patients(profile: str) -> None:
    shifts = {}
    for patient in ("P-1", "P-2", "P-3", "P-4", "P-5"):
        offsets = set()
        for study, (transfer_syntax, day) in enumerate(
            zip(NATIVE, (date(2019, 12, 31), date(2020, 2, 29), date(2020, 3, 1), date(2024, 2, 29)), strict=True)
        ):
            source = dated(patient if study % 2 else f" {patient.lower()} ", study, day)
            if transfer_syntax == ExplicitVRBigEndian:
                source.PixelData = np.frombuffer(source.PixelData, "<u2").astype(">u2").tobytes()
            before = dates_of(source)
            after = dates_of(clean(encode(source, transfer_syntax), profile))
            assert {keyword: len(days) for keyword, days in after.items()} == {
                keyword: len(days) for keyword, days in before.items()
            }
            offsets |= {one - day for days in after.values() for one in days}
        (shifts[patient],) = offsets
    assert len(set(shifts.values())) == len(shifts)
    assert all(-3652 <= shift.days <= -1 for shift in shifts.values())


@either
@pytest.mark.parametrize(
    ("age", "capped"),
    [
        ("000D", "000D"),
        ("061Y", "061Y"),
        ("089Y", "089Y"),
        ("090Y", "090Y"),
        ("091Y", "090Y"),
        ("120Y", "090Y"),
        ("999Y", "090Y"),
        ("999M", "999M"),  # 83 years
        ("61Y", "061Y"),
        ("7W", "007W"),
    ],
)
def test_ages_are_four_characters_and_none_is_over_ninety(age: str, capped: str, profile: str) -> None:
    raw = insert_before_pixels(
        encode(make_ct(PatientAge=None)), raw_element(0x00101010, b"AS", age.encode().ljust(4, b" "))
    )
    after = clean(raw, profile)
    assert after.get_item(0x00101010).value == capped.encode()
    assert after.PatientBirthDate == ""


@either
@pytest.mark.parametrize("transfer_syntax", NATIVE)
def test_ages_in_items_are_capped_too(transfer_syntax: str, profile: str) -> None:
    nested = Sequence([item(AnatomicRegionSequence=Sequence([item(PatientAge="101Y")]), PatientAge="093Y")])
    source = make_ct(PatientAge="104Y", PatientBirthDate="19160229", DerivationImageSequence=nested)
    after = clean(encode(source, transfer_syntax), profile)
    outer = after.DerivationImageSequence[0]
    assert [one.PatientAge for one in (after, outer, outer.AnatomicRegionSequence[0])] == ["090Y"] * 3


@either
@pytest.mark.parametrize("age", [b"oldY", b"1959", b"104y", b"1O4Y"])
def test_what_is_no_age_goes(age: bytes, profile: str) -> None:
    raw = insert_before_pixels(encode(make_ct(PatientAge=None)), raw_element(0x00101010, b"AS", age))
    assert not clean(raw, profile).get("PatientAge")
