"""What a release says about itself: names, terms, how it was normalised and how it was de-identified."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from curate.deid.profile import SECONDARY_CAPTURE, Profile
from curate.deid.pseudonyms import Pseudonyms
from curate.deid.review.decisions import Decisions
from curate.errors import Misconfigured
from curate.release.promises import decided_attributes

TASKS = ("cervical", "lumbar")
SPLITS = ("train", "validation", "test")
HIDDEN_SPLIT = "test"  # its labels are the answer key and stay out of the public folder
PUBLIC_SPLITS = tuple(split for split in SPLITS if split != HIDDEN_SPLIT)

CODE_VERSION = metadata.version("spine-curate")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRIVATE = "-private"


@dataclass(frozen=True, slots=True)
class DeidentificationStatement:
    """How identity was removed. ``options`` are CID 7050 codes with their meaning; nothing here is secret."""

    profile: str
    edition: str  # of PS3.15 Table E.1-1
    options: tuple[tuple[str, str], ...]
    key_fingerprint: str  # "" where the profile needs no key
    overrides: tuple[tuple[str, str], ...] = ()  # attribute, what all sites want instead
    site_overrides: tuple[tuple[str, str, str], ...] = ()  # site as the tables name it, attribute, what it wants
    allow: tuple[str, ...] = ()  # kinds of objects that are refused otherwise
    decided: tuple[tuple[str, str], ...] = ()  # attributes of which a person kept or cleaned single values
    decisions: str = ""  # keyed digest of what that person decided; "" where nobody did


@dataclass(frozen=True, slots=True)
class ReleaseDescription:
    """What a person decides about a release. Raises ``Misconfigured`` for a name or version that is no folder name."""

    name: str
    version: str
    title: str
    licence: str
    task: str
    orientation: str
    spacing_mm: tuple[float | None, float | None, float | None]  # array order (k, j, i); None: as acquired
    spec_digest: str
    citation: str = ""
    code_version: str = CODE_VERSION

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise Misconfigured("release.name: letters, digits, dots, dashes and underscores only")
        if _NAME.fullmatch(self.version) is None or self.version.endswith(_PRIVATE):
            raise Misconfigured(f"release.version: letters, digits, dots and dashes only, not ending in '{_PRIVATE}'")
        if self.task not in TASKS:
            raise Misconfigured(f"release.task: expected {' or '.join(TASKS)}")
        for field in ("title", "licence", "citation"):
            if not getattr(self, field).isprintable():  # a line break would end its line of the card
                raise Misconfigured(f"release.{field}: one line of printable text")

    @property
    def folder(self) -> str:
        """``<name>/<version>``: the public folder, relative to the folder of all releases."""
        return f"{self.name}/{self.version}"

    @property
    def private_folder(self) -> str:
        """``<name>/<version>-private``: the answer key, never to be published with the rest."""
        return f"{self.folder}{_PRIVATE}"


def state(
    profile: Profile,
    pseudonyms: Pseudonyms,
    site_profiles: Mapping[str, Profile] | None = None,
    decisions: Decisions | None = None,
) -> DeidentificationStatement:
    """What to say of a run under this profile and key.

    ``site_profiles``: of sites that decide otherwise; ``decisions``: of a person on single values.
    """
    marks = [] if decisions is None else [(path, mark) for (path, _, _), mark in decisions.rows.items()]
    return DeidentificationStatement(
        profile.name,
        profile.edition,
        profile.codes,
        "" if profile.keeps_ids else pseudonyms.fingerprint,
        tuple((one.tag, one.choice) for one in profile.overrides),
        tuple(
            (site, one.tag, one.choice)
            for site, own in sorted((site_profiles or {}).items())
            for one in own.overrides
            if one not in profile.overrides
        ),
        (SECONDARY_CAPTURE,) if profile.allows_captures else (),
        decided_attributes(marks),
        "" if decisions is None else pseudonyms.digest(decisions.content(), "decisions"),
    )


def describe(description: ReleaseDescription, statement: DeidentificationStatement) -> dict[str, Any]:
    """The descriptive part of ``release.json``."""
    return {
        **asdict(description),
        "spacing_mm": list(description.spacing_mm),
        "deidentification": {
            **asdict(statement),
            "options": [list(option) for option in statement.options],
            "overrides": [list(override) for override in statement.overrides],
            "site_overrides": [list(override) for override in statement.site_overrides],
            "allow": list(statement.allow),
            "decided": [list(choice) for choice in statement.decided],
        },
    }
