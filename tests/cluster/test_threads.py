"""Thread pools: what the variables say is what libraries do."""

from __future__ import annotations

import os
import subprocess
import sys

from cluster.threads import one_thread_each


def test_every_pool_has_one_thread() -> None:
    assert set(one_thread_each().values()) == {"1"}


def test_the_library_that_multiplies_matrices_starts_no_threads() -> None:
    program = (
        "import numpy, pathlib\n"
        "square = numpy.ones((600, 600)); square @ square\n"
        "print(len(list(pathlib.Path('/proc/self/task').iterdir())))"
    )
    environment = os.environ | one_thread_each()
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1"
