"""One output object: judged alone, or against the source object that became it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from curate.deid.verification.claims import Claims, Marks, Overrides, claims_of
from curate.deid.verification.cross import disagreements
from curate.deid.verification.derive import Rename
from curate.deid.verification.entries import PIXELS, Contents, describe, flat
from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.judge import Judge, Judgement
from curate.deid.verification.labels import PATIENT_ID
from curate.deid.verification.parsing import NATIVE, parse_contents
from curate.deid.verification.pixels import compare_pixels
from curate.deid.verification.reading import read_contents
from curate.deid.verification.search import Search
from curate.deid.verification.standard import FULL_DATES, KEEP_UIDS
from curate.deid.verification.words import (
    SHORTEST_NAME,
    TEXT_VRS,
    Known,
    day_of,
    decode,
    encodings_of,
    fold,
    known_of,
    name_words,
    values,
)
from curate.errors import Rejected

_OPEN = b"\xff" * 4  # as the length of a value: it has fragments
_META = 144  # bytes of a file that are never deflated, and their length


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of one output object after its check. ``known`` identifies: it stays in memory."""

    path: str
    findings: tuple[Finding, ...]
    claims: frozenset[str] = frozenset()
    instance: str = ""
    series: str = ""
    patient: str = ""
    source_instance: str = ""
    judgement: Judgement = field(default_factory=Judgement)
    known: frozenset[Known] = frozenset()
    kept_words: frozenset[str] = frozenset()
    pixels: str = "not compared"
    changed_share: float = 0.0
    keeps_ids: bool = False
    is_unreadable: bool = False
    is_crossed: bool = False  # whether GDCM read it too
    study: str = ""

    @property
    def stated(self) -> frozenset[str]:
        """CID 7050 codes in the object; none where it says that its ids were public."""
        return frozenset() if self.keeps_ids else self.claims


def check_output(content: bytes, path: str, overrides: Overrides | None = None) -> Checked:
    """Everything that is wrong with an output object and can be seen without its source."""
    return check_pair(None, content, path, overrides=overrides)


def check_pair(
    source: bytes | None,
    content: bytes,
    path: str,
    *,
    rename: Rename | None = None,
    overrides: Overrides | None = None,
    marks: Marks | None = None,
    crossed: set[str] | None = None,
) -> Checked:
    """Everything that is wrong with an output object against its source. ``path`` names it in findings.

    GDCM must read the same in the output: in every one of a series that is not yet in ``crossed`` (which then holds it)
    or in which something is wrong; without ``crossed`` in every one.
    """
    if content[128:132] != b"DICM":
        return Checked(path, (Finding(path, Rule.PREAMBLE),), is_unreadable=True)
    try:
        after = parse_contents(content)
    except Rejected:
        return Checked(path, (Finding(path, Rule.UNREADABLE),), is_unreadable=True)
    try:
        before = None if source is None else read_source(source)
    except Rejected:
        return Checked(path, (Finding(path, Rule.UNREADABLE, "", "its source"),), is_unreadable=True)
    claims = claims_of(after, overrides, marks)
    judgement = Judge(claims, rename).judge(after, before)
    findings = [Finding(path, rule, where, detail) for rule, where, detail in judgement.broken]
    if content[:128] != bytes(128):
        findings.append(Finding(path, Rule.PREAMBLE))
    findings += _ends(after, path)
    how, share = "not compared", 0.0
    known: frozenset[Known] = frozenset()
    kept: frozenset[str] = frozenset()
    if before is not None and source is not None:
        compared = compare_pixels(source, content, before, after, claims.codes)
        how, share = compared.how, compared.changed_share
        if compared.fault:
            findings.append(Finding(path, Rule.PIXELS, "", compared.fault))
        known, kept = wanted(before, claims), kept_words(after)
        own = without_common(known, kept)
        search = _search(frozenset(one for one in own if one.kind != "uid"), _days(after))
        findings += leaks_in(search.with_uids(one.value for one in own if one.kind == "uid"), path, content, after)
    series = after.text(0x0020000E)
    is_crossed = bool(findings) or crossed is None or series not in crossed
    if is_crossed:
        findings += _crossed(content, after, path)
        if crossed is not None:
            crossed.add(series)
    return Checked(
        path,
        tuple(findings),
        claims.codes,
        after.text(0x00080018),
        series,
        after.text(PATIENT_ID),
        "" if before is None else before.text(0x00080018),
        judgement,
        known,
        kept,
        how,
        share,
        claims.keeps_ids,
        is_crossed=is_crossed,
        study=after.text(0x0020000D),
    )


