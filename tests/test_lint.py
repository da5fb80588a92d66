"""Style and types are part of what passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["ruff-check", "ruff-format", "mypy-strict"],
)
def test_the_tree_is_clean(command: list[str]) -> None:
    ran = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_imports_point_one_way() -> None:
    forbidden = {"curate": ("cluster", "pipelines", "ray"), "cluster": ("pipelines", "pydicom", "zarr", "torch")}
    faults = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for package, names in forbidden.items()
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in path.read_text().splitlines()
        if line.lstrip().startswith(("import ", "from ")) and line.split()[1].split(".")[0] in names
    ]
    assert faults == []
