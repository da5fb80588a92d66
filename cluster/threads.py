"""One thread for each task: many tasks run at once, and sums in another order would be other bytes."""

from __future__ import annotations

POOLS = (
    "BLIS_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "ZARR_THREADING__MAX_WORKERS",
)


def one_thread_each() -> dict[str, str]:
    """Environment variables that hold numerical libraries to one thread; most are read when a library is imported."""
    return dict.fromkeys(POOLS, "1")
