"""Releases: build a versioned folder that says what it is, freeze it, and prove later that it still is."""

from curate.release.build import ReleaseSummary, build_release
from curate.release.description import DeidentificationStatement, ReleaseDescription, state
from curate.release.findings import Finding, Kind
from curate.release.verify import verify_release

__all__ = [
    "DeidentificationStatement",
    "Finding",
    "Kind",
    "ReleaseDescription",
    "ReleaseSummary",
    "build_release",
    "state",
    "verify_release",
]
