"""Volumes straight from files, for notebooks. Pipelines call the same steps one by one."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from curate.dicom.archives import BadFile, FileRef, Limits
from curate.dicom.assemble import Volume, assemble
from curate.dicom.frames import decode_slice
from curate.dicom.headers import read_source_header
from curate.dicom.series import sort_out
from curate.dicom.sources import SourceReader, list_archive
from curate.errors import Rejected
from curate.reasons import Reason

_MODALITIES = ("CT", "MR")


def read_series(
    paths: str | Path | Iterable[str | Path], *, modality: str | None = None, minimum_slices: int = 1
) -> list[Volume]:
    """Every stack of every CT or MR series in files, folders or archives, series in the order of their UIDs.

    ``modality``: what headers without a Modality are; None refuses those. Files that are not images, and series that
    are rejected beside others that are not, are left out: ``curate scan`` and ``curate run`` name each with its
    reason. Raises Rejected with the first series' reason (or file's) when nothing is left, Misconfigured when a path
    does not exist.
    """
    chosen = [paths] if isinstance(paths, str | Path) else list(paths)
    limits = Limits()
    volumes: list[Volume] = []
    refused: list[Rejected] = []
    with SourceReader(limits) as reader:
        series, unreadable = _group(reader, chosen, limits)
        for _, members in sorted(series.items()):
            try:
                volumes.extend(_build(reader, members, modality, minimum_slices))
            except Rejected as rejection:
                refused.append(rejection)
    if not volumes:
        raise (refused + unreadable + [Rejected(Reason.NOT_AN_IMAGE, "no files")])[0]
    return volumes


def _group(
    reader: SourceReader, paths: Iterable[str | Path], limits: Limits
) -> tuple[dict[str, list[tuple[dict[str, object], FileRef]]], list[Rejected]]:
    series: defaultdict[str, list[tuple[dict[str, object], FileRef]]] = defaultdict(list)
    unreadable: list[Rejected] = []
    for path in paths:
        for found in list_archive(path, limits):
            if isinstance(found, BadFile):
                unreadable.append(Rejected(found.reason, found.detail))
                continue
            row, head = read_source_header(reader, found)
            if isinstance(row["reason"], str):
                reason = Reason(row["reason"])  # type: ignore[call-arg]
                unreadable.append(Rejected(reason, str(row["detail"] or "")))
            elif not row["series_instance_uid"] or not row["sop_instance_uid"]:
                unreadable.append(Rejected(Reason.MISSING_IDENTIFIERS))
            else:
                row["instance_key"] = row["sop_instance_uid"]
                row["header_digest"] = hashlib.sha256(head).hexdigest()
                row["file_key"] = f"{len(series)}"
                series[str(row["series_instance_uid"])].append((row, found))
    return series, unreadable


def _build(
    reader: SourceReader, members: list[tuple[dict[str, object], FileRef]], assumed: str | None, minimum_slices: int
) -> list[Volume]:
    named = Counter(str(row["modality"]) for row, _ in members if row["modality"] in _MODALITIES)
    modality = min(named, key=lambda name: (-named[name], name)) if named else assumed
    if modality is None:
        raise Rejected(Reason.WRONG_MODALITY, "neither CT nor MR by its headers")
    verdict = sort_out(
        [row for row, _ in members],
        modality=modality,
        assume_modality=assumed is not None,
        minimum_slices=minimum_slices,
    )
    if verdict.reason is not None:
        raise Rejected(verdict.reason, verdict.detail)
    places: dict[str, FileRef] = {}
    for instance, (_, ref) in zip(verdict.instances, members, strict=True):
        if instance.reason is None:
            places[instance.instance_key] = ref
    return [
        assemble(stack, (decode_slice(reader.read(places[each.key])) for each in stack.slices), modality)
        for stack in verdict.stacks
    ]
