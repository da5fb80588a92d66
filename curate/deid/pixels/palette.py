"""Colours of a palette image (PS3.3 C.7.6.3.1.5), so that text can be looked for in what a person sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curate.deid.header import Header

_DESCRIPTORS, _TABLES = (0x00281101, 0x00281102, 0x00281103), (0x00281201, 0x00281202, 0x00281203)


def palette_of(header: Header) -> NDArray[np.uint8] | None:
    """(index, 3) colours from index 0 on; None when the header has no palette, or a segmented one."""
    channels = [_channel(header, descriptor, table) for descriptor, table in zip(_DESCRIPTORS, _TABLES, strict=True)]
    found = [channel for channel in channels if channel is not None]
    if len(found) != 3 or len({len(channel) for channel in found}) != 1:
        return None
    return np.stack(found, axis=-1)


def _channel(header: Header, descriptor: int, table: int) -> NDArray[np.uint8] | None:
    order = "<" if header.file.syntax.little else ">"
    numbers = np.frombuffer(header.value(descriptor)[:6], f"{order}u2").tolist()
    if len(numbers) != 3:
        return None
    entries, first, bits = numbers[0] or 65536, numbers[1], numbers[2]
    value = header.value(table)
    if len(value) >= 2 * entries:
        values = np.frombuffer(value, f"{order}u2", count=entries)
        colours = (values >> 8 if bits == 16 and values.max() > 255 else values).astype(np.uint8)
    elif len(value) >= entries:
        colours = np.frombuffer(value, np.uint8, count=entries)
    else:
        return None
    before = np.repeat(colours[:1], first) if first < 65536 - entries else colours[:0]
    return np.concatenate((before, colours))
