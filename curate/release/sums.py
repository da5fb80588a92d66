"""SHA256SUMS: the list of every file of a release, in the format of GNU ``sha256sum -c``.

It is written last, so a folder that holds it is whole. One line a file, ``<64 hexadecimal digits>  <path>``, sorted by
path, with a newline after each: one set of files has exactly one such list, and its own digest names the release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SUMS = "SHA256SUMS"

_PATH_PART = r"[A-Za-z0-9_+=-][A-Za-z0-9._+=-]*"
_PATH = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def is_plain_path(path: str) -> bool:
    """A relative POSIX path of ASCII letters, digits and ``._+=-``, no part of which is empty or starts with a dot."""
    return _PATH.fullmatch(path) is not None


def render_sums(digests: Mapping[str, str]) -> bytes:
    """The list for path -> digest. Raises ``ValueError`` for a path that needs quoting or leaves the folder."""
    if not all(map(is_plain_path, digests)):
        raise ValueError("a release path has only ASCII letters, digits and ._+=-")
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode("ascii")


def parse_sums(content: bytes) -> dict[str, str]:
    """Path -> digest. Raises ``ValueError`` unless the bytes are exactly what ``render_sums`` writes."""
    digests: dict[str, str] = {}
    for number, line in enumerate(content.decode("ascii").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not '<sha256>  <path>'")
        digests[match[2]] = match[1]
    if render_sums(digests) != content:
        raise ValueError("lines are repeated, unsorted or not ended by one newline")
    return digests
