"""Which study is made at which site with which defect, and the making of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from curate.phantoms.back_study import make_back_study
from curate.phantoms.defects import SERIES_DEFECTS, SeriesDefect, copied_file, directory_file, stray_series
from curate.phantoms.draws import uid
from curate.phantoms.identifiers import Planted
from curate.phantoms.neck_study import make_neck_study
from curate.phantoms.people import Person
from curate.phantoms.sites import Site
from curate.phantoms.studies import AcquiredSeries, Study
from curate.phantoms.tables import LabelTables
from curate.phantoms.truth import Truth
from curate.phantoms.writing import ImageFile, folder_of, note_study, series_files
from curate.reasons import Reason

TASKS = ("cervical", "lumbar")
_STRAY_SERIES = {
    "localizer": Reason.LOCALIZER,
    "secondary_capture": Reason.SECONDARY_CAPTURE,
    "wrong_modality": Reason.WRONG_MODALITY,
}
_STRAY_FILES = {
    "empty_file": Reason.EMPTY_FILE,
    "text_file": Reason.NOT_DICOM,
    "duplicate_file": Reason.DUPLICATE_INSTANCE,
    "directory_file": Reason.NOT_AN_IMAGE,
    "unsafe_member": Reason.UNSAFE_NAME,
}


@dataclass(frozen=True, slots=True)
class Work:
    """One study to make. ``visit``: counts the studies of its site; ``strays``: what is planted beside it."""

    task: str
    site: Site
    number: int
    visit: int
    defect: SeriesDefect | None = None
    strays: tuple[str, ...] = ()


def plan_work(task: str, sites: Sequence[Site], studies: int, seed: int, *, defects: bool) -> list[Work]:
    """Sound studies site by turns; with ``defects`` one more study a defect, at sites whose headers are complete
    and whose slices are files: of what is broken there each file, of an enhanced object the whole."""
    work = [Work(task, sites[n % len(sites)], n, n // len(sites)) for n in range(studies)]
    if not defects:
        return work
    complete = [n for n, one in enumerate(work) if _takes_defects(one.site)]
    for turn, stray in enumerate((*_STRAY_SERIES, *_STRAY_FILES)):
        hosts = [n for n in complete if work[n].site.container in ("zip", "tar", "tar.gz")]
        if stray != "unsafe_member":
            hosts = complete
        if hosts:
            host = hosts[turn % len(hosts)]
            work[host] = replace(work[host], strays=(*work[host].strays, stray))
    homes = [n for n, site in enumerate(sites) if _takes_defects(site)]
    visits = {n: len(range(n, studies, len(sites))) for n in homes}
    for turn, defect in enumerate(one for one in SERIES_DEFECTS if task == "cervical" or not one.tilt_deg):
        home = homes[turn % len(homes)]
        work.append(Work(task, sites[home], studies + turn, visits[home], defect))
        visits[home] += 1
    return work


def _takes_defects(site: Site) -> bool:
    return not site.is_bare and not site.is_enhanced


def make_work(work: Work, seed: int, matrix: int, person: Person, truth: Truth) -> tuple[Study, list[ImageFile]]:
    """The study and all files that its archive gets, in their order; what is true of them is noted."""
    study, site, defect = _make_study(work, seed, matrix), work.site, work.defect
    broken = _broken_series(work)
    is_moved = defect is not None and not defect.tilt_deg  # a tilted series is one like any other, on other planes
    unsound = frozenset({study.series[broken].name}) if is_moved else frozenset()
    note_study(truth, study, site, person, unsound=unsound)
    files: list[ImageFile] = []
    planted: list[Planted] = []
    for index, series in enumerate(study.series):
        guilty = defect if index == broken else None
        shown = guilty.change(series) if guilty and guilty.change else series
        made, marks = series_files(study, shown, site, person, seed)
        files += guilty.spoil(made) if guilty and guilty.spoil else made
        planted += marks
        _expect(truth, study, series, site, guilty)
    for stray in work.strays:
        more, marks = _stray(stray, study, work, seed, person, truth, files)
        files += more
        planted += marks
    for mark in dict.fromkeys(planted):
        truth.note("planted", study=study.name, place=mark.place, kind=mark.kind, value=mark.value)
    return study, files


def plant_label_defects(tables: LabelTables, truth: Truth, task: str, seed: int) -> None:
    """Label rows that cannot be placed: a study that no archive holds."""
    study = uid(seed, task, "nowhere")
    targets = tables.width("train") - 1
    tables.add("train", study, *([0] if task == "cervical" else ["Normal/Mild"]) * targets)
    truth.note(
        "expected", study=study, outcome="label issue", reason=Reason.LABEL_UNKNOWN_STUDY.value,
        accepted_reasons=[Reason.LABEL_UNKNOWN_STUDY.value], defect="unknown_study",
    )  # fmt: skip


def _make_study(work: Work, seed: int, matrix: int) -> Study:
    if work.task == "lumbar":
        return make_back_study(seed, work.site, work.number, matrix=matrix)
    tilt = work.defect.tilt_deg if work.defect else 0.0
    return make_neck_study(seed, work.site, work.number, matrix=matrix, tilt_deg=tilt)


def _broken_series(work: Work) -> int:
    """Index of the series that a defect strikes: the CT, or Sagittal T2/STIR; -1 for none."""
    if work.defect is None:
        return -1
    return 0 if work.task == "cervical" else 1


def _expect(truth: Truth, study: Study, series: AcquiredSeries, site: Site, defect: SeriesDefect | None) -> None:
    reasons = [reason.value for reason in (defect.reason, *defect.also) if reason] if defect else []
    truth.note(
        "expected", study=study.name, series=series.name, site=site.name,
        outcome=defect.outcome if defect else "done", reason=reasons[0] if reasons else None,
        accepted_reasons=reasons, defect=defect.name if defect else None, flag=defect.flag if defect else None,
    )  # fmt: skip


def _stray(
    kind: str, study: Study, work: Work, seed: int, person: Person, truth: Truth, files: Sequence[ImageFile]
) -> tuple[list[ImageFile], list[Planted]]:
    site = work.site
    if kind in _STRAY_SERIES:
        series = stray_series(seed, kind, study)
        made, planted = series_files(study, series, site, person, seed)
        reason = _STRAY_SERIES[kind].value
        truth.note(
            "expected", study=study.name, series=series.name, site=site.name, outcome="rejected", reason=reason,
            accepted_reasons=[reason], defect=kind,
        )  # fmt: skip
        return made, planted
    folder = folder_of(study, study.series[0], site, person)
    file = {
        "empty_file": ImageFile(f"{folder}/empty.dcm", 0, b""),
        "text_file": ImageFile(f"{folder}/notes.dcm", 0, b"transferred by courier, second disc is missing\n" * 4),
        "duplicate_file": copied_file(files[len(files) // 2]),
        "directory_file": ImageFile(f"{folder}/DICOMDIR", 0, directory_file(seed)),
        "unsafe_member": ImageFile("../../outside.dcm", 0, files[0].content),
    }[kind]
    reason = _STRAY_FILES[kind].value
    series_name = study.series[0].name if kind == "duplicate_file" else None
    truth.note(
        "expected", study=study.name if series_name else None, site=site.name, member=file.path, outcome="set apart",
        reason=reason, accepted_reasons=[reason], defect=kind,
    )  # fmt: skip
    return [file], []
