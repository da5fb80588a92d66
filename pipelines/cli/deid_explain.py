"""``curate deid explain``: what a profile does to a tag and why, or to all of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydicom.datadict import tag_for_keyword

from curate.errors import Misconfigured
from pipelines.cli.console import console, show_table

if TYPE_CHECKING:
    from curate.deid import Profile
    from curate.deid.explain import Explanation

ProfileName = Annotated[
    str, typer.Argument(help="basic, mira, public, or a spec, whose [deid] section is meant.", metavar="PROFILE")
]
Tag = Annotated[
    str | None,
    typer.Argument(
        help='(0008,1010), 00081010, StationName, or (0019,"GEMS_ACQU_01",9e). Without one: every tag of the table.',
        metavar="[TAG]",
        show_default=False,
    ),
]
Option = Annotated[
    list[str] | None, typer.Option("--option", help="Options instead of those of the profile; may be repeated.")
]
SopClass = Annotated[
    str, typer.Option("--class", help="CT, MR, US, CR, DX, SEG, RTSTRUCT, SR, EnhancedMR, or a SOP Class UID.")
]
Site = Annotated[str, typer.Option("--site", help="With a spec: the site whose overrides count.")]

_STORAGE = "1.2.840.10008.5.1.4.1.1"
CLASSES = {
    "CT": f"{_STORAGE}.2",
    "EnhancedCT": f"{_STORAGE}.2.1",
    "MR": f"{_STORAGE}.4",
    "EnhancedMR": f"{_STORAGE}.4.1",
    "US": f"{_STORAGE}.6.1",
    "CR": f"{_STORAGE}.1",
    "DX": f"{_STORAGE}.1.1",
    "SEG": f"{_STORAGE}.66.4",
    "RTSTRUCT": f"{_STORAGE}.481.3",
    "SR": f"{_STORAGE}.88.33",
}
_BARE = re.compile(r"\(?([0-9a-fA-F]{4}),?([0-9a-fA-F]{4})\)?")


def explain(
    profile: ProfileName, tag: Tag = None, option: Option = None, sop_class: SopClass = "CT", site: Site = ""
) -> None:
    """Say what happens to TAG under PROFILE, and why.

    `curate deid explain mira StudyDescription`, `curate deid explain spec.toml "(0008,1010)" --site site-a`. Without
    TAG: the options and what they do, then one line for every tag of PS3.15 Table E.1-1.
    """
    from curate.deid.explain import explain as explain_tag
    from curate.deid.explain import explain_all

    chosen, uid = _profile(profile, option, site), _sop_class(sop_class)
    if tag is None:
        _show_profile(chosen)
        _show_all(list(explain_all(chosen, uid)))
    else:
        _show_one(explain_tag(chosen, _spelled(tag), uid), sop_class)


def _profile(name: str, options: list[str] | None, site: str) -> Profile:
    from curate.deid import load_profile
    from pipelines.spec import read_spec

    if not name.endswith(".toml"):
        if site:
            raise Misconfigured("--site: only a spec has sites")
        return load_profile(name, options=options)
    if options:
        raise Misconfigured("--option: a spec has its own")
    spec = read_spec(Path(name))
    if site and site not in {one.name for one in spec.sites}:
        raise Misconfigured(f"--site: the spec has no site {site!r}")
    return spec.deid_profile(site)


def _sop_class(text: str) -> str:
    by_name = {name.upper(): uid for name, uid in CLASSES.items()}
    uid = by_name.get(text.upper(), text)
    if not re.fullmatch(r"[0-9.]+", uid):
        raise Misconfigured(f"--class: expected {', '.join(CLASSES)} or a SOP Class UID")
    return uid


def _spelled(text: str) -> str:
    """Any way to write a tag, as the overrides of a spec write it."""
    bare = _BARE.fullmatch(text.strip())
    if bare:
        return f"({bare[1]},{bare[2]})"
    by_keyword = tag_for_keyword(text)
    return text if by_keyword is None else f"({by_keyword >> 16:04x},{by_keyword & 0xFFFF:04x})"


def _show_one(found: Explanation, sop_class: str) -> None:
    console.print(f"{found.tag} {found.name or '(no name in the dictionary)'} {found.vr}".rstrip())
    if found.basic:
        kind = f"type {found.attribute_type} in {sop_class}" if found.attribute_type else f"not defined for {sop_class}"
        console.print(f"  table: {found.basic}; {kind}", markup=False)
    for name, letter in found.options:
        console.print(f"  option: {name}: {letter}", markup=False)
    console.print(f"  result: {found.action.value}", markup=False)
    console.print(f"  why: {found.why}.", markup=False)


def _show_profile(profile: Profile) -> None:
    from curate.deid.options import OPTIONS

    rows = [("113100", "Basic Application Confidentiality Profile", f"PS3.15 Table E.1-1, edition {profile.edition}")]
    rows += [(OPTIONS[name].code, name, OPTIONS[name].effect) for name in profile.options]
    show_table(f"profile {profile.name}", ("code", "option", "what it does"), rows)
    if profile.overrides:
        show_table("site overrides", ("tag", "choice"), [(one.tag, one.choice) for one in profile.overrides])


def _show_all(found: list[Explanation]) -> None:
    rows = [(one.tag, one.name, one.vr, one.basic, one.action.value) for one in found]
    show_table("what happens to each tag", ("tag", "name", "VR", "table", "result"), rows)
    counts = Counter(one.action.value for one in found)
    console.print(", ".join(f"{count} {action}" for action, count in counts.most_common()))
