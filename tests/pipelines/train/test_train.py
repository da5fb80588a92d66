"""The entry point: it needs torch only when it is called, and starts a Ray of its own when there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

ALONE = """
from pathlib import Path
import sys
import ray
from pipelines.train import TrainSettings, train
from tests.support.training_store import cervical_store
root = Path(sys.argv[1])
manifests = cervical_store(root / "store", studies=5)
steps = []
settings = TrainSettings(epochs=1, batch_size=2, workers=2)
result = train("cervical", "store", manifests, settings, output=Path("training"), on_report=steps.append)
print(result.final.steps, [type(step).__name__ for step in steps], ray.is_initialized())
"""


def test_without_torch_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=300)
    assert done.stdout == "training needs torch: pip install 'spine-curate[train]'\n"
    assert done.returncode == 0


def test_alone_it_starts_and_stops_ray_and_prints_nothing(tmp_path: Path) -> None:
    """A relative store and output, Ray not running: every byte on the console is the script's own."""
    here = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=tmp_path,
        env={"PYTHONPATH": str(here), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")},
    )
    assert done.stdout == "2 ['Began', 'Step', 'Step', 'Evaluation'] False\n"
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["store", "training"]
    assert not (tmp_path / "home" / "ray_results").exists()
