"""What `curate status`, `failures` and `why` cost over a store of many series.

    python tests/bench/runtime/status.py [SERIES]

The catalogue, the plan and a compacted ledger are made up; each verb is a process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from cluster.ledger import segments
from curate.identity import digest_json
from curate.manifests import table_bytes
from curate.manifests.schemas import FILES, INSTANCES, SERIES
from curate.storage import LocalStore
from pipelines.grouping import FILES_KEY, INSTANCES_KEY, SERIES_KEY
from pipelines.plan import PLAN, PLAN_KEY

UNIT = 64
PER_SEGMENT = 50_000
ASK = "import sys; from pipelines.cli.app import app; app(sys.argv[1:])"


def make(store: LocalStore, count: int) -> str:
    """Write the tables; the key of a series that failed."""
    keys = [f"2.25.{int(digest_json(n)[:30], 16)}" for n in range(count)]
    marks = [digest_json([n]) for n in range(count)]
    units = [digest_json([n // UNIT, "u"])[:32] for n in range(count)]
    series = {name: pa.nulls(count, SERIES.field(name).type) for name in SERIES.names}
    series |= {
        "site": pa.array([f"site-{n % 20}" for n in range(count)]),
        "patient_key": pa.array(keys),
        "study_key": pa.array(keys),
        "series_key": pa.array(keys),
        "status": pa.repeat("accepted", count),
        "size_bytes": pa.repeat(100_000_000, count),
    }
    plan = [units, keys, marks, [10**8] * count, [10**9] * count, [2 * 10**9] * count]
    store.put(SERIES_KEY, table_bytes(pa.table(series).select(SERIES.names).cast(SERIES)))
    store.put(PLAN_KEY, table_bytes(pa.table(dict(zip(PLAN.names, plan, strict=True)), schema=PLAN)))
    store.put(FILES_KEY, table_bytes(FILES.empty_table()))
    store.put(INSTANCES_KEY, table_bytes(INSTANCES.empty_table()))
    for start in range(0, count, PER_SEGMENT):
        part = range(start, min(start + PER_SEGMENT, count))
        bad = [n % 50 == 0 for n in part]
        columns = {
            "receipt": [units[n] for n in part],
            "position": [n % UNIT for n in part],
            "fingerprint": [marks[n] for n in part],
            "key": [keys[n] for n in part],
            "status": ["rejected" if one else "done" for one in bad],
            "reason": ["slice_gap" if one else None for one in bad],
            "detail": ["between 3 and 4" if one else "" for one in bad],
            "bytes": [0 if one else 5 * 10**7 for one in bad],
            "unit": [units[n] for n in part],
            "version": [4] * len(part),
            "parameters": ["p" * 64] * len(part),
            "peak": [10**9 + n // UNIT for n in part],
            "outputs": [[] for _ in part],
            "record": ["{}"] * len(part),
            "header": ['{"code_version":"1","libraries":{},"stage":"volumes","format":1}'] * len(part),
        }
        table = pa.table(columns, schema=segments.SEGMENT)
        store.put(f"ledger/volumes/segments/{start:032d}.parquet", segments.segment_bytes(table))
    return keys[0]


def main() -> None:
    """Print one line a verb."""
    count = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        key = make(LocalStore(Path(folder)), count)
        out = str(Path(folder, "failures.csv"))
        for words in (("status",), ("failures",), ("failures", "--csv", out), ("why", key)):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", ASK, words[0], folder, *words[1:]], stdout=subprocess.DEVNULL, check=True
            )
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest so far
            print(f"{' '.join(words[:2])[:20]}: {time.perf_counter() - began:.1f} s, peak so far {peak / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
