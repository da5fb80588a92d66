"""Which spec the catalogue of a store is of, so that two specs on one store do not mix.

The catalogue, the plan and the manifests are views that each run replaces; two runs of one spec replace them by the
same. A run of another spec, or after the archives changed, that begins while one goes on takes the catalogue away from
it: then that one stops before it believes a row. Workers hold every series against the fingerprint that the plan gave
it (``pipelines.volumes``), and the join looks at the mark that is written here before the catalogue is. Neither writes
anything wrong; what is settled stays, and the same command goes on when the other run has ended.
"""

from __future__ import annotations

import json

from curate.errors import Misconfigured
from curate.identity import canonical_json
from curate.storage import Store
from pipelines.spec import Spec
from pipelines.workspace import Workspace, curation_digest

MARK_KEY = "catalogue/made_for.json"
OVERTAKEN = (
    "the catalogue was replaced while this run went on: another run, of another spec or of archives that changed, "
    "is at work on this store; run again when it has ended, or give each spec a store of its own"
)


def mark_catalogue(spec: Spec, workspace: Workspace) -> None:
    """Say which spec the catalogue is of. To be called before its tables are written: readers look at it after them."""
    workspace.store.put(MARK_KEY, canonical_json({"curation": curation_digest(spec, workspace)}))


def is_made_for(spec: Spec, workspace: Workspace) -> bool:
    """Whether the catalogue is of this spec, as far as was said; ask after reading it."""
    return _marked(workspace.store) == curation_digest(spec, workspace)


def require_made_for(spec: Spec, workspace: Workspace) -> None:
    """Raises ``Misconfigured`` when another run has replaced the catalogue."""
    if not is_made_for(spec, workspace):
        raise Misconfigured(OVERTAKEN)


def _marked(store: Store) -> str | None:
    try:
        mark: str = json.loads(store.get(MARK_KEY))["curation"]
    except FileNotFoundError:
        return None
    return mark
