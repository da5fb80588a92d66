"""The score of a header: which facts speak for text in the pixels, and how loudly."""

from __future__ import annotations

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from curate.deid.pixels.risk import LOOK_AT, REFUSE_AT, PixelRisk, Signal, assess_risk
from tests.support.deid_files import encode, make_ct
from tests.support.pixel_files import header_of


def risk_of(**changes: object) -> PixelRisk:
    return assess_risk(header_of(encode(make_ct(**changes))))


def test_an_original_slice_is_not_flagged() -> None:
    risk = risk_of()
    assert (risk.score, risk.signals, risk.names) == (0, (), ())
    assert not risk.is_flagged


@pytest.mark.parametrize(
    ("changes", "signal"),
    [
        ({"BurnedInAnnotation": "YES"}, Signal.BURNED_IN),
        ({"BurnedInAnnotation": "yes"}, Signal.BURNED_IN),
        ({"BurnedInAnnotation": "MAYBE"}, Signal.BURNED_IN),
        ({"ImageType": ["DERIVED", "PRIMARY", "SCREEN SAVE"]}, Signal.SCREEN_SAVE),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, Signal.SECONDARY_CLASS),
        ({"SOPClassUID": f"{SecondaryCaptureImageStorage}.4"}, Signal.SECONDARY_CLASS),
        ({"Modality": "US"}, Signal.SCREEN_MODALITY),
        ({"Modality": "OT"}, Signal.SCREEN_MODALITY),
        ({"ConversionType": "WSD"}, Signal.CONVERTED),
        ({"SecondaryCaptureDeviceManufacturer": "Grabber"}, Signal.CAPTURE_DEVICE),
        ({"PhotometricInterpretation": "RGB"}, Signal.COLOUR),
        ({"SeriesDescription": "Dose Report"}, Signal.SCREEN_WORDS),
        ({"SeriesDescription": "PATIENT_PROTOCOL"}, Signal.SCREEN_WORDS),
        ({"SeriesDescription": "Exam Summary"}, Signal.SCREEN_WORDS),
        ({"ProtocolName": "screenshots"}, Signal.SCREEN_WORDS),
        ({"StudyDescription": "scanned requisition"}, Signal.SCREEN_WORDS),
    ],
)
def test_one_such_fact_is_enough_to_refuse(changes: dict[str, object], signal: Signal) -> None:
    risk = risk_of(**changes)
    assert risk.signals == (signal,)
    assert risk.score == signal.weight >= REFUSE_AT
    assert risk.is_high


@pytest.mark.parametrize(
    ("changes", "signal"),
    [
        ({"Modality": "DX"}, Signal.PLATE_MODALITY),
        ({"Modality": "CR"}, Signal.PLATE_MODALITY),
        ({"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]}, Signal.SECONDARY_IMAGE),
    ],
)
def test_what_is_common_in_good_images_is_only_looked_at(changes: dict[str, object], signal: Signal) -> None:
    risk = risk_of(**changes)
    assert risk.signals == (signal,)
    assert LOOK_AT <= risk.score < REFUSE_AT
    assert risk.is_flagged
    assert not risk.is_high


@pytest.mark.parametrize(
    "changes",
    [
        {"BurnedInAnnotation": "NO"},
        {"SeriesDescription": "LOW DOSE CT C-SPINE"},
        {"SeriesDescription": "SNAPSHOT PULSE 75%"},
        {"SeriesDescription": "screening spine protocol"},
        {"ConversionType": ""},
        {"Modality": "SEG"},
    ],
)
def test_these_are_no_signals(changes: dict[str, object]) -> None:
    assert risk_of(**changes).score == 0


def test_no_lowers_nothing() -> None:
    assert risk_of(BurnedInAnnotation="NO", Modality="US").is_high


def test_weights_add_up_and_names_hold_no_value_of_the_header() -> None:
    risk = risk_of(Modality="CR", ImageType=["DERIVED", "SECONDARY"], SeriesDescription="report on Quixotova")
    assert risk.score == 20 + 20 + 50
    assert risk.names == ("screen_words", "plate_modality", "secondary_image")


def test_every_signal_has_a_line_of_english() -> None:
    assert len({signal.text for signal in Signal}) == len(Signal)
