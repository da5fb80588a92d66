"""Memory: lanes are few and fit the machine; the peak is that of the unit, not of the process's life."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cluster.memory
from cluster.memory import lanes_for, machine_memory, measure_peak, own_limits, reset_peak, usable_memory

GIB = 1 << 30


def test_lanes_are_half_a_share_a_share_two_shares_and_everything() -> None:
    assert lanes_for(32 * GIB, 8) == (2 * GIB, 4 * GIB, 8 * GIB, 32 * GIB)


def test_one_worker_has_two_lanes() -> None:
    assert lanes_for(8 * GIB, 1) == (4 * GIB, 8 * GIB)


@given(st.integers(1, 1 << 45), st.integers(0, 5000))
def test_lanes_are_few_positive_rising_and_end_with_everything(memory: int, workers: int) -> None:
    lanes = lanes_for(memory, workers)
    assert 1 <= len(lanes) <= 4
    assert list(lanes) == sorted(set(lanes))
    assert lanes[0] >= 1
    assert lanes[-1] == memory


def test_the_machine_has_at_most_its_physical_memory() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < usable_memory() < machine_memory() <= physical


def test_a_container_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("104857600\n")
    monkeypatch.setattr(cluster.memory, "CGROUP_LIMITS", (limit, tmp_path / "absent"))
    assert machine_memory() == 100 << 20
    assert usable_memory() == 80 << 20


def test_a_container_without_limit_has_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    monkeypatch.setattr(cluster.memory, "CGROUP_LIMITS", (limit,))
    assert machine_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_peak_sees_memory_that_is_free_again() -> None:
    reset_peak()
    before = measure_peak()
    block = bytearray(os.urandom(1 << 20) * 64)
    del block
    assert measure_peak() >= before + (50 << 20)


def test_the_peak_of_one_unit_is_not_charged_to_the_next() -> None:
    block = bytearray(os.urandom(1 << 20) * 128)
    high = measure_peak()
    del block
    reset_peak()
    assert measure_peak() < high - (50 << 20)


def test_limits_are_looked_for_in_every_group_up_to_the_root(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("1:memory:/old\n0::/slurm/job_7/step_0\n")
    found = own_limits(membership, tmp_path / "fs")
    parts = ("slurm/job_7/step_0", "slurm/job_7", "slurm", "")
    assert found == [tmp_path / "fs" / part / "memory.max" for part in parts]
    assert own_limits(tmp_path / "none", tmp_path / "fs") == []
