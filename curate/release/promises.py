"""What a release says of its de-identification, as rules that bind the images of each site (``release.json``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from curate.deid.options import OPTIONS
from curate.deid.overrides import Override
from curate.deid.private import is_public
from curate.deid.profile import load_profile
from curate.deid.review.decisions import creator_of, last_step
from curate.deid.verification.claims import Overrides, read_overrides
from curate.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Promise:
    """What binds one image: what a site decided otherwise, options as CID 7050 codes, whether ids were public."""

    overrides: Overrides
    codes: frozenset[str]
    keeps_ids: bool


class Promises:
    """The promises of one release, by site."""

    def __init__(self, statement: Mapping[str, Any]) -> None:
        """``statement``: the ``deidentification`` part of ``release.json``.

        Raises Misconfigured when it names a profile, option or attribute that is none, ValueError or TypeError when it
        is not what a build writes.
        """
        self._codes = frozenset(str(code) for code, _ in statement.get("options", ()))
        self._common = {str(tag): str(choice) for tag, choice in statement.get("overrides", ())}
        self._decided = {str(tag): str(choice) for tag, choice in statement.get("decided", ())}
        self._own: dict[str, dict[str, str]] = {}
        for site, tag, choice in statement.get("site_overrides", ()):
            self._own.setdefault(str(site), {})[str(tag)] = str(choice)
        options = [name for name, option in OPTIONS.items() if option.code in self._codes] if self._codes else None
        self._profile = load_profile(str(statement.get("profile")), options=options, allow=statement.get("allow", ()))
        self._made: dict[str, Promise] = {}
        for site in ("", *self._own):  # told here if they are none
            self.at(site)

    @property
    def differ_by_site(self) -> bool:
        """Whether any site decided otherwise."""
        return bool(self._own)

    def at(self, site: str) -> Promise:
        """What binds images of a site; one that decided nothing is as good as any other name."""
        known = site if site in self._own else ""
        if known not in self._made:
            choices = {**self._decided, **self._common, **self._own.get(known, {})}
            overrides = read_overrides(f"{tag}={choice}" for tag, choice in choices.items())
            self._profile.with_overrides(choices)  # refuses what must not be decided otherwise
            self._made[known] = Promise(overrides, self._codes, self._profile.keeps_ids)
        return self._made[known]


def decided_attributes(marks: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Attributes of which a person chose to keep or clean single values: (attribute, choice), no value and no path.

    ``marks``: (tag path, mark) of decisions. An attribute of which one value is kept counts as kept. Those that cannot
    be named without text of the archive, such as a private creator that no list knows, are left out: verification
    then says what it finds.
    """
    chosen: dict[str, str] = {}
    for path, mark in marks:
        tag = _as_override(path)
        if tag is None or mark == "remove" or chosen.get(tag) == "keep":
            continue
        try:
            load_profile("basic", overrides=[Override(tag, mark)])
        except Misconfigured:
            continue
        chosen[tag] = mark
    return tuple(sorted(chosen.items()))


def _as_override(path: str) -> str | None:
    """The attribute at the end of a path as a site writes it; None for one of a creator that no list knows."""
    step, creator = last_step(path), creator_of(path)
    if creator is None:
        return step
    return f'({step[1:5]},"{creator}",{step[8:10]})' if is_public(creator) else None