def read_source(source: bytes) -> Contents:
    """By the verifier's parser, or by GDCM where the source is not as the standard says. Raises Rejected."""
    try:
        return parse_contents(source, is_source=True)
    except Rejected:
        return read_contents(source, is_source=True)


def _ends(after: Contents, path: str) -> Iterator[Finding]:
    """Pixels come last, in fragments where the transfer syntax encapsulates them and only there (PS3.5 A.4)."""
    last = after.entries[-1].tag if after.entries else 0
    if after.trailing or last > PIXELS[-1] or (after.has_pixels() and last not in PIXELS):
        yield Finding(path, Rule.TRAILING)
    if after.pixels is not None:
        start = after.pixels[0]
        is_open = after.dataset[start - 4 : start] == _OPEN
        if is_open is (after.transfer_syntax in NATIVE):
            yield Finding(path, Rule.UNREADABLE, describe(last), "its form is not that of the transfer syntax")


def _crossed(content: bytes, after: Contents, path: str) -> list[Finding]:
    try:
        return [Finding(path, Rule.READERS, where, detail) for where, detail in disagreements(content, after)]
    except Rejected:
        return [Finding(path, Rule.READERS, "", "GDCM cannot read the file")]


@lru_cache(maxsize=8)
def _search(known: frozenset[Known], days: frozenset[str]) -> Search:
    """Files of one series know the same, but for UIDs, which cost nothing."""
    return Search(one for one in known if one.value not in days)


def wanted(source: Contents, claims: Claims) -> frozenset[Known]:
    """What may not be found in the output, given what it says that it keeps."""
    kept = {"uid"} if KEEP_UIDS in claims.codes else set()
    kept |= {"date"} if FULL_DATES in claims.codes else set()
    known = {one for one in known_of(source, claims.codes) if one.kind not in kept}
    if claims.keeps_ids:
        own = fold(source.text(PATIENT_ID))
        known = {one for one in known if one.kind != "id" and fold(one.value) not in own}
    return frozenset(known)


def leaks_in(search: Search, path: str, content: bytes, after: Contents) -> list[Finding]:
    """Leaks in the decoded values and in the bytes of one DICOM file."""
    hits: Counter[str] = Counter()
    encodings = encodings_of(after.entries)
    pieces = []
    for entry in flat(after.entries):
        if entry.value and (entry.vr in TEXT_VRS or entry.vr in ("UI", "DA", "DT", "CS", "PN")):
            pieces.append(decode(entry.value, encodings))
    hits = search.text("\n".join(pieces))
    if after.dataset is content:
        in_bytes = search.bytes(content, opaque=after.pixels or (0, 0))
    else:  # deflated: as it was before, too
        in_bytes = search.bytes(after.dataset, opaque=after.pixels or (0, 0))
        in_bytes += search.bytes(content, opaque=(_META, len(content)))
    return [
        *(Finding(path, Rule.LEAK, "", f"{kind} ({count}) in decoded text") for kind, count in sorted(hits.items())),
        *(Finding(path, Rule.LEAK, "", f"{kind} ({count}) in bytes") for kind, count in sorted(in_bytes.items())),
    ]


def kept_words(output: Contents) -> frozenset[str]:
    """Words of codes in the output: what a protocol is called is no secret of a patient."""
    return frozenset(
        word
        for entry in flat(output.entries)
        if entry.vr == "CS" or entry.tag in (0x00080104, 0x00080070, 0x00081090)
        for word in name_words(entry.value.decode("latin-1"))
    )


def without_common(known: frozenset[Known], kept: frozenset[str]) -> list[Known]:
    """Leaves out phrases that say nothing but words of the trade: 'CT SPINE' identifies nobody."""
    return [
        one
        for one in known
        if one.kind != "phrase"
        or any(word not in kept for word in name_words(one.value))
        or sum(letter.isdigit() for letter in one.value) > SHORTEST_NAME
    ]


def _days(output: Contents) -> frozenset[str]:
    """Dates of the output: a shifted date of a patient can be another, true one by chance."""
    return frozenset(
        day for entry in flat(output.entries) if entry.vr in ("DA", "DT") for day in map(day_of, values(entry))
    )
