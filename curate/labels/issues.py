"""What was wrong with a label row, as a row of LABEL_ISSUES.

An issue never stops a run: the row is left out, or used with doubt, and counted under its reason. Details name rules,
numbers and keys; text from a cell never goes in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from curate.manifests.schemas import LABEL_ISSUES
from curate.reasons import Reason


@dataclass(frozen=True, slots=True)
class Issue:
    """``table``: train | boxes | coordinates | series_descriptions | masks; ``row`` counts from 0 below the header."""

    table: str
    row: int | None
    study_key: str | None
    reason: Reason
    detail: str


def issues_table(issues: Iterable[Issue]) -> pa.Table:
    """LABEL_ISSUES rows in the order given."""
    rows = [asdict(issue) | {"reason": issue.reason.value} for issue in issues]
    return pa.Table.from_pylist(rows, schema=LABEL_ISSUES)
