"""Turn what the leak scanner finds in the bytes of a release into findings."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable

from curate.deid.leaks import LeakScanner
from curate.release.findings import Finding, Kind
from curate.release.tree import plain

_HEADER_BYTES = 32 << 10
_RUN = re.compile(rb"[0-9A-Za-z]{16,}")
_KEY = re.compile(rb"[0-9a-f]{64}|[0-9a-f]{16}|(?=[A-Z]*[2-7])[A-Z2-7]{16}")


class LeakCheck:
    """One release's search for identifiers; without a scanner it finds nothing."""

    def __init__(self, scanner: LeakScanner | None) -> None:
        self._scanner = scanner

    def search(self, path: str, where: str, pieces: Iterable[bytes], *, opaque: bool = False) -> list[Finding]:
        """One finding a kind of identifier. ``where`` says which reading of the file is searched.

        Pieces are read even when nothing is searched for, so that what cannot be decoded is noticed.
        ``opaque``: compressed bytes or voxels, where a short name is there by chance.
        """
        hits: Counter[str] = Counter()
        for piece in pieces:
            if self._scanner is not None:
                text = piece if opaque else without_keys(piece)
                hits.update(leak.kind for leak in self._scanner.scan(text, opaque=opaque))
        return leak_findings(path, where, hits)

    def count_within(self, block: bytes, first: int, last: int, *, opaque: bool) -> Counter[str]:
        """Kinds of the hits that start in ``block[first:last]``."""
        if self._scanner is None:
            return Counter()
        leaks = self._scanner.scan(block, opaque=opaque)
        return Counter(leak.kind for leak in leaks if first <= leak.offset < last)


def without_keys(content: bytes) -> bytes:
    """The same number of bytes, with digests and patient keys blanked: among thousands of random keys some hold a name.

    A patient key is 16 characters of A-Z2-7 with a digit among them; a digest or token is 16 or 64 hexadecimal ones.
    Of a DICOM file only the start is looked at, which is where its key stands.
    """
    limit = _HEADER_BYTES if content[128:132] == b"DICM" else len(content)
    return _RUN.sub(_blank_key, content[:limit]) + content[limit:]


class ReportedNames:
    """Names of files as a report may show them: one that holds an identifier becomes ``?`` and its number.

    ``findings``: a leak for each such name.
    """

    def __init__(self, leaks: LeakCheck, names: Iterable[str]) -> None:
        ordered = enumerate(sorted(set(names)))
        self._hidden = {name: f"?{n}" for n, name in ordered if leaks.search(name, "", [os.fsencode(name)])}
        self.findings = [Finding(shown, Kind.LEAK, "in its name") for shown in self._hidden.values()]

    def show(self, name: str) -> str:
        """The name, a number instead of it, or the name with odd characters replaced."""
        return self._hidden.get(name, plain(name))


def leak_findings(path: str, where: str, hits: Counter[str]) -> list[Finding]:
    """Findings for counted kinds."""
    return [Finding(path, Kind.LEAK, f"{kind}: {number} in {where}") for kind, number in sorted(hits.items())]


def _blank_key(run: re.Match[bytes]) -> bytes:
    return b"0" * len(run[0]) if _KEY.fullmatch(run[0]) else run[0]
