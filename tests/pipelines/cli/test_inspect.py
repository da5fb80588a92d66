"""``curate status``, ``failures`` and ``why`` at every moment of a run, and the options of ``curate run``."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.ledger import Ledger, compact
from cluster.outcomes import ItemOutcome, Receipt, Status
from curate.reasons import Reason
from tests.support.copies import copy_all, forget, quarantine
from tests.support.curated import Curated, curate
from tests.support.hand_made import write_ramp, write_spec

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def own(cervical: Curated, tmp_path: Path) -> Curated:
    return copy_all(cervical, tmp_path / "own")


def objects(curated: Curated) -> dict[str, bytes]:
    store = curated.workspace.store
    return {key: store.get(key) for key in store.list()}


def test_status_of_a_finished_run(command: Command, own: Curated) -> None:
    before = objects(own)
    code, text = command("status", own.spec.store)
    assert code == 0
    assert "finished: every series has its outcome" in text
    for site in ("site-a", "site-b", "site-c", "site-d"):
        assert site in text
    assert all(reason in text for reason in own.balance.rejected)
    assert "units above their lane" in text
    assert objects(own) == before


def test_status_in_the_midst_of_a_run_says_what_is_left(command: Command, own: Curated) -> None:
    gone = forget(own, keep=2)
    code, text = command("status", own.spec.store)
    assert code == 0
    assert f"not finished: {len(gone)} series left" in text
    assert "2 receipts, 0 segments" in text


def test_status_while_headers_are_read(command: Command, own: Curated) -> None:
    (own.spec.store / "catalogue/series/index.json").unlink()
    code, text = command("status", own.spec.store)
    assert code == 0
    assert "headers are being read" in text


def test_status_does_not_depend_on_compaction(command: Command, own: Curated) -> None:
    _, loose = command("status", own.spec.store)
    for stage in ("catalogue", "volumes"):
        compact(Ledger(own.workspace.store, stage), least=1)
    _, compacted = command("status", own.spec.store)

    assert "0 receipts, 1 segments" in compacted

    def words(text: str) -> list[str]:
        return re.sub(r"\d+ receipts, \d+ segments|[^\x00-\x7f]", " ", text).split()

    assert words(compacted) == words(loose)


def test_status_tells_estimated_memory_from_measured(command: Command, own: Curated) -> None:
    gone = forget(own)
    quarantine(own, gone[:1], Reason.LEAK_FOUND)  # measured at 3 GiB
    _, text = command("status", own.spec.store)
    table = text[text.index("Memory of volumes") :]
    (row,) = [re.findall(r"[\d.]+", line) for line in table.splitlines() if "3.2 GB" in line]
    lane, units, estimated, measured, above = row
    assert (lane, units, measured, above) == ("1.1", "1", "3.2", "1")
    assert 335 < float(estimated) < 1000  # MB: a process and a small series


def test_status_counts_what_will_be_tried_again(command: Command, own: Curated) -> None:
    gone = forget(own)
    quarantine(own, gone[:2], Reason.STORAGE_UNAVAILABLE)
    _, text = command("status", own.spec.store)
    assert f"not finished: {len(gone)} series left" in text
    assert "2 of them tried before in vain" in text


def test_a_place_without_a_run_is_refused(command: Command, tmp_path: Path) -> None:
    for verb in (("status",), ("failures",)):
        code, text = command(*verb, tmp_path)
        assert code == 2
        assert "is no store" in text


def test_failures_of_one_reason(command: Command, own: Curated) -> None:
    code, text = command("failures", own.spec.store, "--reason", "mixed_matrix")
    assert code == 0
    assert "1 mixed_matrix: Images of different rows" in text
    assert "burned_in_annotation" not in text
    assert command("failures", own.spec.store, "--reason", "no_such")[0] == 2
    assert "nothing failed for this reason" in command("failures", own.spec.store, "--reason", "too_large")[1]


def test_failures_as_csv_are_all_of_them(command: Command, own: Curated, tmp_path: Path) -> None:
    out = tmp_path / "failures.csv"
    code, text = command("failures", own.spec.store, "--csv", out)
    assert code == 0
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert f"{len(rows)} rows written" in text
    series = [row for row in rows if row["kind"] == "series"]
    wanted = {row["series_key"]: row["reason"] for row in own.manifest("series").to_pylist() if row["reason"]}
    assert {row["key"]: row["reason"] for row in series} == wanted
    assert len(rows) - len(series) == own.manifest("files").num_rows
    assert command("failures", own.spec.store, "--csv", out)[0] == 2


def test_failures_before_grouping_are_those_of_the_scan(command: Command, own: Curated) -> None:
    (own.spec.store / "catalogue/series/index.json").unlink()
    assert "nothing failed so far" in command("failures", own.spec.store)[1]
    bad = ItemOutcome("site-b.0.000000", "x" * 64, Status.QUARANTINED, Reason.WORKER_CRASHED, "out of memory, 3 times")
    Ledger(own.workspace.store, "catalogue").publish(Receipt("catalogue", 2, "u", "p", (bad,)))
    text = command("failures", own.spec.store)[1]
    assert "site-b.0.000000" in text
    assert "1 worker_crashed" in text


def test_why_shows_the_last_lines_of_the_log_of_what_crashed(command: Command, own: Curated) -> None:
    gone = forget(own)
    quarantine(own, gone[:1], Reason.WORKER_CRASHED)
    log = "\n".join(f"line {number}" for number in range(50))
    own.workspace.store.put_new(f"logs/volumes/{'f' * 32}.txt", log.encode())
    code, text = command("why", own.spec.store, gone[0].key)
    assert code == 0
    assert "quarantined by hand" in text
    assert "| line 49" in text
    assert "| line 30" in text
    assert "| line 29" not in text
    assert "what to do: Report it" in text


def test_why_of_a_series_that_was_not_tried_yet(command: Command, own: Curated) -> None:
    gone = forget(own)
    code, text = command("why", own.spec.store, gone[0].key)
    assert code == 0
    assert f"series {gone[0].key}" in text
    assert ": left" in text
    assert "instances" in text


def test_why_of_a_part_of_an_archive_whose_headers_could_not_be_read(command: Command, own: Curated) -> None:
    (own.spec.store / "catalogue/series/index.json").unlink()
    bad = ItemOutcome("site-b.0.000000", "x" * 64, Status.QUARANTINED, Reason.WORKER_CRASHED, "out of memory, 3 times")
    Ledger(own.workspace.store, "catalogue").publish(Receipt("catalogue", 2, "u", "p", (bad,)))
    own.workspace.store.put_new("logs/catalogue/u.txt", b"the last word\n")
    code, text = command("why", own.spec.store, "site-b.0.000000")
    assert code == 0
    assert "out of memory, 3 times" in text
    assert "| the last word" in text
    code, text = command("why", own.spec.store, "2.25.123456")
    assert code == 2
    assert "not all read yet" in text


def test_why_finds_what_was_compacted(command: Command, own: Curated) -> None:
    key = own.manifest("volumes")["series_key"][0].as_py()
    before = command("why", own.spec.store, key)
    compact(Ledger(own.workspace.store, "volumes"), least=1)
    assert command("why", own.spec.store, key) == before
    assert "slices.parquet" in before[1]


def test_only_leaves_the_run_unfinished_and_says_so(command: Command, own: Curated) -> None:
    gone = forget(own)
    key = next(one.key for one in gone if one.status is Status.DONE)
    code, text = command("run", own.folder / "spec.toml", "--executor", "inline", "--only", key[:30])
    assert code == 75
    assert "not yet tried" in text
    assert command("release", own.folder / "spec.toml")[0] == 2
    assert f"not finished: {len(gone) - 1} series left" in command("status", own.spec.store)[1]
    assert command("run", own.folder / "spec.toml", "--executor", "inline", "--only", "2.25.000000")[0] == 2


def test_a_dry_run_says_what_is_left_and_writes_nothing(command: Command, own: Curated) -> None:
    gone = forget(own)
    quarantine(own, gone[:1], Reason.LEAK_FOUND)
    before = objects(own)
    spec = own.folder / "spec.toml"
    code, text = command("run", spec, "--dry-run")
    assert code == 0
    assert f"{len(gone) - 1} series in" in text
    text = command("run", spec, "--dry-run", "--retry-quarantined")[1]
    assert f"{len(gone)} series in" in text
    assert "1 leak_found" in text
    text = command("run", spec, "--dry-run", "--only", gone[1].key)[1]
    assert "1 series in 1 units" in text
    assert objects(own) == before


def test_a_dry_run_needs_a_plan_of_this_spec(command: Command, own: Curated, own_copy: Path) -> None:
    code, text = command("run", own_copy / "spec.toml", "--dry-run")
    assert code == 2
    assert "headers must be read first (`curate plan`)" in text
    assert not (own_copy / "store").exists()
    spec = own.folder / "spec.toml"
    spec.write_text(spec.read_text().replace("[1.5, 1.5, 1.5]", "[2.0, 2.0, 2.0]"))
    code, text = command("run", spec, "--dry-run")
    assert code == 2
    assert "of another spec" in text


def test_a_finished_store_leaves_a_dry_run_nothing(command: Command, own: Curated) -> None:
    assert "0 series in 0 units" in command("run", own.folder / "spec.toml", "--dry-run")[1]


def test_a_series_that_came_from_two_sites_is_counted_under_its_own_reason_and_says_where(
    command: Command, tmp_path: Path
) -> None:
    write_ramp(tmp_path / "archive")
    write_ramp(tmp_path / "second", slices=5)
    spec = write_spec(tmp_path)
    both = spec.read_text() + '\n[[sites]]\nname = "second"\narchives = ["second"]\n'
    spec.write_text(both)
    found = curate(tmp_path)
    (row,) = found.manifest("series").to_pylist()
    assert row["instances"] == 13
    assert found.balance.rejected == {"several_sites": 1}
    code, text = command("why", found.spec.store, row["series_key"])
    assert code == 0
    assert "several_sites: The same series came from several sites" in text
    assert "(8 instances)" in text
    assert "second (5 instances)" in text
    spec.write_text(both[: both.rindex("\n[[sites]]")])
    assert curate(tmp_path).balance.done == 1  # at one of them it is a series like any other
