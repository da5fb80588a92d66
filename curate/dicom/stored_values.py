"""From words as a file or a decoder gives them to stored values (PS3.5 8.1.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stored_values(
    words: NDArray[np.unsignedinteger], *, bits_stored: int, shift: int, is_signed: bool
) -> NDArray[np.integer]:
    """Cut the stored bits out of unsigned words and extend the sign -> C order, native byte order.

    ``words``: uint8, uint16 or uint32 of any byte order and alignment, any shape; ``shift``: bits below the stored
    ones. Words that are stored values already come back as they are, read-only, without a copy; others in a new array.
    """
    width = words.dtype.itemsize
    unused = 8 * width - bits_stored
    values: NDArray[np.integer]
    word = np.dtype(f"=u{width}").type
    if shift == 0 and not is_signed and _is_plain(words, bits_stored):
        values = words.view()
        values.flags.writeable = False
        return values
    if unused == 0:
        return words.astype(word, order="C", copy=True).view(f"=i{width}" if is_signed else word)
    if is_signed:
        values = np.left_shift(words, word(unused - shift), order="C").view(f"=i{width}")
        values >>= values.dtype.type(unused)  # arithmetic: copies the sign down
        return values
    if shift == 0:
        values = np.bitwise_and(words, word((1 << bits_stored) - 1), order="C")
        return values
    values = np.right_shift(words, word(shift), order="C")
    values &= word((1 << bits_stored) - 1)
    return values


def _is_plain(words: NDArray[np.unsignedinteger], bits_stored: int) -> bool:
    """Whether the words lie as they come back, with nothing above the stored bits."""
    if not (words.dtype.isnative and words.flags.c_contiguous and words.flags.aligned):
        return False
    return bits_stored == 8 * words.dtype.itemsize or not words.size or int(words.max()) >> bits_stored == 0
