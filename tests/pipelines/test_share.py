"""Shares of a plan, done by workers that know nothing of each other, and one store finished by every executor."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from cluster.executors import open_executor
from cluster.ledger import Ledger
from cluster.units import make_unit
from curate.errors import Misconfigured
from pipelines.plan import make_plan
from pipelines.share import Share, read_plan, work_share
from pipelines.spec import read_spec
from pipelines.volumes import STAGE
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.cluster_jobs import make_item
from tests.support.curated import Curated, copy_archive, curate, digests


def watch() -> Watch:
    return Watch(Console(quiet=True))


def test_one_store_finished_by_shares_ray_and_inline_together_is_that_of_one_calm_run(
    cervical: Curated, tmp_path: Path
) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    with open_executor("inline", workspace.store.url) as executor:
        plan = make_plan(spec, workspace, executor, watch())
    ledger = Ledger(workspace.store, STAGE)
    with open_executor("processes", workspace.store.url, workers=2) as executor:
        worked = work_share(spec, workspace, executor, watch(), Share(1, 3))
    by_share = len(ledger.settled())
    assert 0 < by_share < plan.items
    assert worked.too_large_here == 0
    with open_executor("ray", workspace.store.url, workers=2) as executor:
        units = list(plan.read_left())
        list(executor.run(plan.job, units[: len(units) // 2]))
    by_ray = len(ledger.settled())
    assert by_share < by_ray < plan.items
    finished = curate(folder, executor="inline")
    assert finished.balance == cervical.balance
    assert digests(spec.store) == digests(cervical.spec.store)


def test_every_unit_is_of_one_share() -> None:
    units = [make_unit("work", [make_item(f"{number}"), make_item(f"{number}b")], 1) for number in range(500)]
    owners = [[number for number in range(7) if Share(number, 7).has(unit)] for unit in units]
    assert {len(owner) for owner in owners} == {1}
    counts = [sum(owner == [number] for owner in owners) for number in range(7)]
    assert min(counts) > 40


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/4", "a/b", "1/0", "1/2/3"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="--shard"):
        Share.parse(text)


def test_without_a_plan_there_is_nothing_to_share(cervical: Curated, tmp_path: Path) -> None:
    spec = read_spec(copy_archive(cervical.folder, tmp_path / "copy") / "spec.toml")
    with pytest.raises(Misconfigured, match="curate plan"):
        read_plan(spec, open_workspace(spec))


def test_a_plan_of_another_spec_is_not_worked_at(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    curate(folder)
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(
        text.replace("minimum_slices", "# minimum_slices").replace("[volumes]", "[volumes]\nminimum_slices = 5")
    )
    spec = read_spec(folder / "spec.toml")
    with pytest.raises(Misconfigured, match="another spec"):
        read_plan(spec, open_workspace(spec))


def test_a_share_of_a_finished_run_has_nothing_left(cervical: Curated) -> None:
    spec, workspace = cervical.spec, cervical.workspace
    with open_executor("inline", workspace.store.url) as executor:
        assert work_share(spec, workspace, executor, watch(), Share(0, 1)).units == 0
