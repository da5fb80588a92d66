"""How sites differ, as data: scanner, sampling, numbering, pixel encoding, private elements, packing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)


@dataclass(frozen=True, slots=True)
class Site:
    """One contributing hospital.

    ``container``: folder | zip | tar.gz | tar | kaggle (a folder in the layout of the challenge downloads, headers of
    some 25 elements). ``numbers_upwards``: whether InstanceNumber grows along the slice normal. ``spacing_factor``,
    ``matrix_factor``: sampling against the default. ``is_enhanced``: a series is one enhanced multi-frame object, its
    frames in no order.
    """

    name: str
    container: str
    manufacturer: str
    model: str
    transfer_syntax: str
    signed: bool
    numbers_upwards: bool
    shuffled_names: bool
    spacing_factor: float
    matrix_factor: tuple[float, float]  # rows, columns
    slice_factor: float
    kernel: str
    noise: float
    gain: float
    stir: bool
    splits_axial: bool  # the axial stacks come as two series
    private_creator: str | None
    is_enhanced: bool = False

    @property
    def archive(self) -> str:
        """Name of the folder or file in the phantom's output folder."""
        suffix = {"zip": ".zip", "tar.gz": ".tar.gz", "tar": ".tar"}.get(self.container, "")
        return self.name + suffix

    @property
    def is_bare(self) -> bool:
        """Whether headers hold no more than those of the challenge downloads."""
        return self.container == "kaggle"


_KINDS = (
    Site("a", "folder", "SIEMENS", "Phantom Definition", ExplicitVRLittleEndian, False, True, False,
         1.0, (1.0, 1.0), 1.0, "Br59", 18.0, 1.0, False, False, "PHANTOM SCANNER A 01"),
    Site("b", "zip", "GE MEDICAL SYSTEMS", "Phantom Revolution", JPEGLosslessSV1, True, False, True,
         0.95, (1.0625, 1.0625), 0.9, "BONEPLUS", 24.0, 1.6, False, True, "PHANTOM_GX_01"),
    Site("c", "tar.gz", "Philips", "Phantom Ingenuity", RLELossless, False, False, True,
         1.04, (1.0, 0.9375), 1.0, "YC", 21.0, 0.7, True, False, "Phantom Imaging DD 001"),
    Site("d", "kaggle", "", "", ImplicitVRLittleEndian, False, False, False,
         1.0, (1.0, 1.0), 1.1, "", 20.0, 1.2, False, False, None),
    Site("e", "tar", "TOSHIBA", "Phantom Aquilion", DeflatedExplicitVRLittleEndian, True, True, False,
         1.06, (0.9375, 0.9375), 1.0, "FC30", 26.0, 0.85, False, False, "PHANTOM_TX_CT3"),
    Site("f", "folder", "Philips", "Phantom Spectral", ExplicitVRLittleEndian, False, True, False,
         1.02, (1.0, 0.9375), 0.9, "YD", 19.0, 1.1, False, False, "Phantom Imaging DD 002", is_enhanced=True),
    Site("g", "zip", "CANON", "Phantom Genesis", HTJ2KLossless, False, False, True,
         0.98, (0.9375, 1.0), 1.0, "FC35", 22.0, 1.3, True, True, "PHANTOM_CX_01"),
    Site("h", "tar", "SIEMENS", "Phantom Force", JPEG2000Lossless, True, True, False,
         1.0, (1.0625, 1.0), 1.0, "Br64", 17.0, 0.9, False, False, "PHANTOM SCANNER B 01"),
    Site("i", "tar.gz", "GE MEDICAL SYSTEMS", "Phantom Optima", JPEGLSLossless, False, True, True,
         1.03, (1.0, 1.0625), 1.1, "BONE", 23.0, 1.0, False, True, "PHANTOM_GX_02"),
    Site("j", "folder", "HITACHI", "Phantom Scenaria", ExplicitVRBigEndian, True, False, False,
         0.96, (0.9375, 0.9375), 1.0, "22", 25.0, 1.2, True, False, "PHANTOM_HX_01"),
    Site("k", "zip", "SIEMENS", "Phantom Alpha", JPEGLossless, False, True, False,
         1.0, (1.0, 1.0), 1.0, "Qr68", 16.0, 0.8, True, False, "PHANTOM SCANNER C 01", is_enhanced=True),
)  # fmt: skip


def list_sites(count: int) -> tuple[Site, ...]:
    """The first ``count`` sites (1..26); kinds repeat after the eleventh. Raises ValueError outside that range."""
    if not 1 <= count <= 26:
        raise ValueError("sites: expected 1 to 26")
    letters = "abcdefghijklmnopqrstuvwxyz"[:count]
    return tuple(replace(_KINDS[n % len(_KINDS)], name=f"site-{letter}") for n, letter in enumerate(letters))
