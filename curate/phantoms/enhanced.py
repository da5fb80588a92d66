"""A series as one enhanced multi-frame object (PS3.3 A.38, A.36): places, rescale and labels of stacks by frame.

The frames stand in the order of their numbers, which is none; slope and intercept change from frame to frame and give
the modality values of the classic images exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage

from curate.phantoms.headers import SeriesFacts, decimal, series_header
from curate.phantoms.people import Person
from curate.phantoms.planes import orientation_of_planes, position_of_slice
from curate.phantoms.sites import Site
from curate.phantoms.studies import AcquiredSeries, AcquiredStack

ENHANCED = {"CT": str(EnhancedCTImageStorage), "MR": str(EnhancedMRImageStorage)}

_SLOPES, _OFFSETS = (1.0, 0.5), (0, -8, -16)  # by frame number in turn; what is stored stays whole and above 0
_OF_CLASSIC = (  # attributes of the classic images that stand in functional groups or nowhere
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "KVP", "ConvolutionKernel", "EchoTime"),
    *("RepetitionTime", "EchoTrainLength", "ScanningSequence", "SequenceVariant", "ScanOptions", "InversionTime"),
    "MRAcquisitionType",
)
_LIVING = {"CT": ("122494006", "Cervical spine"), "MR": ("122496007", "Lumbar spine")}


def enhanced_header(site: Site, person: Person, series: AcquiredSeries) -> Dataset:
    """Every element of the object but its UID, number and pixels."""
    facts = series.facts
    header = series_header(site, person, facts)
    for keyword in _OF_CLASSIC:
        if keyword in header:
            del header[keyword]
    _, rows, columns = series.stacks[0].pixels.shape
    image = _image_words(facts)
    own = {
        "SOPClassUID": ENHANCED[facts.modality],
        "Rows": rows,
        "Columns": columns,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "NumberOfFrames": sum(len(stack.numbers) for stack in series.stacks),
        "DeviceSerialNumber": "4711",
        "ContentQualification": "PRODUCT",
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY",
        "AcquisitionDateTime": person.study_date + person.study_time,
        "AcquisitionDuration": 2.5,
        "AcquisitionContextSequence": Items([]),
        **image,
        **(_MR if facts.modality == "MR" else {}),
        **_dimensions(facts),
        "SharedFunctionalGroupsSequence": Items([_shared(site, series, image)]),
        "PerFrameFunctionalGroupsSequence": Items(_frames(person, series)),
    }
    return _fill(header, own)


def enhanced_pixels(series: AcquiredSeries) -> NDArray[np.uint16]:
    """(frames, rows, columns) as stored."""
    frames = []
    for stack, k in _by_number(series):
        slope, intercept = _rescale(series.facts, int(stack.numbers[k]))
        values = stack.pixels[k].astype(np.int32) + series.facts.intercept
        frames.append(((values - intercept) / slope).astype(np.uint16))
    return np.stack(frames)


def _rescale(facts: SeriesFacts, number: int) -> tuple[float, int]:
    return _SLOPES[number % len(_SLOPES)], facts.intercept + _OFFSETS[number % len(_OFFSETS)]


def _by_number(series: AcquiredSeries) -> list[tuple[AcquiredStack, int]]:
    """Stack and slice of every frame, in their order."""
    found = {int(number): (stack, k) for stack in series.stacks for k, number in enumerate(stack.numbers)}
    return [found[number] for number in sorted(found)]


def _frames(person: Person, series: AcquiredSeries) -> list[Dataset]:
    moment = person.study_date + person.study_time
    stack_ids = {id(stack): n + 1 for n, stack in enumerate(series.stacks)}
    found = []
    for stack, k in _by_number(series):
        grid, stack_id = stack.grid, stack_ids[id(stack)]
        slope, intercept = _rescale(series.facts, int(stack.numbers[k]))
        content = {
            "FrameAcquisitionDateTime": moment,
            "FrameReferenceDateTime": moment,
            "FrameAcquisitionDuration": 1000.0,
            "FrameAcquisitionNumber": 1,
            "StackID": str(stack_id),
            "InStackPositionNumber": k + 1,
            "DimensionIndexValues": [stack_id, k + 1],
        }
        spacing = [decimal(round(step, 6)) for step in grid.spacing_mm[1:]]
        planes = [decimal(x) for x in orientation_of_planes(grid)]
        measures = {"PixelSpacing": spacing, "SliceThickness": decimal(round(grid.spacing_mm[0], 4))}
        units = "HU" if series.facts.modality == "CT" else "US"
        groups: dict[str, Mapping[str, Any]] = {
            "FrameContentSequence": content,
            "PlanePositionSequence": {"ImagePositionPatient": [decimal(x) for x in position_of_slice(grid, k)]},
            "PlaneOrientationSequence": {"ImageOrientationPatient": planes},
            "PixelMeasuresSequence": measures,
            "PixelValueTransformationSequence": {
                "RescaleIntercept": str(intercept),
                "RescaleSlope": decimal(slope),
                "RescaleType": units,
            },
        }
        found.append(_groups(groups))
    return found


def _shared(site: Site, series: AcquiredSeries, image: Mapping[str, Any]) -> Dataset:
    facts = series.facts
    value, meaning = _LIVING[facts.modality]
    region = {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}
    frame_type = {"FrameType": image["ImageType"], **{name: image[name] for name in image if name != "ImageType"}}
    groups: dict[str, Mapping[str, Any]] = {
        "FrameAnatomySequence": {"FrameLaterality": "U", "AnatomicRegionSequence": Items([_item(region)])}
    }
    if facts.modality == "CT":
        groups |= {
            "CTImageFrameTypeSequence": frame_type,
            "CTReconstructionSequence": {**_RECONSTRUCTION, "ConvolutionKernel": site.kernel},
            "CTXRayDetailsSequence": _BEAM,
            "IrradiationEventIdentificationSequence": {"IrradiationEventUID": _uid_under(facts, 2)},
        }
    else:
        echo = {"T1": 11.0, "T2": 98.0, "STIR": 42.0}[facts.weighting]
        groups |= {"MRImageFrameTypeSequence": frame_type, "MREchoSequence": {"EffectiveEchoTime": echo}}
    return _groups(groups)


def _dimensions(facts: SeriesFacts) -> dict[str, Any]:
    """Frames are told apart by stack and by position in it (PS3.3 C.7.6.17)."""
    organisation = _uid_under(facts, 1)
    indices = [
        _item(
            {
                "DimensionOrganizationUID": organisation,
                "DimensionIndexPointer": pointer,
                "FunctionalGroupPointer": 0x00209111,
            }
        )
        for pointer in (0x00209056, 0x00209057)
    ]
    return {
        "DimensionOrganizationSequence": Items([_item({"DimensionOrganizationUID": organisation})]),
        "DimensionIndexSequence": Items(indices),
    }


def _uid_under(facts: SeriesFacts, number: int) -> str:
    return f"{facts.series_uid}.{number}"


def _image_words(facts: SeriesFacts) -> dict[str, Any]:
    words: dict[str, Any] = {
        "ImageType": ["DERIVED", "PRIMARY", "VOLUME", "NONE"],
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
    }
    if facts.modality == "MR":
        words |= {"ComplexImageComponent": "MAGNITUDE", "AcquisitionContrast": facts.weighting}
    return words


_RECONSTRUCTION = {  # PS3.3 C.8.15.3.7
    "ReconstructionAlgorithm": "FILTER_BACK_PROJ",
    "ConvolutionKernelGroup": "BONE",
    "ReconstructionDiameter": "160",
    "ReconstructionPixelSpacing": [1.0, 1.0],
    "ReconstructionAngle": 360.0,
    "ImageFilter": "NONE",
}
_BEAM = {"KVP": "120", "FocalSpots": 0.9, "FilterType": "NONE", "FilterMaterial": "ALUMINUM"}  # C.8.15.3.9
_MR = {
    "ResonantNucleus": "1H",
    "KSpaceFiltering": "NONE",
    "MagneticFieldStrength": 1.5,
    "ApplicableSafetyStandardAgency": "IEC",
}


def _groups(groups: Mapping[str, Mapping[str, Any]]) -> Dataset:
    return _item({name: Items([_item(group)]) for name, group in groups.items()})


def _item(values: Mapping[str, Any]) -> Dataset:
    return _fill(Dataset(), values)


def _fill(dataset: Dataset, values: Mapping[str, Any]) -> Dataset:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
