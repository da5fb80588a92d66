"""The account of a run: inputs = done + rejected + quarantined, each named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cluster.outcomes import Status
from cluster.units import Item
from curate.errors import CurateError
from curate.reasons import Reason


class Unaccounted(CurateError):
    """Items of the plan have no outcome: the run is not finished, whatever it looked like."""


class Ending(Protocol):
    """What the account needs of an outcome; ``size`` is in bytes."""

    @property
    def status(self) -> Status: ...

    @property
    def reason(self) -> Reason | None: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Account:
    """Counts and bytes of one stage."""

    inputs: int
    done: int
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason, sorted
    quarantined: Mapping[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0

    def __add__(self, other: Account) -> Account:
        """The account of both, for plans that are accounted for in parts."""
        return Account(
            inputs=self.inputs + other.inputs,
            done=self.done + other.done,
            rejected=_sum(self.rejected, other.rejected),
            quarantined=_sum(self.quarantined, other.quarantined),
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
        )


def make_account(items: Iterable[Item], outcomes: Mapping[str, Ending]) -> Account:
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


def _sum(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(some) + Counter(others)).items()))
