"""Every kernel that a run calls, compiled before its first item."""

from __future__ import annotations

import curate.deid.leaks
import curate.dicom
import curate.geometry
import curate.volumes  # noqa: F401 - what has kernels
from curate.compiled import warm_up


def warm_kernels() -> None:
    """What a worker does first: seconds once on a machine, a fraction of one afterwards."""
    warm_up()
