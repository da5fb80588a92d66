"""What became of each item, and the receipt that says so: the only record that readers believe.

Receipts are canonical JSON. No clock, host or process stands in them, so that the outcomes of the same items are the
same bytes wherever they were computed; only the measured peak memory differs between attempts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from curate.errors import CurateError
from curate.identity import Json, canonical_json
from curate.reasons import REASONS, Reason

RECEIPT_FORMAT = 1


class DamagedReceipt(CurateError):
    """A receipt that cannot be read: the storage lost bytes, or something else wrote there."""


class Status(StrEnum):
    """The three ends of an item, from the most to the least wanted."""

    DONE = "done"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"

    @property
    def rank(self) -> int:
        """0 for done, 1 for rejected, 2 for quarantined: a lower one supersedes a higher one."""
        return tuple(Status).index(self)


@dataclass(frozen=True, slots=True)
class Output:
    """One published object."""

    key: str
    sha256: str
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """How one item ended. ``reason`` is None exactly when it is done; ``record`` is the stage's word on the result."""

    key: str
    fingerprint: str
    status: Status
    reason: Reason | None = None
    detail: str = ""
    outputs: tuple[Output, ...] = ()
    record: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.reason is None) != (self.status is Status.DONE):
            raise ValueError("an outcome has a reason exactly when it is not done")

    @property
    def size(self) -> int:
        """Bytes published for the item."""
        return sum(output.size for output in self.outputs)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One unit, settled: the outcome of each of its items in their order, and what code did it."""

    stage: str
    version: int
    unit_id: str
    parameters: str  # digest of the stage's parameters
    outcomes: tuple[ItemOutcome, ...]
    peak_memory_bytes: int = 0
    code_version: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Canonical JSON; equal receipts give equal bytes."""
        return canonical_json(self.to_fields())

    def to_fields(self) -> dict[str, Any]:
        """What ``to_json`` writes."""
        return {
            "format": RECEIPT_FORMAT,
            "stage": self.stage,
            "version": self.version,
            "unit_id": self.unit_id,
            "parameters": self.parameters,
            "outcomes": [_outcome_to_json(outcome) for outcome in self.outcomes],
            "peak_memory_bytes": self.peak_memory_bytes,
            "code_version": self.code_version,
            "libraries": dict(self.libraries),
        }

    @classmethod
    def from_json(cls, content: bytes) -> Receipt:
        """Raises ``DamagedReceipt`` when the bytes are not a receipt of a format that this version knows."""
        try:
            fields: dict[str, Any] = json.loads(content)
            if fields.pop("format") != RECEIPT_FORMAT:
                raise DamagedReceipt("the receipt has another format; it was written by another version")
            fields["outcomes"] = tuple(_outcome_from_json(outcome) for outcome in fields["outcomes"])
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedReceipt("the receipt cannot be read") from None


def _outcome_to_json(outcome: ItemOutcome) -> dict[str, Json]:
    return {
        "key": outcome.key,
        "fingerprint": outcome.fingerprint,
        "status": outcome.status.value,
        "reason": outcome.reason.value if outcome.reason else None,
        "detail": outcome.detail,
        "outputs": [{"key": output.key, "sha256": output.sha256, "size": output.size} for output in outcome.outputs],
        "record": dict(outcome.record),
    }


def _outcome_from_json(fields: dict[str, Any]) -> ItemOutcome:
    return ItemOutcome(
        **{
            **fields,
            "status": Status(fields["status"]),
            "reason": REASONS[fields["reason"]] if fields["reason"] is not None else None,
            "outputs": tuple(Output(**output) for output in fields["outputs"]),
        }
    )
