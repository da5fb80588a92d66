"""A synthetic multi-site archive with planted truth, and a spec that curates it as it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import Misconfigured
from curate.phantoms.archives import Archive, open_archive
from curate.phantoms.draws import digest, generator
from curate.phantoms.people import Person, plain_person, planted_person
from curate.phantoms.sites import Site, list_sites
from curate.phantoms.specs import write_spec
from curate.phantoms.tables import LabelTables, write_mask
from curate.phantoms.truth import Truth
from curate.phantoms.work import TASKS, Work, make_work, plan_work, plant_label_defects


@dataclass(frozen=True, slots=True)
class PhantomSummary:
    """What was made. ``files`` and ``size_bytes`` count DICOM files before packing."""

    folder: Path
    spec: Path
    task: str
    sites: tuple[str, ...]
    studies: int
    series: int
    files: int
    size_bytes: int


def make_phantoms(
    out: Path,
    *,
    task: str,
    sites: int,
    studies: int,
    seed: int,
    defects: bool = False,
    identifiers: bool = False,
    matrix: int = 128,
) -> PhantomSummary:
    """Write an archive of ``studies`` sound studies spread over ``sites`` sites into the new folder ``out``.

    ``defects``: broken series (each in a study of its own, added to the sound ones) and stray series, files and labels.
    ``identifiers``: patients' names, ids, dates and the like in headers, private elements, file meta and paths.

    ``task``: cervical | lumbar. ``matrix``: pixels across an axial image; the field stays, more are smaller.
    Equal arguments give equal bytes. Raises Misconfigured when ``out`` holds something or an argument is out of range.
    """
    if task not in TASKS:
        raise Misconfigured(f"task: expected cervical or lumbar, got {task}")
    if not 1 <= sites <= 26 or studies < 1 or not 32 <= matrix <= 1024:
        raise Misconfigured("expected 1 to 26 sites, at least one study, and a matrix of 32 to 1024")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Misconfigured("the output folder is not empty")
    out.mkdir(parents=True, exist_ok=True)
    truth, tables = Truth(), LabelTables(task)
    places = list_sites(sites)
    work = plan_work(task, places, studies, seed, defects=defects)
    files = size = 0
    for site in places:
        with open_archive(out / site.archive, site.container) as archive:
            for one in work:
                if one.site == site:
                    count, written = _write(out, archive, one, seed, matrix, identifiers, truth, tables)
                    files, size = files + count, size + written
    if defects:
        plant_label_defects(tables, truth, task, seed)
    tables.write(out / "labels")
    truth.write(out / "truth")
    spec = write_spec(out, task, places, digest(seed, task, "curation key"))
    names = tuple(site.name for site in places)
    series = sum(row.get("series") is not None for row in truth.rows("expected"))
    return PhantomSummary(out, spec, task, names, len(work), series, files, size)


def _write(
    out: Path,
    archive: Archive,
    work: Work,
    seed: int,
    matrix: int,
    identifiers: bool,
    truth: Truth,
    tables: LabelTables,
) -> tuple[int, int]:
    """Make one study and everything planted around it; returns the number of files and their bytes."""
    person = _person(seed, work.site, work.visit, planted=identifiers)
    study, files = make_work(work, seed, matrix, person, truth)
    for file in files:
        archive.add(file.path, file.content)
    for table, values in study.label_rows:
        tables.add(table, *values)
    if study.mask is not None:
        write_mask(out / "labels" / "segmentations" / f"{study.name}.nii", study.mask, study.series[0].stacks[0].grid)
    return len(files), sum(len(file.content) for file in files)


def _person(seed: int, site: Site, visit: int, *, planted: bool) -> Person:
    """Who comes: every sixth visit to a site is the patient of the visit before."""
    patient = visit - 1 if visit % 6 == 5 else visit
    number = f"{site.name[-1].upper()}{patient:04d}"
    draw = generator(seed, "person", site.name, patient)
    return planted_person(draw, number) if planted else plain_person(draw, number)
