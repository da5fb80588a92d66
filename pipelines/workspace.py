"""What a spec opens: the store, the private zone beside it, and the pseudonyms of its key.

Workers open the same from a small JSON description; the key itself never travels, only where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.deid import Profile, Pseudonyms, load_profile, make_pseudonyms
from curate.deid.options import CLEAN_PIXELS
from curate.deid.pixels.ocr import require_ocr
from curate.deid.review.decisions import Decisions, read_decisions
from curate.errors import Misconfigured
from curate.identity import Json, digest_json
from curate.storage import Store, is_url, open_store, prove_store
from pipelines.spec import MODALITY, Spec

PRIVATE_MODE = 0o700


@dataclass(frozen=True)
class Workspace:
    """The two zones and the profile under which one becomes the other."""

    store: Store  # pseudonymous
    private: Store  # what identifies: source locations and known identifiers
    profile: Profile
    pseudonyms: Pseudonyms
    site_profiles: Mapping[str, Profile] = field(default_factory=dict)  # of sites that override something
    decisions: Decisions | None = None  # what a person marked on the values page

    def profile_of(self, site: str) -> Profile:
        """The profile with what the site overrides."""
        return self.site_profiles.get(site, self.profile)


def open_workspace(spec: Spec) -> Workspace:
    """Raises ``Misconfigured`` when the key is missing or short, others may read it or the private zone, or the profile
    cleans pixels and the extra [ocr] is not installed. Nothing is written: see ``prove_zones``."""
    return restore_workspace(describe_workspace(spec))


def prove_zones(workspace: Workspace) -> None:
    """What whoever drives a run does before anything is written: prove that the storage of both zones keeps the
    promises that the commit protocol is built on. Raises as ``prove_store``."""
    prove_store(workspace.store)
    prove_store(workspace.private)


def describe_workspace(spec: Spec) -> dict[str, Json]:
    """What a worker needs to open the same: locations and names, no secret."""
    return {
        "store": str(spec.store),
        "private": str(spec.private_zone),
        "profile": spec.deid.model_dump(mode="json", include={"profile", "options", "overrides", "allow"}),
        "site_overrides": {site.name: dict(site.deid_overrides) for site in spec.sites if site.deid_overrides},
        "decisions": None if spec.deid.decisions is None else str(spec.deid.decisions),
        "key": spec.deid.key,
    }


def restore_workspace(description: dict[str, Json]) -> Workspace:
    """Open what ``describe_workspace`` describes, asking nothing of the storage. Raises ``Misconfigured`` as
    ``open_workspace`` does."""
    private = str(description["private"])
    if not is_url(private) and Path(private).is_dir() and Path(private).stat().st_mode & ~PRIVATE_MODE & 0o777:
        raise Misconfigured(f"{private} holds what identifies, and others may look into it: chmod 700 it first")
    chosen: Any = description["profile"]
    own: Any = description["site_overrides"]
    key, decisions = description["key"], description["decisions"]
    profile = load_profile(
        chosen["profile"], options=chosen["options"], overrides=chosen["overrides"], allow=chosen["allow"]
    )
    if profile.has(CLEAN_PIXELS):
        require_ocr()  # now, not at the first object that must be searched
    return Workspace(
        store=open_store(str(description["store"])),
        private=open_store(private, mode=PRIVATE_MODE),
        profile=profile,
        pseudonyms=make_pseudonyms(profile.name, None if key is None else str(key)),
        site_profiles={site: profile.with_overrides(choices) for site, choices in own.items()},
        decisions=None if decisions is None else read_decisions(Path(str(decisions))),
    )


def volume_parameters(spec: Spec, workspace: Workspace) -> dict[str, Json]:
    """Every parameter that changes a byte of a volume or of a de-identified file."""
    return {
        "modality": MODALITY[spec.task],
        "sorting": {
            "modality": MODALITY[spec.task],
            "assumed_at": sorted(site.name for site in spec.sites if site.assume_modality),
            "limits": {
                "minimum_slices": spec.volumes.minimum_slices,
                "maximum_gap_mm": spec.volumes.maximum_gap_mm,
                "maximum_missing": spec.volumes.maximum_missing,
            },
        },
        "orientation": spec.volumes.orientation,
        "spacing_mm": list(spec.volumes.spacing_mm),
        "antialias": spec.volumes.antialias,
        "profile": workspace.profile.digest,
        "site_profiles": {site: profile.digest for site, profile in sorted(workspace.site_profiles.items())},
        "decisions": digest_of_decisions(workspace),
        "key": workspace.pseudonyms.fingerprint,
    }


def digest_of_decisions(workspace: Workspace) -> str | None:
    """Keyed, since decisions hold text of the archive."""
    if workspace.decisions is None:
        return None
    return workspace.pseudonyms.digest(workspace.decisions.content(), "decisions")


def curation_digest(spec: Spec, workspace: Workspace) -> str:
    """Identity of everything in the spec that decides the manifests; not where it runs or where files lie."""
    sites: list[Json] = [{"name": site.name, "layout": site.layout} for site in spec.sites]
    labels = [] if spec.labels is None else sorted(spec.labels.model_dump(exclude_none=True))
    return digest_json(
        {
            "task": spec.task,
            "sites": sites,
            "labels": labels,
            "split": spec.split.model_dump(mode="json"),
            "volumes": volume_parameters(spec, workspace),
        }
    )


def spec_digest(spec: Spec, workspace: Workspace) -> str:
    """Identity of everything in the spec that decides a release."""
    kept = spec.model_dump(mode="json", include={"name", "release"})
    return digest_json({**kept, "curation": curation_digest(spec, workspace)})
