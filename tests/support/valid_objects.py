"""One object of each class that comes in an archive of spines, for ``dciodvfy`` to judge before and after.

Those of CT, MR, US, SR, SEG and RTSTRUCT are pydicom's own test files, written by devices and others' programs; CR and
enhanced MR are made here. With each stands what a profile needs to let the class in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, EnhancedMRImageStorage

from curate.deid.profile import Profile, load_profile
from tests.support.deid_files import STUDY, encode, item, make_ct

NEEDS = {
    "SR": ("clean_structured_content", "clean_descriptors"),
    "US": ("clean_pixel_data",),
    "CR": ("clean_pixel_data",),
}
"""Class -> options without which it is refused."""


def valid_objects() -> Mapping[str, Callable[[], bytes]]:
    """Class -> how to get one as bytes."""
    names = {"CT": "CT_small", "MR": "MR_small", "US": "examples_palette", "SR": "test-SR", "SEG": "liver_1frame",
             "RTSTRUCT": "rtstruct"}  # fmt: skip
    made = {"CR": _radiograph, "enhanced MR": _enhanced}
    return {kind: partial(_bundled, f"{name}.dcm") for kind, name in names.items()} | made


def profile_for(kind: str, name: str) -> Profile:
    """The named profile with the options that let the class in."""
    profile = load_profile(name)
    return load_profile(name, options={*profile.options, *NEEDS.get(kind, ())})


def _bundled(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    with open(path, "rb") as stream:
        return stream.read()


def _radiograph() -> bytes:
    dataset = make_ct(
        SOPClassUID=ComputedRadiographyImageStorage,
        Modality="CR",
        ImageType=["ORIGINAL", "PRIMARY"],
        BodyPartExamined="CSPINE",
        ViewPosition="LL",
        Laterality="",
        PatientOrientation=["P", "F"],
        BurnedInAnnotation="NO",
        SeriesDate="20200229",
        **dict.fromkeys(_OF_CT),
    )
    return encode(_without_private(dataset))


def _enhanced() -> bytes:
    """Two frames with every functional group that an enhanced MR image must have (PS3.3 A.36.2)."""
    dataset = make_ct(
        SOPClassUID=EnhancedMRImageStorage,
        Modality="MR",
        StudyTime="235959.25",
        SeriesDate="20200229",
        SeriesTime="235959",
        **_MR,
        **_DIMENSIONS,
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=Sequence([_shared()]),
        PerFrameFunctionalGroupsSequence=Sequence([_frame(number) for number in (1, 2)]),
        AcquisitionNumber="1",
        PositionReferenceIndicator="",
        AcquisitionContextSequence=Sequence([]),
        ReferencedImageEvidenceSequence=_evidence(1),
        SourceImageEvidenceSequence=_evidence(2),
        PixelData=bytes(96),
        **dict.fromkeys(set(_OF_CT) - {"FrameOfReferenceUID"}),
        ReferencedImageSequence=None,
    )
    dataset["PixelData"].VR = "OW"
    return encode(_without_private(dataset))


_IMAGE = {
    "PixelPresentation": "MONOCHROME",
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
    "ComplexImageComponent": "MAGNITUDE",
    "AcquisitionContrast": "T2",
}
_MR = {
    **_IMAGE,
    "ImageType": ["ORIGINAL", "PRIMARY", "OTHER", "NONE"],
    "ContentQualification": "PRODUCT",
    "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00",
    "PresentationLUTShape": "IDENTITY",
    "AcquisitionDuration": 2.5,
    "ResonantNucleus": "1H",
    "KSpaceFiltering": "NONE",
    "MagneticFieldStrength": 1.5,
    "ApplicableSafetyStandardAgency": "IEC",
    "PulseSequenceName": "SE",
    "MRAcquisitionType": "2D",
    "EchoPulseSequence": "SPIN",
    "MultipleSpinEcho": "NO",
    "MultiPlanarExcitation": "NO",
    "PhaseContrast": "NO",
    "TimeOfFlightContrast": "NO",
    "SteadyStatePulseSequence": "NONE",
    "EchoPlanarPulseSequence": "NO",
    "SaturationRecovery": "NO",
    "SpectrallySelectedSuppression": "NONE",
    "OversamplingPhase": "NONE",
    "GeometryOfKSpaceTraversal": "RECTILINEAR",
    "RectilinearPhaseEncodeReordering": "LINEAR",
    "SegmentedKSpaceTraversal": "SINGLE",
    "NumberOfKSpaceTrajectories": 1,
}
_ORGANIZATION = "1.2.826.0.1.3680043.9.7777.55"
_DIMENSIONS = {
    "DimensionOrganizationSequence": Sequence([item(DimensionOrganizationUID=_ORGANIZATION)]),
    "DimensionIndexSequence": Sequence(
        [
            item(
                DimensionOrganizationUID=_ORGANIZATION,
                DimensionIndexPointer=pointer,
                FunctionalGroupPointer=0x00209111,
            )
            for pointer in (0x00209056, 0x00209057)  # stack, position in it
        ]
    ),
}


def _shared() -> Dataset:
    """What holds for all frames. The coil and the image that it was planned on name things that identify."""
    coil = item(
        ReceiveCoilName="SPINE", ReceiveCoilManufacturerName="", ReceiveCoilType="SURFACE", QuadratureReceiveCoil="NO"
    )
    sender = item(TransmitCoilName="BODY", TransmitCoilManufacturerName="", TransmitCoilType="BODY")
    timing = item(
        RepetitionTime="3000",
        FlipAngle="90",
        EchoTrainLength="1",
        RFEchoTrainLength=1,
        GradientEchoTrainLength=0,
        SpecificAbsorptionRateSequence=Sequence(
            [item(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=1.0)]
        ),
        GradientOutputType="DB_DT",
        GradientOutput=1.0,
        OperatingModeSequence=Sequence([item(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL")]),
    )
    geometry = item(
        InPlanePhaseEncodingDirection="ROW",
        MRAcquisitionFrequencyEncodingSteps=6,
        MRAcquisitionPhaseEncodingStepsInPlane=4,
        PercentSampling="100",
        PercentPhaseFieldOfView="100",
    )
    modifier = item(InversionRecovery="NO", FlowCompensation="NONE", Spoiling="NONE", T2Preparation="NO",
                    SpectrallySelectedExcitation="NONE", SpatialPresaturation="NONE", PartialFourier="NO",
                    ParallelAcquisition="NO")  # fmt: skip
    imaging = item(MagnetizationTransfer="NONE", BloodSignalNulling="NO", Tagging="NONE", TransmitterFrequency=63.8,
                   PixelBandwidth="130")  # fmt: skip
    groups = {
        "PixelMeasuresSequence": item(PixelSpacing=[0.5, 0.5], SliceThickness="1.25"),
        "PlaneOrientationSequence": item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        "FrameAnatomySequence": item(
            FrameLaterality="U", AnatomicRegionSequence=_code("122494006", "SCT", "Cervical spine")
        ),
        "PixelValueTransformationSequence": item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US"),
        "MRImageFrameTypeSequence": item(FrameType=["ORIGINAL", "PRIMARY", "OTHER", "NONE"], **_IMAGE),
        "MRTimingAndRelatedParametersSequence": timing,
        "MRFOVGeometrySequence": geometry,
        "MREchoSequence": item(EffectiveEchoTime=90.0),
        "MRModifierSequence": modifier,
        "MRImagingModifierSequence": imaging,
        "MRReceiveCoilSequence": coil,
        "MRTransmitCoilSequence": sender,
        "MRAveragesSequence": item(NumberOfAverages="1"),
        "ReferencedImageSequence": _reference(1, _code("121311", "DCM", "Localizer")),
        "DerivationImageSequence": item(
            DerivationCodeSequence=_code("113072", "DCM", "Multiplanar reformatting"),
            SourceImageSequence=Sequence([_reference(2, _code("121322", "DCM", "Source image for image processing"))]),
        ),
    }
    return item(**{name: Sequence([group]) for name, group in groups.items()})


def _frame(number: int) -> Dataset:
    content = item(
        FrameAcquisitionDateTime="20200229235959.25",
        FrameReferenceDateTime="20200229235959.25",
        FrameAcquisitionDuration=1000.0,
        StackID="1",
        InStackPositionNumber=number,
        DimensionIndexValues=[1, number],
        FrameComments="Quixotova, second try",
    )
    return item(
        FrameContentSequence=Sequence([content]),
        PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, 1.25 * number])]),
    )


def _reference(number: int, purpose: Sequence | None = None) -> Dataset:
    """To another image of the same study."""
    reference = item(ReferencedSOPClassUID=EnhancedMRImageStorage, ReferencedSOPInstanceUID=f"{_ORGANIZATION}.{number}")
    if purpose is not None:
        reference.ReferencedFrameNumber = "1"
        reference.PurposeOfReferenceCodeSequence = purpose
    return reference


def _evidence(number: int) -> Sequence:
    series = item(SeriesInstanceUID=f"{_ORGANIZATION}.9", ReferencedSOPSequence=Sequence([_reference(number)]))
    return Sequence([item(StudyInstanceUID=STUDY, ReferencedSeriesSequence=Sequence([series]))])


def _code(value: str, scheme: str, meaning: str) -> Sequence:
    return Sequence([item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)])


_OF_CT = (
    "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness", "PixelSpacing",
    "RescaleIntercept", "RescaleSlope", "ConvolutionKernel", "KVP", "SourceImageSequence",
)  # fmt: skip


def _without_private(dataset: Dataset) -> Dataset:
    dataset.remove_private_tags()
    return dataset
