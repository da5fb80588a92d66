"""Volumes straight from files, for notebooks. Pipelines call the same steps one by one."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from curate.dicom.archives import BadFile, FileRef, Limits
from curate.dicom.assemble import Volume
from curate.dicom.frames import DecodedSlice
from curate.dicom.functional_groups import read_frames
from curate.dicom.headers import read_source_headers
from curate.dicom.normalised import Normalisation, read_normalised
from curate.dicom.pixels import Damaged, decode_instance
from curate.dicom.series import Row, SortedSeries, sort_out
from curate.dicom.sources import SourceReader, list_archive
from curate.dicom.stacks import StackLimits
from curate.errors import Rejected
from curate.reasons import Reason

_MODALITIES = ("CT", "MR")
_Member: TypeAlias = tuple[dict[str, object], FileRef]


def read_series(
    paths: str | Path | Iterable[str | Path],
    *,
    modality: str | None = None,
    minimum_slices: int = 1,
    spacing_mm: Sequence[float | None] = (None, None, None),
    orientation: str | None = None,
    antialias: bool = True,
    threads: int = 1,
) -> list[Volume]:
    """Every stack of every CT or MR series in files, folders or archives, series in the order of their UIDs.

    Each on a regular, upright grid: (slice, row, column) as acquired, or in the axis order that ``orientation`` names
    (``curate.geometry.orient``), with ``spacing_mm`` along the axes of the result, None keeping an axis. All of it,
    with what slices that lean, lie unevenly or are missing need, is one interpolation (``antialias`` smooths axes
    that shrink, ``threads`` share it); ``Volume.stack.flags`` and ``.detail`` say what the slices were like. One
    instance is decoded at a time: memory holds a series as it comes out and, where slices must be seen together or
    ``threads`` is above 1, once as acquired.

    ``modality``: what headers without a Modality are; None refuses those. Files that are not images, and series that
    are rejected beside others that are not, are left out: ``curate scan`` and ``curate run`` name each with its
    reason. Raises Rejected with the first series' reason (or file's) when nothing is left, Misconfigured when a path
    does not exist, or for an orientation or spacing that is none.
    """
    chosen = [paths] if isinstance(paths, str | Path) else list(paths)
    limits = Limits()
    wanted = Normalisation(spacing_mm, orientation, antialias, threads)
    volumes: list[Volume] = []
    refused: list[Rejected] = []
    with SourceReader(limits) as reader:
        series, unreadable = _group(reader, chosen, limits)
        for _, members in sorted(series.items()):
            try:
                volumes += _read_volumes(reader, members, modality, StackLimits(minimum_slices=minimum_slices), wanted)
            except Rejected as rejection:
                refused.append(rejection)
    if not volumes:
        raise (refused + unreadable + [Rejected(Reason.NOT_AN_IMAGE, "no files")])[0]
    return volumes


def _group(
    reader: SourceReader, paths: Iterable[str | Path], limits: Limits
) -> tuple[dict[str, list[_Member]], list[Rejected]]:
    """Readable images by series, and why others are not readable."""
    series: defaultdict[str, list[_Member]] = defaultdict(list)
    listed = [found for path in paths for found in list_archive(path, limits)]
    unreadable = [Rejected(bad.reason, bad.detail) for bad in listed if isinstance(bad, BadFile)]
    refs = [found for found in listed if isinstance(found, FileRef)]
    for ref, (row, head) in zip(refs, read_source_headers(reader, refs), strict=True):
        if isinstance(row["reason"], str):
            reason = Reason(row["reason"])  # type: ignore[call-arg]
            unreadable.append(Rejected(reason, str(row["detail"] or "")))
        elif not row["series_instance_uid"] or not row["sop_instance_uid"]:
            unreadable.append(Rejected(Reason.MISSING_IDENTIFIERS))
        else:
            row["instance_key"] = row["sop_instance_uid"]
            row["header_digest"] = hashlib.sha256(head).digest()
            row["file_key"] = f"{ref.archive}/{ref.member}"
            try:
                row["frames"] = read_frames(head, row)
            except Rejected as rejection:
                unreadable.append(rejection)
                continue
            series[str(row["series_instance_uid"])].append((row, ref))
    return series, unreadable


def _read_volumes(
    reader: SourceReader, members: list[_Member], assumed: str | None, limits: StackLimits, wanted: Normalisation
) -> list[Volume]:
    rows = [row for row, _ in members]
    named = Counter(str(row["modality"]) for row in rows if row["modality"] in _MODALITIES)
    modality = min(named, key=lambda name: (-named[name], name)) if named else assumed
    if modality is None:
        raise Rejected(Reason.WRONG_MODALITY, "neither CT nor MR by its headers")
    places = {row["file_key"]: ref for row, ref in members}

    def sort(damaged: Damaged) -> SortedSeries:
        return sort_out(rows, modality=modality, assume_modality=assumed is not None, limits=limits, damaged=damaged)

    def decode(row: Row, frames: Sequence[int]) -> list[DecodedSlice]:
        return decode_instance(reader.read(places[row["file_key"]]), row, frames)

    return read_normalised(rows, sort, decode, modality, wanted)[1]
