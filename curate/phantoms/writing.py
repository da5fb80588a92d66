"""Files of a study as its site stores them, and what is true of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.phantoms.draws import digest, generator, uid
from curate.phantoms.encoding import Element, FileEncoder, text
from curate.phantoms.enhanced import ENHANCED, enhanced_header, enhanced_pixels
from curate.phantoms.headers import image_elements, series_header
from curate.phantoms.identifiers import Planted, list_planted, plant, preamble, workstation
from curate.phantoms.people import Person
from curate.phantoms.sites import Site
from curate.phantoms.studies import AcquiredSeries, AcquiredStack, Study
from curate.phantoms.truth import Truth


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file. ``path``: in the archive; ``number``: its InstanceNumber."""

    path: str
    number: int
    content: bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """What is not shared of one file: its number, UID, elements and pixels."""

    number: int
    uid: str
    elements: dict[int, Element]
    pixels: NDArray[np.generic]


def series_files(
    study: Study, series: AcquiredSeries, site: Site, person: Person, seed: int
) -> tuple[list[ImageFile], list[Planted]]:
    """The images of a series by path, and what was planted in them."""
    facts = series.facts
    header = enhanced_header(site, person, series) if site.is_enhanced else series_header(site, person, facts)
    planted: list[Planted] = []
    title, lead = "", bytes(128)
    if person.is_planted:
        if not site.is_bare:
            plant(header, person)
        planted = list_planted(header, person)
        title, lead = workstation(person), preamble(person)
    sop_class = ENHANCED[facts.modality] if site.is_enhanced else facts.sop_class
    encoder = FileEncoder(header, sop_class, site.transfer_syntax, title=title, preamble=lead)
    images = [_enhanced_image(series, seed)] if site.is_enhanced else list(_classic_images(series, seed))
    order = np.arange(len(images))
    if site.shuffled_names:
        order = generator(seed, "names", facts.series_uid).permutation(len(images))
    files = []
    for position, image in zip(order, images, strict=True):
        for tag in facts.omitted:
            del image.elements[tag]
        path = _path(study, series, site, person, image.number, int(position))
        files.append(ImageFile(path, image.number, encoder.encode(image.uid, image.elements, image.pixels)))
    files.sort(key=lambda file: file.path)
    if person.is_planted and not site.is_bare and files[0].path.startswith(_folder_name(person)):
        planted.append(Planted("path", "path", _folder_name(person)))
    return files, planted


def _classic_images(series: AcquiredSeries, seed: int) -> Iterator[_Image]:
    numbered = [(int(stack.numbers[k]), stack, k) for stack in series.stacks for k in range(stack.grid.shape[0])]
    for number, stack, k in sorted(numbered, key=lambda one: one[0]):
        instance = uid(seed, "instance", series.facts.series_uid, number)
        elements = image_elements(stack.grid, k, instance, number, stack.pixels[k])
        yield _Image(number, instance, elements, stack.pixels[k])


def _enhanced_image(series: AcquiredSeries, seed: int) -> _Image:
    instance = uid(seed, "instance", series.facts.series_uid, 1)
    elements = {0x00080018: ("UI", text(instance)), 0x00200013: ("IS", text(1))}
    return _Image(1, instance, elements, enhanced_pixels(series))


def note_study(truth: Truth, study: Study, site: Site, person: Person, *, unsound: frozenset[str]) -> None:
    """Record where a study lies and where everything in it is. ``unsound``: names of series that cannot be used."""
    truth.note("studies", study=study.name, patient=person.patient_id, site=site.name, archive=site.archive)
    for series in study.series:
        for index, stack in enumerate(series.stacks if series.name not in unsound else ()):
            truth.note(
                "series", study=study.name, series=series.name, stack=index, site=site.name,
                modality=series.facts.modality, series_type=series.series_type or None,
                transfer_syntax_uid=str(site.transfer_syntax), shape=list(stack.grid.shape),
                affine=stack.grid.affine.ravel().tolist(), pixel_sha256=_pixel_digest(series, stack),
            )  # fmt: skip
    for kind, name, point in study.anatomy:
        truth.note("landmarks", study=study.name, kind=kind, name=name, point_mm=point, anatomy_mm=point)
    for mark in study.marks:
        if mark.series not in unsound:
            truth.note(
                "landmarks", study=study.name, series=mark.series, instance_number=mark.instance_number,
                kind=mark.kind, name=mark.name, column=mark.column, row=mark.row, point_mm=mark.point_mm,
                anatomy_mm=mark.anatomy_mm,
            )  # fmt: skip


def folder_of(study: Study, series: AcquiredSeries, site: Site, person: Person) -> str:
    """The folder of the archive in which the files of a series lie, without a slash at its end."""
    return _path(study, series, site, person, 1, 1).rpartition("/")[0]


def _pixel_digest(series: AcquiredSeries, stack: AcquiredStack) -> str:
    values = stack.pixels
    if series.facts.modality == "CT":
        values = (values.astype(np.int32) + series.facts.intercept).astype(np.int16)
    return hashlib.sha256(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _path(study: Study, series: AcquiredSeries, site: Site, person: Person, number: int, position: int) -> str:
    short = f"{digest(0, series.facts.study_uid) % 10**6:06d}"
    if site.is_bare:
        folder = study.name if series.facts.modality == "CT" else f"{study.name}/{series.name}"
        return f"train_images/{folder}/{number}.dcm"
    if site.container == "zip":
        return f"export/{short}/SE{series.facts.number:06d}/I{position:07d}"
    if site.container == "tar.gz":
        return f"DICOM/{short}/{series.facts.number * 10000 + position:08d}"
    return f"{_folder_name(person)}/{short}/S{series.facts.number:03d}/IM{position + 1:04d}.dcm"


def _folder_name(person: Person) -> str:
    return person.name.replace("^", "_") if person.is_planted else person.patient_id
