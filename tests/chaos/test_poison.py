"""Six poisoned items among two hundred: exactly those are quarantined, and finding them costs little."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.attempt import settle_without_work
from cluster.executors import open_executor
from cluster.isolation import LOGS
from cluster.ledger import Ledger, make_account
from cluster.outcomes import Status
from cluster.units import pack, separate_too_large
from curate.reasons import Reason
from curate.storage import LocalStore
from tests.support.cluster_jobs import make_item, make_job, tries_of

LANE = 64 << 20
POISON = {
    "segfault:17": Reason.WORKER_CRASHED,
    "kill:60": Reason.WORKER_CRASHED,
    "segfault:111": Reason.WORKER_CRASHED,
    "hang:42": Reason.TIMED_OUT,
    "spin:150": Reason.TIMED_OUT,
    "once:large": Reason.TOO_LARGE,
}
AT_MOST = 1.25  # attempts at items, over the number of items


@pytest.mark.parametrize("kind", ["processes", "ray"])
def test_only_the_poisoned_are_quarantined_and_the_rest_is_done_with_few_more_attempts(
    kind: str, tmp_path: Path
) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    keys = [f"once:{number}" for number in range(194)]
    for place, key in enumerate(POISON):
        keys.insert(7 + 31 * place, key)
    items = [make_item(key, memory=LANE if key == "once:large" else 100) for key in keys]
    fitting, too_large = separate_too_large(items, [LANE])
    job = make_job(store, marks=str(marks), least_seconds=1.0)
    with open_executor(kind, str(store), workers=2) as executor:
        settle_without_work(job, too_large, Reason.TOO_LARGE, "more than the largest lane", str(store))
        list(executor.run(job, pack("work", fitting, target_cost=80, lanes=[LANE])))
    outcomes = Ledger(LocalStore(store), "work").outcomes()
    account = make_account(items, outcomes)
    assert (account.inputs, account.done) == (200, 194)
    guilty = {one.key: one.reason for one in outcomes.values() if one.status is Status.QUARANTINED}
    assert guilty == POISON
    attempts = sum(tries_of(marks, key) for key in keys)
    assert attempts <= AT_MOST * len(keys), attempts
    assert len(list(LocalStore(store).list(LOGS))) == 5  # the one that was too large was never tried
