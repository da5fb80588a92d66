"""A header row that identifies becomes a catalogue row that does not. The only place where the one meets the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from curate.deid.pseudonyms import Pseudonyms, is_well_known, patient_key
from curate.manifests.schemas import INSTANCES

_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # ids name folders where they stay as they are
# Words that decide what a series is. Any other text in these attributes could be anything, a name included.
_WORDS = {
    "modality": frozenset(
        [
            "CR",
            "CT",
            "DX",
            "ECG",
            "IO",
            "MG",
            "MR",
            "NM",
            "OT",
            "PR",
            "PT",
            "PX",
            "RF",
            "RTDOSE",
            "RTPLAN",
            "RTSTRUCT",
            "SEG",
            "SR",
            "US",
            "XA",
            "XC",
        ]
    ),
    "conversion_type": frozenset(["DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"]),  # PS3.3 C.8.6.1.1.1
    "burned_in_annotation": frozenset(("YES", "NO")),
    "photometric_interpretation": frozenset(
        ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
    ),
    "image_type": frozenset(
        [
            "ORIGINAL",
            "DERIVED",
            "PRIMARY",
            "SECONDARY",
            "AXIAL",
            "LOCALIZER",
            "SCOUT",
            "REFORMATTED",
            "MPR",
            "MIP",
            "MINIP",
            "AVERAGE",
            "VOLUME",
            "OTHER",
            "M",
            "P",
            "R",
            "I",
            "ND",
            "NORM",
            "DIS2D",
            "DIS3D",
            "FFE",
            "SE",
            "T1",
            "T2",
            "STIR",
            "PROJECTION_IMAGE",
            "CT_SOM5",
            "HELIX",
            "SCREEN_SAVE",
            "POST_PROCESSED",
            "NONE",
            "MIXED",
            "MAGNITUDE",
            "PHASE",
            "REAL",
            "IMAGINARY",
            "PHASE_MAP",
            "MOSAIC",
            "DIFFUSION",
            "ADC",
            "TRACEW",
            "FA",
            "W",
            "F",
            "WATER",
            "FAT",
            "IN_PHASE",
            "OUT_PHASE",
            "OPP_PHASE",
        ]
    )
    | {"SCREEN SAVE"},
}
_FRAME_WORDS = {
    "image_type": _WORDS["image_type"],
    "complex_component": frozenset(("MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "MIXED")),  # PS3.3 C.8.13.3.1.1
    "diffusion_directionality": frozenset(("DIRECTIONAL", "BMATRIX", "ISOTROPIC", "NONE")),  # C.8.13.5.9
}
_FRAME_TEXTS = {"convolution_kernel": "kernel_key", "stack_id": "stack_key"}  # tell apart by a digest alone
_OTHER = "OTHER"
_NUMBERS = re.compile(r"[-+0-9.e\\]{1,200}")
_KEPT = [name for name in INSTANCES.names if name not in {"stack", "position_in_stack", "reason"}]


def ids_from_path(member: str, layout: str) -> dict[str, str]:
    """The ids that a folder layout names, such as ``{study}`` in ``train_images/{study}/{instance}.dcm``.

    The layout matches the end of the path; ``*`` stands for one folder of any name. Empty where it does not match.
    """
    found = _pattern(layout).fullmatch(PurePosixPath(member).as_posix())
    return found.groupdict() if found else {}


def keyed_instance(
    header: Mapping[str, Any], *, site: str, layout: str | None, pseudonyms: Pseudonyms
) -> dict[str, Any]:
    """The INSTANCES row of one readable header (HEADER_SCHEMA values); ids become keys, technical values stay.

    Ids that the layout names come from the path, the others from the header. Any of ``study_key``, ``series_key`` and
    ``instance_key`` is None where neither has it, or where it would stay as it is and is no plain name. Of attributes
    that hold words, known ones are kept and any other text is OTHER; a convolution kernel, of which every vendor has
    words of its own, is told from others by a digest. ``frames``: what ``read_frames`` gives, or absent.
    """
    named = ids_from_path(header["member"], layout) if layout else {}
    study = named.get("study") or header["study_instance_uid"]
    series = named.get("series") or header["series_instance_uid"]
    number = header["instance_number"]
    if number is None and named.get("instance", "").isdecimal():
        number = int(named["instance"])
    row = {name: header.get(name) for name in _KEPT}
    row |= {name: _words(header.get(name), words) for name, words in _WORDS.items()}
    row |= {name: _uid(header.get(name)) for name in ("sop_class_uid", "transfer_syntax_uid")}
    row |= {
        "site": site,
        "patient_key": patient_key(
            pseudonyms,
            patient_id=header["patient_id"] or "",
            study_uid=header["study_instance_uid"] or study or "",
            issuer=header["issuer_of_patient_id"] or "",
            site=site,
        ),
        "study_key": _key(study, pseudonyms),
        "series_key": _key(series, pseudonyms),
        "instance_key": _key(header["sop_instance_uid"], pseudonyms),
        "instance_number": number,
        "kernel_key": _digest(header.get("convolution_kernel"), "kernel_key", pseudonyms),
        "frames": _keyed_frames(header.get("frames"), pseudonyms),
    }
    return row


def _keyed_frames(frames: Sequence[Mapping[str, Any]] | None, pseudonyms: Pseudonyms) -> list[dict[str, Any]] | None:
    """What ``read_frames`` gives, with (name, value) pairs of numbers, known words and digests as ``kind``."""
    if frames is None:
        return None
    return [{**frame, "kind": _keyed_kind(frame["kind"], pseudonyms)} for frame in frames]


def _keyed_kind(kind: Mapping[str, str], pseudonyms: Pseudonyms) -> list[dict[str, str | None]]:
    pairs: dict[str, str | None] = {}
    for name, value in kind.items():
        if name in _FRAME_TEXTS:
            pairs[_FRAME_TEXTS[name]] = _digest(value, _FRAME_TEXTS[name], pseudonyms)
        elif name in _FRAME_WORDS:
            pairs[name] = _words(value, _FRAME_WORDS[name])
        else:
            pairs[name] = value if _NUMBERS.fullmatch(value) else _OTHER
    return [{"name": name, "value": value} for name, value in pairs.items()]


def _digest(value: str | None, domain: str, pseudonyms: Pseudonyms) -> str | None:
    return pseudonyms.digest(value.encode("utf-8", "surrogatepass"), domain)[:16] if value else None


def _key(value: str | None, pseudonyms: Pseudonyms) -> str | None:
    key = pseudonyms.uid(value) if value else ""
    return key if _PLAIN_ID.fullmatch(key) else None


def _words(value: str | None, known: frozenset[str]) -> str | None:
    """Known words of a multi-valued text, joined by backslashes; null stays null."""
    if value is None:
        return None
    return "\\".join(word if word in known else _OTHER for word in map(str.strip, value.upper().split("\\")))


def _uid(value: str | None) -> str | None:
    return value if value is None or is_well_known(value) else _OTHER


@lru_cache
def _pattern(layout: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\}|\*)", layout)
    regex = "".join(
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else "[^/]+" if part == "*" else re.escape(part)
        for part in parts
    )
    return re.compile(f"(?:.*/)?{regex}")
