"""The stages of a spec as receipts know them: version, and digest of the parameters."""

from __future__ import annotations

from pipelines.catalogue import catalogue_job
from pipelines.join import read_manifests
from pipelines.spec import Spec
from pipelines.volumes import volumes_job
from pipelines.workspace import Workspace


def current_jobs(spec: Spec, workspace: Workspace) -> dict[str, tuple[int, str]]:
    """(version, parameters) by stage of a spec that was run to its end.

    Raises ``Misconfigured`` when it was not: then the manifests may be of other results, which are still wanted.
    """
    read_manifests(spec, workspace)
    jobs = (catalogue_job(spec, workspace), volumes_job(spec, workspace, None, 1))
    return {job.stage: (job.version, job.parameters) for job in jobs}
