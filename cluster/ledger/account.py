"""The account of a run: inputs = done + rejected + quarantined, each named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cluster.outcomes import ItemOutcome, Status
from cluster.units import Item
from curate.errors import CurateError


class Unaccounted(CurateError):
    """Items of the plan have no outcome: the run is not finished, whatever it looked like."""


@dataclass(frozen=True, slots=True)
class Account:
    """Counts and bytes of one stage."""

    inputs: int
    done: int
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason, sorted
    quarantined: Mapping[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0


def make_account(items: Iterable[Item], outcomes: Mapping[str, ItemOutcome]) -> Account:
    """Look every item of a plan up in the ledger's outcomes.

    Raises ``Unaccounted`` with the number and the first keys of items that have no outcome.
    """
    by_status: dict[Status, Counter[str]] = {status: Counter() for status in Status}
    missing: list[str] = []
    inputs = bytes_in = bytes_out = 0
    for item in items:
        inputs += 1
        outcome = outcomes.get(item.fingerprint)
        if outcome is None:
            missing.append(item.key)
            continue
        by_status[outcome.status][outcome.reason.value if outcome.reason else ""] += 1
        bytes_in += item.cost
        bytes_out += outcome.size
    if missing:
        raise Unaccounted(f"{len(missing)} of {inputs} items have no outcome, first: {', '.join(missing[:3])}")
    return Account(
        inputs=inputs,
        done=by_status[Status.DONE].total(),
        rejected=dict(sorted(by_status[Status.REJECTED].items())),
        quarantined=dict(sorted(by_status[Status.QUARANTINED].items())),
        bytes_in=bytes_in,
        bytes_out=bytes_out,
    )
