"""Freeze a release from what a run accepted, and prove a frozen one."""

from __future__ import annotations

from pathlib import Path

from curate.errors import Misconfigured
from curate.release import Finding, ReleaseDescription, ReleaseSummary, build_release, state, verify_release
from curate.release.build import Progress as BuildProgress
from curate.release.verify import Progress as VerifyProgress
from curate.storage import is_url, open_store
from curate.storage.opening import as_path
from pipelines.join import read_manifests
from pipelines.known import read_identifiers
from pipelines.spec import Spec, private_zone_of
from pipelines.workspace import PRIVATE_MODE, Workspace, spec_digest

FOLDER = "release"


def release(spec: Spec, workspace: Workspace, progress: BuildProgress | None = None) -> ReleaseSummary:
    """Freeze the release under ``<store>/release``. Raises ``Misconfigured`` when the spec was not run to its end."""
    manifests = read_manifests(spec, workspace)
    described = ReleaseDescription(
        name=spec.release.name,
        version=spec.release.version,
        title=spec.release.title,
        licence=spec.release.licence,
        task=spec.task,
        orientation=spec.volumes.orientation,
        spacing_mm=spec.volumes.spacing_mm,
        spec_digest=spec_digest(spec, workspace),
        citation=spec.release.citation,
    )
    return build_release(
        workspace.store,
        f"{workspace.store.url}/{FOLDER}",
        description=described,
        deidentification=state(workspace.profile, workspace.pseudonyms, workspace.site_profiles, workspace.decisions),
        manifests=manifests,
        include_volumes=spec.release.include_volumes,
        progress=progress,
    )


def verify(
    place: Path | str, *, private: Path | str | None, digest: str | None = None, progress: VerifyProgress | None = None
) -> tuple[list[Finding], int | None]:
    """What is wrong with a release, and how many known identifiers were searched for (None: none are known here).

    ``place``: a folder or URL. ``private``: the private zone; by default the one beside the store that holds the
    release, if it is there, and of a release in a bucket none.
    """
    zone = private or (None if is_url(place) else _zone_beside(as_path(place)))
    if private is not None and not is_url(private) and not as_path(private).is_dir():
        raise Misconfigured(f"{private}: there is no private zone")
    known = None if zone is None else frozenset(read_identifiers(open_store(zone, mode=PRIVATE_MODE)))
    findings = verify_release(place, identifiers=known, digest=digest, progress=progress)
    return findings, None if known is None else len(known)


def _zone_beside(folder: Path) -> Path | None:
    """``STORE/release/NAME/VERSION`` -> the default private zone of STORE."""
    parents = folder.resolve().parents
    if len(parents) < 3 or parents[1].name != FOLDER:
        return None
    zone = private_zone_of(parents[2])
    return zone if zone.is_dir() else None
