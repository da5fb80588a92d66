"""Two drivers on one store: of one spec they end alike; of two specs the one that was overtaken stops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cluster.attempt import UnitReport
from cluster.executors import Inline
from cluster.ledger import Ledger, compact
from curate.errors import Misconfigured
from pipelines.join import read_manifests
from pipelines.made_for import is_made_for, mark_catalogue
from pipelines.plan import make_plan
from pipelines.run import run
from pipelines.spec import read_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.copies import copy_all, forget, run_again
from tests.support.curated import Curated, copy_archive, curate, digests

RUN = "import sys; from pathlib import Path; from tests.support.curated import curate; curate(Path(sys.argv[1]))"


def test_two_drivers_of_one_spec_end_with_the_digests_of_one(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(f"{text}\n[runtime]\nunit_megabytes = 1\n")
    drivers = [
        subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for driver in drivers:
        _, said = driver.communicate(timeout=500)
        assert driver.returncode == 0, said
    finished = curate(folder)
    assert finished.balance == cervical.balance
    ours, calm = digests(finished.spec.store), digests(cervical.spec.store)
    assert {k: v for k, v in ours.items() if "plan" not in k} == {k: v for k, v in calm.items() if "plan" not in k}
    read_manifests(finished.spec, finished.workspace)


def test_a_compacted_ledger_gives_the_same_manifests(cervical: Curated, tmp_path: Path) -> None:
    own = copy_all(cervical, tmp_path / "copy")
    for stage in ("catalogue", "volumes"):
        ledger = Ledger(own.workspace.store, stage)
        compact(ledger, least=1)
        assert (ledger.loose(), len(ledger.segments())) == ([], 1)
    _, balance = run_again(own)
    assert balance == cervical.balance
    assert digests(own.spec.store) == digests(cervical.spec.store)


def other_spec(folder: Path) -> Path:
    """Another spec over the same archive and store: other spacing, and one site less."""
    text = (folder / "spec.toml").read_text()
    other = folder / "other.toml"
    start = text.index("[[sites]]")
    less = text[:start] + text[text.index("[[sites]]", start + 1) :]
    other.write_text(less.replace("[1.5, 1.5, 1.5]", "[2.0, 2.0, 2.0]"))
    return other


class Overtaken(Inline):
    """Somebody else plans another spec on this store as soon as the first unit is settled."""

    def __init__(self, store_url: str, other: Path) -> None:
        super().__init__(store_url)
        self.other = other

    def run(self, job, units) -> Iterator[UnitReport]:  # type: ignore[no-untyped-def]
        for number, report in enumerate(super().run(job, units)):
            yield report
            if job.stage == "volumes" and number == 0:
                spec = read_spec(self.other)
                workspace = open_workspace(spec)
                make_plan(spec, workspace, Inline(workspace.store.url), Watch(Console(quiet=True)))


def test_a_run_that_was_overtaken_by_another_spec_stops_and_writes_nothing_wrong(
    cervical: Curated, tmp_path: Path
) -> None:
    own = copy_all(cervical, tmp_path / "copy")
    outcomes = Ledger(own.workspace.store, "volumes").outcomes()
    forget(own)
    (own.spec.store / "manifests/joined.json").unlink()
    with pytest.raises(Misconfigured, match="the catalogue was replaced"):
        run_again(own, executor=Overtaken(own.workspace.store.url, other_spec(own.folder)))
    assert not (own.spec.store / "manifests/joined.json").exists()
    settled = Ledger(own.workspace.store, "volumes").outcomes()
    assert 0 < len(settled) < len(outcomes)
    assert all(outcomes[mark] == outcome for mark, outcome in settled.items())
    _, balance = run_again(own)
    assert balance == cervical.balance
    assert is_made_for(own.spec, own.workspace)


def test_a_join_refuses_the_catalogue_of_another_spec(cervical: Curated, tmp_path: Path) -> None:
    own = copy_all(cervical, tmp_path / "copy")

    spec = read_spec(other_spec(own.folder))

    class Marking(Watch):
        def stream(self, executor, job, units, **sizes) -> None:  # type: ignore[no-untyped-def]
            super().stream(executor, job, units, **sizes)
            if job.stage == "volumes":
                mark_catalogue(spec, open_workspace(spec))

    with pytest.raises(Misconfigured, match="the catalogue was replaced"):
        run(own.spec, own.workspace, Inline(own.workspace.store.url), Marking(Console(quiet=True)))


def test_specs_may_follow_each_other_on_one_store(cervical: Curated, tmp_path: Path) -> None:
    own = copy_all(cervical, tmp_path / "copy")
    (own.folder / "spec.toml").write_text(other_spec(own.folder).read_text())
    curate(own.folder)
    assert not is_made_for(own.spec, own.workspace)
    with pytest.raises(Misconfigured, match="another spec"):
        read_manifests(own.spec, own.workspace)
    _, balance = run_again(own)
    assert balance == cervical.balance
    assert digests(own.spec.store).items() >= digests(cervical.spec.store).items()
