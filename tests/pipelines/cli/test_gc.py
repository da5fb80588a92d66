"""``curate gc``: what no receipt names goes, and nothing else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.ledger import Ledger, compact
from cluster.ledger.merging import merge
from cluster.outcomes import Status
from curate.errors import Unavailable
from curate.reasons import Reason
from curate.storage import LocalStore
from pipelines.garbage import sweep
from pipelines.packing import PLAN_TABLE
from pipelines.state import series_state
from tests.support.copies import copy_all, forget, quarantine, run_again
from tests.support.curated import Curated, curate, digests

Command = Callable[..., tuple[int, str]]
DAY = 86400.0


@pytest.fixture
def own(cervical: Curated, tmp_path: Path) -> Curated:
    """A finished store of which everything was written three days ago."""
    own = copy_all(cervical, tmp_path / "own")
    age(own.spec.store)
    return own


def age(store: Path, days: float = 3) -> None:
    then = time.time() - days * DAY
    for path in store.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def orphan(own: Curated, key: str, *, days: float = 3) -> None:
    own.workspace.store.put_new(key, b"x" * 100)
    then = time.time() - days * DAY
    os.utime(own.workspace.store.path(key), (then, then))


def a_done_series(own: Curated) -> tuple[str, str]:
    row = own.manifest("volumes").to_pylist()[0]
    return row["study_key"], row["series_key"]


def keys(own: Curated) -> set[str]:
    return set(own.workspace.store.list())


def test_a_finished_store_has_no_garbage(command: Command, own: Curated) -> None:
    before = keys(own)
    code, text = command("gc", own.spec.store, "--delete")
    assert code == 0
    assert "0 objects, 0 B removed" in text
    assert keys(own) == before


def test_an_orphan_is_counted_and_removed_when_asked(command: Command, own: Curated) -> None:
    before = keys(own)
    study, series = a_done_series(own)
    orphan(own, f"dicom/{study}/{series}/0123456789abcdef/1.dcm")
    orphan(own, f"volumes/{study}/{series}/0123456789abcdef/0.zarr/zarr.json")
    orphan(own, "catalogue/parts/0123456789abcdef/files.parquet")
    code, text = command("gc", own.spec.store)
    assert code == 0
    assert "3 objects, 300 B: --delete removes them" in text
    assert keys(own) > before
    assert "3 objects, 300 B removed" in command("gc", own.folder / "spec.toml", "--delete")[1]
    assert keys(own) == before
    assert run_again(own)[1] == own.balance


def test_a_young_orphan_stays(command: Command, own: Curated) -> None:
    study, series = a_done_series(own)
    orphan(own, f"dicom/{study}/{series}/0123456789abcdef/1.dcm", days=0.5)
    assert "0 objects" in command("gc", own.spec.store, "--delete")[1]
    assert "1 objects" in command("gc", own.spec.store, "--older-than", "11h")[1]
    assert "0 objects" in command("gc", own.spec.store, "--older-than", "2d")[1]
    assert command("gc", own.spec.store, "--older-than", "soon")[0] == 2


@pytest.mark.parametrize("quarantined", [False, True])
def test_what_an_unfinished_series_has_written_survives_however_old(
    command: Command, own: Curated, quarantined: bool
) -> None:
    """Its next attempt finds it in place and takes it over."""
    gone = [one for one in forget(own) if one.status is Status.DONE]
    if quarantined:
        quarantine(own, gone, Reason.WORKER_CRASHED)
    before = keys(own)
    text = command("gc", own.spec.store, "--delete")[1]
    assert "0 objects, 0 B removed" in text
    assert keys(own) == before
    assert str(sum(len(one.outputs) for one in gone if one.outputs[0].key.startswith("dicom"))) > "0"


def test_parts_of_the_catalogue_stay_while_a_scan_may_go_on(command: Command, own: Curated) -> None:
    orphan(own, "catalogue/parts/0123456789abcdef/files.parquet")
    own.workspace.store.put_new("events/99991231T000000Z-ff/000000.jsonl", b'{"event":"stage_started"}\n')
    assert "0 objects" in command("gc", own.spec.store, "--delete")[1]
    age(own.spec.store)
    assert "1 objects" in command("gc", own.spec.store, "--delete")[1]


def test_nothing_outside_the_payload_is_ever_touched(command: Command, own: Curated) -> None:
    strange = ("release/x/1.0.0/a", "manifests/mine.parquet", "events/x/0.jsonl", "ledger/volumes/x.txt", "training/a")
    for key in strange:
        orphan(own, key)
    command("gc", own.spec.store, "--delete")
    assert set(strange) <= keys(own)


def test_a_compacted_ledger_is_believed_as_well(command: Command, own: Curated) -> None:
    for stage in ("catalogue", "volumes"):
        compact(Ledger(own.workspace.store, stage), least=1)
    before = keys(own)
    assert "0 objects" in command("gc", own.spec.store, "--delete")[1]
    assert keys(own) == before


@pytest.mark.parametrize("compacted", [False, True])
def test_superseded_results_go_and_those_of_the_spec_stay(command: Command, own: Curated, compacted: bool) -> None:
    spec = own.folder / "spec.toml"
    old = {key for key in keys(own) if key.startswith("volumes/")}
    first = spec.read_text()
    spec.write_text(first.replace("[1.5, 1.5, 1.5]", "[2.0, 2.0, 2.0]"))
    code, text = command("gc", spec, "--superseded", "--delete")
    assert code == 2  # not run to its end: what is there may be wanted
    assert old < keys(own)
    second = curate(own.folder)
    if compacted:
        compact(Ledger(own.workspace.store, "volumes"), least=1)
    age(own.spec.store)
    assert "0 objects" in command("gc", spec)[1]
    before = keys(own)
    dry = command("gc", spec, "--superseded")[1]
    assert keys(own) == before
    code, text = command("gc", spec, "--superseded", "--delete")
    assert code == 0
    assert old.isdisjoint(keys(own))
    assert dry.split(" objects, ")[0].split()[-1] == text.split(" objects, ")[-2].split()[-1].strip()
    assert run_again(own)[1].untried == 0
    assert digests(own.spec.store)  # readable
    assert curate(own.folder).balance == second.balance
    spec.write_text(first)  # and back again: built anew, nothing is believed that is gone
    assert curate(own.folder).balance == own.balance
    assert old < keys(own)


def test_superseded_needs_a_spec(command: Command, own: Curated) -> None:
    assert command("gc", own.spec.store, "--superseded")[0] == 2


def test_a_sweep_stops_when_another_plan_was_made(own: Curated) -> None:
    study, series = a_done_series(own)
    orphan(own, f"dicom/{study}/{series}/0123456789abcdef/1.dcm")

    class Planned(LocalStore):
        def modified(self, key: str) -> float:
            index = json.loads(self.get(f"{PLAN_TABLE}/index.json"))
            self.put(f"{PLAN_TABLE}/index.json", json.dumps(index | {"digest": "another"}).encode())
            return super().modified(key)

    store = Planned(own.spec.store)
    with pytest.raises(Unavailable, match="a plan was made"):
        sweep(store, now=time.time(), delete=True)
    assert store.exists(f"dicom/{study}/{series}/0123456789abcdef/1.dcm")


def test_the_states_of_series_are_those_of_the_manifest(own: Curated) -> None:
    state = {row["series_key"]: (row["status"], row["reason"]) for row in series_state(own.workspace.store).to_pylist()}
    assert state == {key: (row["status"], row["reason"]) for key, row in own.by_series("series").items()}


def test_a_place_that_is_no_store_is_refused(command: Command, tmp_path: Path) -> None:
    assert command("gc", tmp_path)[0] == 2


def private_orphan(own: Curated, key: str, *, days: float = 3) -> Path:
    own.workspace.private.put_new(key, b"x" * 100)
    path: Path = own.spec.private_zone / key  # type: ignore[operator]
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_orphans_of_the_private_zone_go_under_the_same_rules(command: Command, own: Curated) -> None:
    age(own.spec.private_zone)  # type: ignore[arg-type]
    spec = own.folder / "spec.toml"
    before = set(own.workspace.private.list())
    assert {key.split("/")[0] for key in before} >= {"identifiers", "listings", "parts", "sources"}
    assert "0 objects, 0 B removed" in command("gc", spec, "--delete")[1]
    study, series = a_done_series(own)
    known = f"identifiers/{study}/{series}/0123456789abcdef.parquet"
    orphans = [known, "listings/0123456789abcdef.parquet", "parts/0123456789abcdef.parquet"]
    for key in orphans:
        private_orphan(own, key)
    young = private_orphan(own, "parts/1123456789abcdef.parquet", days=0.5)
    stranger = private_orphan(own, "identifiers/2.25.1/2.25.2/0123456789abcdef.parquet")
    text = command("gc", spec)[1]
    assert "3 objects, 300 B: --delete removes them" in text
    assert "private/identifiers" in text
    assert set(orphans) < set(own.workspace.private.list())
    assert "0 objects" in command("gc", own.spec.store, "--delete")[1]  # of a store alone nobody knows its private zone
    assert "3 objects, 300 B removed" in command("gc", spec, "--delete")[1]
    assert young.exists()
    assert stranger.exists()
    young.unlink()
    stranger.unlink()
    assert set(own.workspace.private.list()) == before
    assert run_again(own)[1] == own.balance


def test_identifiers_of_an_unfinished_series_and_listings_of_a_scan_stay(command: Command, own: Curated) -> None:
    age(own.spec.private_zone)  # type: ignore[arg-type]
    forget(own)
    before = set(own.workspace.private.list())
    own.workspace.store.put_new("events/99991231T000000Z-ff/000000.jsonl", b'{"event":"stage_started"}\n')
    private_orphan(own, "listings/0123456789abcdef.parquet")
    assert "0 objects" in command("gc", own.folder / "spec.toml", "--delete")[1]
    assert set(own.workspace.private.list()) > before


def test_the_private_zone_of_a_de_identified_folder_is_left_alone(command: Command, own: Curated) -> None:
    kept = private_orphan(own, "listings/0123456789abcdef.parquet")
    own.workspace.private.put_new("lock", b"")
    assert "0 objects" in command("gc", own.folder / "spec.toml", "--delete")[1]
    assert kept.exists()


def test_segments_that_a_merged_one_has_replaced_go_once_it_has_stood_for_the_grace(
    command: Command, own: Curated
) -> None:
    ledger = Ledger(own.workspace.store, "volumes")
    for name in ledger.loose():
        ledger.publish_segment(ledger.read([name]))
        own.workspace.store.delete(ledger.key_of(name))
    count = len(ledger.segments())
    outcomes = ledger.outcomes()
    assert merge(ledger, segment_bytes=10**9, least=2) == count
    assert "0 objects" in command("gc", own.spec.store, "--delete")[1]
    age(own.spec.store)
    assert f"{count} objects" in command("gc", own.spec.store)[1]
    assert f"{count} objects" in command("gc", own.spec.store, "--delete")[1]
    assert len(list(own.workspace.store.list("ledger/volumes"))) == 1
    assert ledger.outcomes() == outcomes
