"""README.md of a release: the dataset card.

Every number in it is rendered by ``number_blocks`` from the one ``Counts`` record, so ``verify`` can render the blocks
again from what it counted itself and look for them word for word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curate.release.counts import UNITS, Counts, label_names
from curate.release.description import PUBLIC_SPLITS, SPLITS
from curate.release.sums import SUMS

MODALITY = {
    "cervical": "cervical spine CT (fracture labels a vertebra)",
    "lumbar": "lumbar spine MR (stenosis grades a level)",
}

_LAYOUT = {
    "cervical": """\
| path | what |
|---|---|
| `<split>_images/<study>/<slice_number>.dcm` | de-identified DICOM; a study of several series has a folder for each |
| `train.csv`, `validation.csv` | StudyInstanceUID, patient_overall, C1..C7: 1 is fractured |
| `<split>_bounding_boxes.csv` | x, y: upper left corner in pixels; slice_number is InstanceNumber, or frame |
| `test.csv`, `sample_submission.csv` | rows to predict; their labels are not in this folder |""",
    "lumbar": """\
| path | what |
|---|---|
| `<split>_images/<study>/<series>/<instance_number>.dcm` | de-identified DICOM |
| `train.csv`, `validation.csv` | a grade for each condition and level; blank is not graded |
| `<split>_label_coordinates.csv` | x: column, y: row, in pixels of the named instance or frame |
| `<split>_series_descriptions.csv` | Sagittal T1, Sagittal T2/STIR or Axial T2 |
| `sample_submission.csv` | rows to predict; their labels are not in this folder |""",
}

_FILES = """\
| `<SOPInstanceUID>.dcm` among the images | an object of many frames; what names a slice of it names the frame, from 1 |
| `split.csv` | which patient, study and site belongs to which split; a patient is in one split only |
| `exclusions.csv` | every series that is not in this release, with its reason |
| `manifests/*.parquet` | series, volumes, slices, samples and places of labels; paths are relative to this folder |
| `volumes/<study>/<series>/<stack>.zarr` | OME-Zarr 0.5 volumes; the LPS affine is under the attribute `spine_curate` |
| `DEIDENTIFICATION.md` | what was done to protect patients, and the risk that remains |
| `manifests/audit.parquet` | how each image was de-identified; its rows are chained by digests |
| `release.json` | names, numbers and settings, for machines |
| `SHA256SUMS` | digest of every other file: `sha256sum -c SHA256SUMS` |"""

_LOADER = """\
```python
import pyarrow.parquet as pq
from curate.volumes import open_volume

samples = pq.read_table("manifests/samples.parquet").to_pylist()
for sample in samples:
    for uri in sample["volumes"]:
        volume = open_volume(uri)
        voxels = volume.read()      # (k, j, i); volume.grid.affine maps indices to LPS millimetres
```"""


def render_card(facts: Mapping[str, Any], counts: Counts) -> bytes:
    """The card, UTF-8. ``facts``: the descriptive part of ``release.json``."""
    task = facts["task"]
    statement = facts["deidentification"]
    key = statement["key_fingerprint"] or "none: identifiers of the public source are kept"
    sections = [
        f"# {facts['title']}",
        f"{facts['name']} {facts['version']}: {MODALITY[task]}.",
        *number_blocks(counts, task),
        "## Layout",
        f"{_LAYOUT[task]}\n{_FILES}",
        f"Volumes: orientation {facts['orientation']}, spacing {_spacing(facts['spacing_mm'])} mm along (k, j, i).",
        "## Loading",
        _LOADER,
        "## De-identification",
        f"Profile `{statement['profile']}`, DICOM PS3.15 Table E.1-1 edition {statement['edition']}. Key: {key}.",
        _table(("code", "option (CID 7050)"), statement["options"]),
        "Remaining risk: faces and unusual anatomy can identify a person; do not try to. More: `DEIDENTIFICATION.md`.",
        "## Terms",
        f"Licence: {facts['licence']}",
        f"Citation: {facts['citation'] or 'none given'}",
        "## Checking",
        f"`sha256sum -c {SUMS}`, or `curate verify .`, which also checks references, numbers and headers.",
    ]
    return ("\n\n".join(sections) + "\n").encode()


def number_blocks(counts: Counts, task: str) -> list[str]:
    """Each block of the card that states numbers, under its heading."""
    marks = "boxes" if task == "cervical" else "points"
    splits = [(split, *(counts.splits[split][unit] for unit in UNITS)) for split in SPLITS]
    total = ("all", *(counts.total(unit) for unit in UNITS))
    sites = [(site, *(counts.sites[site][split] for split in SPLITS)) for site in counts.sites]
    return [
        "## Numbers\n\n" + _table(("split", *UNITS), [*splits, total]),
        "## Studies a site\n\n" + _table(("site", *SPLITS), sites),
        *(_label_block(counts, split, task) for split in PUBLIC_SPLITS),
        "## Annotations\n\n"
        + _table(("split", marks), [(split, counts.annotations[split]) for split in PUBLIC_SPLITS]),
        "## Series left out\n\n"
        + _table(("reason", "series"), [(r or "no label row", n) for r, n in counts.excluded.items()]),
        f"## Size\n\nImages: {counts.image_bytes} bytes. Volumes: {counts.volume_bytes} bytes.",
    ]


def constant_lines() -> frozenset[str]:
    """Lines that stand in every card, whatever the data: a name that is also a word of these is no leak."""
    return frozenset("\n".join([*_LAYOUT.values(), _FILES, _LOADER]).splitlines())


def _label_block(counts: Counts, split: str, task: str) -> str:
    names = label_names(task)
    rows = [(target, *(labels[name] for name in names)) for target, labels in counts.labels[split].items()]
    return f"## Labels, {split}\n\n" + _table(("target", *names), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _spacing(spacing: Sequence[float | None]) -> str:
    return " x ".join("as acquired" if value is None else f"{value:g}" for value in spacing)
