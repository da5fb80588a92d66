"""The spec that curates an archive of phantoms as it lies, and its key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from curate.phantoms.sites import Site

_LABELS = {
    "cervical": {
        "train": "labels/train.csv",
        "boxes": "labels/train_bounding_boxes.csv",
        "segmentations": "labels/segmentations",
    },
    "lumbar": {
        "train": "labels/train.csv",
        "coordinates": "labels/train_label_coordinates.csv",
        "series_descriptions": "labels/train_series_descriptions.csv",
    },
}
_LAYOUTS = {
    "cervical": "train_images/{study}/{instance}.dcm",
    "lumbar": "train_images/{study}/{series}/{instance}.dcm",
}
_SPACING = {"cervical": "[1.5, 1.5, 1.5]", "lumbar": '["source", 1.25, 1.25]'}


def write_spec(out: Path, task: str, sites: Sequence[Site], secret: int) -> Path:
    """Write ``spec.toml`` and ``curate.key`` (64 hexadecimal digits, readable by the owner only)."""
    key = out / "curate.key"
    key.touch(mode=0o600)
    os.chmod(key, 0o600)
    key.write_text(f"{secret:064x}\n", encoding="ascii")
    spec = out / "spec.toml"
    spec.write_text(_spec_text(task, sites), encoding="utf-8")
    return spec


def _spec_text(task: str, sites: Sequence[Site]) -> str:
    lines = [f'name = "{task}-phantoms"', f'task = "{task}"', 'store = "store"', ""]
    for site in sites:
        lines += ["[[sites]]", f'name = "{site.name}"', f'archives = ["{site.archive}"]']
        lines += [f'layout = "{_LAYOUTS[task]}"', "assume_modality = true"] if site.is_bare else []
        lines += [""]
    lines += ["[labels]", *(f'{name} = "{path}"' for name, path in _LABELS[task].items()), ""]
    lines += ["[deid]", 'profile = "basic"', 'key = "file:curate.key"', ""]
    lines += ["[volumes]", 'orientation = "radiological"', f"spacing_mm = {_SPACING[task]}", ""]
    lines += [
        "[split]",
        'salt = "phantoms"',
        "validation_fraction = 0.2",
        "test_fraction = 0.2",
        "holdout_sites = []",
        "",
    ]
    lines += ["[release]", f'name = "{task}-phantoms"', 'version = "1.0.0"', 'licence = "CC0-1.0"']
    lines += [f'title = "Synthetic {task} spine studies"', ""]
    lines += ["[train]", "epochs = 30", "batch_size = 4", "learning_rate = 3e-3", "workers = 2", "seed = 0"]
    return "\n".join(lines) + "\n"
