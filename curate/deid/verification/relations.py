"""What must hold between files: maps one to one, references that resolve as before, one offset a patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.pair import Checked
from curate.deid.verification.standard import FULL_DATES, MODIFIED_DATES


def check_relations(checked: Sequence[tuple[str, Checked]], source_instances: frozenset[str]) -> list[Finding]:
    """``checked``: (the archive that the source came from, the check) of every object that has a source.

    ``source_instances``: SOP Instance UIDs of all objects of the source, released or not.
    """
    files = [one for _, one in checked]
    return [
        *_check_map(Rule.UID_MAP, [(pair, pair, one.path) for one in files for pair in one.judgement.uids]),
        *_check_patients(checked),
        *_check_references(files, source_instances),
        *_check_offsets(files),
        *_check_repeats(files),
    ]


def _check_map(rule: Rule, pairs: Iterable[tuple[tuple[str, str], tuple[str, str], str]]) -> Iterator[Finding]:
    """Pairs (old, new) by their strict spelling, the same by a loose one, and the file."""
    forward: dict[str, str] = {}
    backward: dict[str, str] = {}
    for (old, new), (loose, same), path in pairs:
        if forward.setdefault(old, new) != new:
            yield Finding(path, rule, "", "one became two")
        if backward.setdefault(same, loose) != loose:
            yield Finding(path, rule, "", "two became one")


def _check_patients(checked: Sequence[tuple[str, Checked]]) -> Iterator[Finding]:
    """Within an archive one id is one patient; leading zeros are left to the policy of the site."""
    pairs = []
    for archive, one in checked:
        for old, new in one.judgement.patients:
            issuer, _, number = old.partition("\0")
            loose = f"{issuer}\0{number.lstrip('0')}\0{archive}"
            pairs.append(((f"{archive}\0{old}", new), (loose, f"{archive}\0{new}"), one.path))
    return _check_map(Rule.PATIENT, pairs)


def _check_references(files: Sequence[Checked], source_instances: frozenset[str]) -> Iterator[Finding]:
    released = {one.source_instance: one.instance for one in files if one.source_instance}
    written = set(released.values())
    for one in files:
        for old, new in one.judgement.uids:
            if old in released and released[old] != new:
                yield Finding(one.path, Rule.REFERENCE, "", "resolves no more")
            elif new in written and old not in source_instances:
                yield Finding(one.path, Rule.REFERENCE, "", "resolves, and did not before")


def _check_offsets(files: Sequence[Checked]) -> Iterator[Finding]:
    """One offset a patient; of hours and minutes too, where times move: then a date moves by that day or the next."""
    days: dict[str, set[int]] = defaultdict(set)
    seconds: dict[str, set[int]] = defaultdict(set)
    first: dict[str, Checked] = {}
    for one in files:
        first.setdefault(one.patient, one)
        days[one.patient] |= one.judgement.days
        seconds[one.patient] |= one.judgement.seconds
    for patient, one in first.items():
        found, clock = days[patient], seconds[patient]
        moves_clock = bool(clock - {0})
        if (
            len(clock) > 1
            or len(found) > (2 if moves_clock else 1)
            or max(found, default=0) - min(found, default=0) > 1
        ):
            yield Finding(one.path, Rule.DATE, "", f"{len(found)} offsets for one patient")
        elif found == {0} and MODIFIED_DATES in one.claims and FULL_DATES not in one.claims and not moves_clock:
            yield Finding(one.path, Rule.DATE, "", "dates were not moved")


def _check_repeats(files: Sequence[Checked]) -> Iterator[Finding]:
    seen: set[str] = set()
    for one in files:
        if one.instance and one.instance in seen:
            yield Finding(one.path, Rule.REPEATED)
        seen.add(one.instance)
