"""What a reader of a score should know of the crops that it was made from."""

from __future__ import annotations

from collections.abc import Sequence

from curate.loading import StudySample


def about_crops(samples: Sequence[StudySample], *, is_located: bool = False) -> tuple[str, ...]:
    """How many crops are missing, and how many lie where other patients have theirs."""
    crops = [crop for sample in samples for crop in sample.crops]
    absent = sum(crop is None for crop in crops)
    estimated = sum(crop is not None and crop.is_estimated for crop in crops)
    warnings = []
    if absent:
        why = "no volume to come from or lie outside of it" if is_located else "no volume to come from"
        warnings.append(f"{absent} of {len(crops)} crops have {why}: answered from the prior")
    if estimated:
        how = "where what was found around says" if is_located else "at the mean place: no mask or point says where"
        warnings.append(f"{estimated} of {len(crops)} crops lie {how}")
    return tuple(warnings)
