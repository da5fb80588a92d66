"""The failure budget: the same unexpected failure again and again is a bug or a full disk, not data. Stop early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator

from cluster.attempt import UnitReport
from curate.errors import CurateError

LEAST_REPEATS = 20
SHARE = 0.5  # of all items settled so far


class BudgetSpent(CurateError):
    """Too many items failed in one same way. What is settled stays; the next run goes on from there."""


def within_budget(reports: Iterable[UnitReport], *, least: int = LEAST_REPEATS) -> Iterator[UnitReport]:
    """Pass reports on until one same failure has hit ``least`` items and more than half of all.

    Failures are the details of unexpected errors and of refused storage; rejections never count. Raises
    ``BudgetSpent`` naming the failure and its count.
    """
    repeats: Counter[str] = Counter()
    items = 0
    try:
        for report in reports:
            yield report
            items += report.items
            repeats.update(report.details)
            if repeats:
                failure, count = repeats.most_common(1)[0]
                if count >= least and count > SHARE * items:
                    raise BudgetSpent(f"stopped: {count} of {items} items failed the same way ({failure})")
    finally:
        if isinstance(reports, Generator):  # stop the executor now, not when the exception's frames are let go
            reports.close()
