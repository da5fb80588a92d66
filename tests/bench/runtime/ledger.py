"""What a ledger of a million outcomes costs: compaction, reading, memory.

    python tests/bench/runtime/ledger.py [OUTCOMES] [ITEMS A UNIT]

Each measurement is a process of its own, so that its peak memory is its own. Outcomes are like those of real series:
some outputs each, a record of a kilobyte, one in fifty not done.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from cluster.ledger import Ledger, compact, failures, why
from cluster.memory import measure_peak
from cluster.outcomes import ItemOutcome, Output, Receipt, Status
from curate.identity import digest_json
from curate.reasons import Reason
from curate.storage import LocalStore

STAGE = "volumes"
OUTPUTS = 6


def write(folder: str, outcomes: int, items: int) -> None:
    """Loose receipts, without waiting for the disk: that is not what is measured."""
    target = Path(folder, "ledger", STAGE)
    target.mkdir(parents=True)
    draw = np.random.default_rng(0)
    record = {"volumes": [{"affine": draw.normal(size=16).round(6).tolist(), "flags": []}], "detail": "x" * 400}
    for unit in range(outcomes // items):
        settled = tuple(_outcome(unit * items + place, record) for place in range(items))
        receipt = Receipt(STAGE, 4, digest_json(unit)[:32], "p" * 64, settled, 10**9 + unit, "0.1.0", {"numpy": "2.3"})
        Ledger(_Quick(folder), STAGE).publish(receipt)


class _Quick(LocalStore):
    def __init__(self, folder: str) -> None:
        super().__init__(Path(folder))

    def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
        self.path(key).write_bytes(content)
        return True


def _outcome(number: int, record: dict[str, object]) -> ItemOutcome:
    mark = digest_json(number)
    key = f"2.25.{int(mark[:30], 16)}"
    if number % 50 == 0:
        return ItemOutcome(key, mark, Status.REJECTED, Reason.SLICE_GAP, f"between {number % 90} and {number % 90 + 1}")
    outputs = tuple(
        Output(f"dicom/{key}/{mark[:16]}/{part}.dcm", digest_json([number, part]), 500_000) for part in range(OUTPUTS)
    )
    return ItemOutcome(key, mark, Status.DONE, outputs=outputs, record=record | {"n": number})  # type: ignore[arg-type]


def compacting(folder: str) -> str:
    ledger = Ledger(LocalStore(Path(folder)), STAGE)
    removed = compact(ledger)
    sizes = [ledger.store.size(key) for key in ledger.segments()]
    return f"{removed} receipts -> {len(sizes)} segments of {sum(sizes) / 1e6:.0f} MB together"


def reading(folder: str) -> str:
    table = Ledger(LocalStore(Path(folder)), STAGE).outcomes_table()
    return f"{table.num_rows} rows, {pc.sum(table['bytes']).as_py() / 1e12:.1f} TB published"


def settled(folder: str) -> str:
    return f"{len(Ledger(LocalStore(Path(folder)), STAGE).settled())} fingerprints"


def failing(folder: str) -> str:
    return f"{sum(1 for _ in failures(LocalStore(Path(folder))))} failures"


def asking(folder: str) -> str:
    return f"{len(why(LocalStore(Path(folder)), _outcome(77, {}).key))} verdict"


MEASURED: dict[str, Callable[[str], str]] = {
    "compaction": compacting,
    "outcomes_table": reading,
    "settled": settled,
    "failures": failing,
    "why": asking,
}


def main() -> None:
    """Print one line a measurement."""
    if sys.argv[1:2] and sys.argv[1] in MEASURED:
        began = time.perf_counter()
        said = MEASURED[sys.argv[1]](sys.argv[2])
        print(json.dumps({"seconds": time.perf_counter() - began, "peak": measure_peak(), "said": said}))
        return
    outcomes, items = (int(word) for word in [*sys.argv[1:], *("1000000", "64")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write(folder, outcomes, items)
        print(f"{outcomes // items} receipts of {items} outcomes written in {time.perf_counter() - began:.0f} s")
        for name in MEASURED:
            done = subprocess.run(
                [sys.executable, __file__, name, folder], stdout=subprocess.PIPE, check=True, text=True
            )
            found = json.loads(done.stdout)
            print(f"{name}: {found['seconds']:.1f} s, peak {found['peak'] / 1e6:.0f} MB: {found['said']}", flush=True)


if __name__ == "__main__":
    main()
