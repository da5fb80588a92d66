"""The verification report: JSON for a machine, plain words for a privacy officer; no value of the data in either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from curate.deid.verification.findings import Finding
from curate.identity import Json

MOST_SHOWN = 5  # findings of one rule


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, what is wrong, and what a person should know besides."""

    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    options: tuple[str, ...]  # CID 7050 codes that the objects state

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def record(self) -> dict[str, Json]:
        """As JSON values, in a fixed order."""
        return {
            "passed": self.passed,
            "counts": dict(self.counts),
            "options": list(self.options),
            "findings": [
                {"file": one.file, "rule": one.rule.value, "where": one.where, "detail": one.detail}
                for one in self.findings
            ],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """For a reader."""
        verdict = "Nothing is wrong." if self.passed else f"{len(self.findings)} findings: do not release this."
        shown = [verdict, ""]
        shown += [f"{name}: {count:,}" for name, count in self.counts.items()]
        shown.append(
            f"options that the objects state, as codes of DICOM's CID 7050: {', '.join(self.options) or 'none'}"
        )
        if self.findings:
            shown += ["", "What is wrong:"]
            for rule, count in sorted(Counter(one.rule for one in self.findings).items()):
                shown.append(f"  {rule.text} ({rule.value}: {count:,} findings)")
                some = [one for one in self.findings if one.rule is rule]
                shown += [f"    {_place(one)}" for one in some[:MOST_SHOWN]]
                if count > MOST_SHOWN:
                    shown.append(f"    and {count - MOST_SHOWN:,} more: --report writes them all")
        if self.notes:
            shown += ["", "To know:", *(f"  {note}" for note in self.notes)]
        return shown


def _place(finding: Finding) -> str:
    """File, element and detail of a finding, under the line of its rule."""
    return ": ".join(part for part in (finding.file, " ".join(filter(None, (finding.where, finding.detail)))) if part)
