"""The entry point: it needs torch only when it is called, starts a Ray of its own, and survives being killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.training_store import cervical_store

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # what an installation without the extra looks like
from pathlib import Path
import pipelines.training
from curate.errors import Misconfigured
from pipelines.train import TrainSettings, train
import curate.loading
try:
    train("cervical", "store", {}, TrainSettings(), output=Path("out"))
except Misconfigured as error:
    print(error)
"""

TRAIN = """
import sys
import ray
import pyarrow.parquet as pq
from pathlib import Path
from pipelines.train import TrainSettings, train
manifests = {path.stem: pq.read_table(path) for path in Path("store/manifests").iterdir()}
settings = TrainSettings(epochs=6, batch_size=2, workers=2, checkpoint_steps=1, deterministic=True)
say = lambda report: print(str(report).split("  lr")[0], flush=True)
for output in sys.argv[1:]:
    result = train("cervical", "store", manifests, settings, output=Path(output), on_report=say)
    print(output, result.final.weights_digest, ray.is_initialized())
"""


def test_without_torch_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=300)
    assert done.stdout == "training needs torch: pip install 'spine-curate[train]'\n"
    assert done.returncode == 0


def command(*outputs: str) -> list[str]:
    return [sys.executable, "-c", TRAIN, *outputs]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and what a process in it needs; its home lies inside."""
    made = tmp_path_factory.mktemp("place")
    (made / "store/manifests").mkdir(parents=True)
    for name, table in cervical_store(made / "store", studies=5).items():
        pq.write_table(table, made / f"store/manifests/{name}.parquet")
    return made


def environment(place: Path) -> dict[str, str]:
    here = Path(__file__).parents[3]
    return {"PYTHONPATH": str(here), "PATH": "/usr/bin:/bin", "HOME": str(place / "home")}


def test_a_killed_run_goes_on_and_ends_with_the_weights_of_a_calm_one(place: Path) -> None:
    """A relative store and output, Ray not running: the driver is killed by SIGKILL after its third step. The same
    command starts Ray, goes on from the last checkpoint, stops Ray, and every byte on the console is the script's."""
    own = environment(place)
    with subprocess.Popen(command("cut"), cwd=place, env=own, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        before: list[str] = []
        for line in first.stdout:
            before.append(line.strip())
            if line.startswith("step 3/"):
                first.kill()
                break
    done = subprocess.run(command("cut", "calm"), cwd=place, env=own, capture_output=True, text=True, timeout=500)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    end = next(n for n, line in enumerate(lines) if line.startswith("cut "))
    after, calm = lines[:end], lines[end + 1 : -1]
    assert calm[0] == "begins: 12 steps"
    assert after[0] in [f"goes on after step {step}/12" for step in range(2, 12)]
    seen = {line.split()[1]: line for line in before if line.startswith("step ")}
    seen |= {line.split()[1]: line for line in after if line.startswith("step ")}
    trace = {line.split()[1]: line for line in calm if line.startswith("step ")}
    assert len(trace) == 12
    assert all(line == trace[step] for step, line in seen.items())
    assert lines[end].split()[1:] == lines[-1].split()[1:]
    assert lines[-1].endswith(" False")
    for name in ("submission.csv", "result.json"):
        assert (place / "cut" / name).read_bytes() == (place / "calm" / name).read_bytes()
    assert sorted(path.name for path in place.iterdir() if path.name != "home") == ["calm", "cut", "store"]
    assert not (place / "home/ray_results").exists()
