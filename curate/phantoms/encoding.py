"""DICOM files (PS3.10) made fast: what a series shares is encoded once, each image adds its own elements and pixels.

Pixels are encoded without loss, for native, deflated, RLE, JPEG lossless, JPEG-LS, JPEG 2000 and HTJ2K transfer
syntaxes (PS3.5 annex A).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import gdcm
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, HTJ2KLossless

IMPLEMENTATION_UID, IMPLEMENTATION_NAME = "2.25.301766034420915163021170486215743026541", "PHANTOM_1"
_LONG = {"OB", "OW", "SQ", "UN", "UT"}  # explicit VRs with a 32-bit length (PS3.5 7.1.2)
_WORDS = {"US", "OW"}
_DELIMITER = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
PIXEL_DATA = 0x7FE00010

Element = tuple[str, bytes]  # VR, value before padding


class FileEncoder:
    """Encodes the images of one series. ``header``: the shared elements; ``preamble``: 128 bytes."""

    def __init__(self, header: Dataset, sop_class: str, syntax: str, *, title: str = "", preamble: bytes = bytes(128)):
        self._syntax, self._sop_class, self._title, self._preamble = UID(syntax), sop_class, title, preamble
        self._is_implicit, self._is_little = self._syntax.is_implicit_VR, self._syntax.is_little_endian
        encodings = convert_encodings(header.get("SpecificCharacterSet", "ISO_IR 6"))
        self._shared = {
            int(element.tag): self._encode_shared(header, int(element.tag), encodings) for element in header
        }

    def encode(self, instance_uid: str, elements: Mapping[int, Element], pixels: NDArray[np.generic]) -> bytes:
        """A whole file. ``elements``: those of this image by tag, which replace shared ones; ``pixels``: 16 bit, (rows,
        columns) or (frames, rows, columns)."""
        parts = dict(self._shared)
        for tag, (vr, value) in elements.items():
            parts[tag] = self._element(tag, vr, value)
        parts[PIXEL_DATA] = self._pixel_element(pixels)
        body = b"".join(parts[tag] for tag in sorted(parts))
        if self._syntax == DeflatedExplicitVRLittleEndian:
            squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
            body = squeeze.compress(body) + squeeze.flush()
            body += b"\0" * (len(body) % 2)
        return self._preamble + b"DICM" + self._meta(instance_uid) + body

    def _encode_shared(self, header: Dataset, tag: int, encodings: list[str]) -> bytes:
        single = Dataset()
        single.add(header[tag])
        target = DicomBytesIO()
        target.is_implicit_VR, target.is_little_endian = self._is_implicit, self._is_little
        write_dataset(target, single, encodings)
        return bytes(target.getvalue())

    def _pixel_element(self, pixels: NDArray[np.generic]) -> bytes:
        value = encode_pixels(pixels, self._syntax)
        if not self._syntax.is_encapsulated:
            return self._element(PIXEL_DATA, "OW", value)
        return struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF) + value + _DELIMITER

    def _element(self, tag: int, vr: str, value: bytes) -> bytes:
        return _element(tag, vr, value, is_implicit=self._is_implicit, is_little=self._is_little)

    def _meta(self, instance_uid: str) -> bytes:
        values = {
            0x00020001: ("OB", b"\0\1"),
            0x00020002: ("UI", self._sop_class.encode()),
            0x00020003: ("UI", instance_uid.encode()),
            0x00020010: ("UI", str(self._syntax).encode()),
            0x00020012: ("UI", IMPLEMENTATION_UID.encode()),
            0x00020013: ("SH", IMPLEMENTATION_NAME.encode()),
        }
        if self._title:
            values[0x00020016] = ("AE", self._title.encode())
        group = b"".join(_element(tag, vr, value, is_implicit=False) for tag, (vr, value) in values.items())
        return _element(0x00020000, "UL", struct.pack("<L", len(group)), is_implicit=False) + group


def text(*values: object) -> bytes:
    """A value of a string element, several joined by backslashes."""
    return "\\".join(str(value) for value in values).encode()


def encode_pixels(pixels: NDArray[np.generic], syntax: str) -> bytes:
    """The value of PixelData: native little endian, or encapsulated. ``pixels``: 16 bit, one frame or several."""
    native = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    if UID(syntax).is_encapsulated:
        frames = native.reshape(-1, *native.shape[-2:])
        return encapsulate([_compress(frame, syntax) for frame in frames], has_bot=True)
    return native.tobytes()


def _element(tag: int, vr: str, value: bytes, *, is_implicit: bool, is_little: bool = True) -> bytes:
    """``value`` in little endian; of numbers only 16-bit ones are turned about."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    group, number = tag >> 16, tag & 0xFFFF
    if is_implicit:
        return struct.pack("<HHL", group, number, len(value)) + value
    if not is_little and vr in _WORDS:
        value = np.frombuffer(value, "<u2").astype(">u2").tobytes()
    layout = "HH2s2xL" if vr in _LONG else "HH2sH"
    return struct.pack(("<" if is_little else ">") + layout, group, number, vr.encode(), len(value)) + value


def _compress(pixels: NDArray[np.generic], syntax: str) -> bytes:
    """The codestream of one frame, by GDCM, which knows all but HTJ2K. Raises RuntimeError when GDCM refuses."""
    if syntax == HTJ2KLossless:
        return bytes(imagecodecs.htj2k_encode(pixels))
    rows, columns = pixels.shape
    is_signed = int(np.issubdtype(pixels.dtype, np.signedinteger))
    writer = gdcm.ImageWriter()  # owns the image: GDCM's Python images do not live alone
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 16, 15, is_signed))
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(pixels.tobytes())
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(image)
    if not change.Change():
        raise RuntimeError("GDCM refused to compress a frame")
    fragment = change.GetOutput().GetDataElement().GetSequenceOfFragments().GetFragment(0)
    return bytes(fragment.GetByteValue().GetBuffer().encode("utf-8", "surrogateescape"))
