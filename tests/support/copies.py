"""A curated store of one's own, to run over again or to break."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cluster.executors import Executor, Inline
from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome, Receipt, Status
from curate.reasons import Reason
from pipelines.run import Balance, run
from pipelines.selection import EVERYTHING, Selection
from pipelines.spec import read_spec
from pipelines.watch import Watch
from pipelines.workspace import Workspace, open_workspace
from tests.support.curated import Curated


def copy_all(source: Curated, destination: Path) -> Curated:
    """Archive, spec, store and private zone of a finished run, elsewhere."""
    folder = shutil.copytree(source.folder, destination)
    spec = read_spec(folder / "spec.toml")
    return replace(source, folder=folder, spec=spec, workspace=open_workspace(spec))


def forget(curated: Curated, *, keep: int = 0, stage: str = "volumes") -> list[ItemOutcome]:
    """Take receipts of a stage away, all but so many; the outcomes that are gone with them."""
    ledger = Ledger(curated.workspace.store, stage)
    gone: list[ItemOutcome] = []
    for name in ledger.loose()[keep:]:
        gone += Receipt.from_json(curated.workspace.store.get(ledger.key_of(name))).outcomes
        curated.workspace.store.delete(ledger.key_of(name))
    return gone


def quarantine(curated: Curated, outcomes: list[ItemOutcome], reason: Reason, *, unit: str = "f" * 32) -> None:
    """Let the ledger say that these items were quarantined, in a receipt of their own."""
    bad = tuple(ItemOutcome(one.key, one.fingerprint, Status.QUARANTINED, reason, "by hand") for one in outcomes)
    Ledger(curated.workspace.store, "volumes").publish(Receipt("volumes", 4, unit, "p", bad, 3 * 2**30))


def run_again(
    curated: Curated, selection: Selection = EVERYTHING, *, executor: Executor | None = None
) -> tuple[Workspace, Balance]:
    """Run the spec over its store."""
    work = executor or Inline(curated.workspace.store.url)
    return curated.workspace, run(curated.spec, curated.workspace, work, Watch(Console(quiet=True)), selection)
