"""What can go wrong, by kind, so that a runtime can decide what to do without reading a message.

No message may carry text from an archive: headers, paths and values identify people. Name things by their keys.
"""

from __future__ import annotations

from curate.reasons import Reason


class CurateError(Exception):
    """Root of every error that this project raises on purpose."""


class Rejected(CurateError):
    """The data cannot be used. Final: never retried, counted under its reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)

    def __reduce__(self) -> tuple[type[Rejected], tuple[Reason, str]]:
        return type(self), (self.reason, self.detail)


class Quarantined(Rejected):
    """The data could not be proven safe to publish. Final like a rejection, but a person should look."""


class Unavailable(CurateError):
    """Storage refused or timed out. Retried with backoff, a bounded number of times."""


class Misconfigured(CurateError):
    """What the user asked for cannot be done as asked. Raised before any work starts; says what to change."""
