"""The inline executor: nothing between the units and this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.executors import Inline, open_executor
from cluster.job import _opened
from cluster.ledger import Ledger
from cluster.units import pack
from curate.errors import Misconfigured
from curate.storage import LocalStore
from tests.support.cluster_jobs import make_item, make_job

LANES = (1000,)


def test_units_run_in_their_order(tmp_path: Path) -> None:
    units = list(pack("work", [make_item(key) for key in "abcdef"], target_cost=20, lanes=LANES))
    reports = list(Inline(str(tmp_path)).run(make_job(tmp_path), units))
    assert [report.unit_id for report in reports] == [unit.id for unit in units]
    assert [report.done for report in reports] == [2, 2, 2]


def test_what_prepares_a_worker_is_called_in_this_process(tmp_path: Path) -> None:
    calls: list[int] = []
    Inline(str(tmp_path)).prepare(lambda: calls.append(os.getpid()))
    assert calls == [os.getpid()]


def test_each_unit_is_settled_before_the_next_is_asked_for(tmp_path: Path) -> None:
    units = pack("work", [make_item(key) for key in "abcdef"], target_cost=20, lanes=LANES)
    reports = Inline(str(tmp_path)).run(make_job(tmp_path), units)
    next(reports)
    assert len(list(Ledger(LocalStore(tmp_path), "work").receipts())) == 1


def test_the_stage_is_closed_at_the_end_and_when_the_run_is_left(tmp_path: Path) -> None:
    executor = Inline(str(tmp_path))
    units = list(pack("work", [make_item(key) for key in "abcdef"], target_cost=20, lanes=LANES))
    reports = executor.run(make_job(tmp_path), units)
    next(reports)
    assert _opened
    reports.close()  # type: ignore[attr-defined]
    assert not _opened


def test_an_inline_run_never_imports_ray(tmp_path: Path) -> None:
    program = (
        "import sys, cluster\n"
        "from cluster import open_executor, pack\n"
        "from tests.support.cluster_jobs import make_item, make_job\n"
        "units = pack('work', [make_item('a')], target_cost=1, lanes=[1000])\n"
        f"with open_executor('inline', {str(tmp_path)!r}) as executor:\n"
        f"    print(*(r.done for r in executor.run(make_job({str(tmp_path)!r}), units)))\n"
        "print('ray' in sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "False"]


def test_an_unknown_executor_is_refused_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(Misconfigured, match="expected 'inline', 'processes' or 'ray', got 'dask'"),
        open_executor("dask", str(tmp_path)),
    ):
        pass


@pytest.mark.parametrize("asked", [{"workers": 4}, {"address": "auto"}])
def test_inline_refuses_what_it_cannot_give(tmp_path: Path, asked: dict[str, object]) -> None:
    with pytest.raises(Misconfigured, match=r"one worker|no address"), open_executor("inline", str(tmp_path), **asked):  # type: ignore[arg-type]
        pass
