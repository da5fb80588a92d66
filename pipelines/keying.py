"""A header row that identifies becomes a catalogue row that does not. The only place where the one meets the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from curate.deid.pseudonyms import Pseudonyms, patient_key
from curate.manifests.schemas import INSTANCES

_KEPT = [name for name in INSTANCES.names if name not in {"stack", "position_in_stack", "reason"}]


def ids_from_path(member: str, layout: str) -> dict[str, str]:
    """The ids that a folder layout names, such as ``{study}`` in ``train_images/{study}/{instance}.dcm``.

    The layout matches the end of the path; ``*`` stands for one folder of any name. Empty where it does not match.
    """
    found = _pattern(layout).fullmatch(PurePosixPath(member).as_posix())
    return found.groupdict() if found else {}


def keyed_instance(
    header: Mapping[str, Any], *, site: str, layout: str | None, pseudonyms: Pseudonyms
) -> dict[str, Any]:
    """The INSTANCES row of one readable header (HEADER_SCHEMA values); ids become keys, technical values stay.

    Ids that the layout names come from the path, the others from the header. Any of ``study_key``, ``series_key`` and
    ``instance_key`` is None where neither has it.
    """
    named = ids_from_path(header["member"], layout) if layout else {}
    study = named.get("study") or header["study_instance_uid"]
    series = named.get("series") or header["series_instance_uid"]
    number = header["instance_number"]
    if number is None and named.get("instance", "").isdecimal():
        number = int(named["instance"])
    row = {name: header.get(name) for name in _KEPT}
    row |= {
        "site": site,
        "patient_key": patient_key(
            pseudonyms,
            patient_id=header["patient_id"] or "",
            study_uid=header["study_instance_uid"] or study or "",
            issuer=header["issuer_of_patient_id"] or "",
            site=site,
        ),
        "study_key": pseudonyms.uid(study) if study else None,
        "series_key": pseudonyms.uid(series) if series else None,
        "instance_key": pseudonyms.uid(header["sop_instance_uid"]) if header["sop_instance_uid"] else None,
        "instance_number": number,
    }
    return row


@lru_cache
def _pattern(layout: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\}|\*)", layout)
    regex = "".join(
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else "[^/]+" if part == "*" else re.escape(part)
        for part in parts
    )
    return re.compile(f"(?:.*/)?{regex}")
