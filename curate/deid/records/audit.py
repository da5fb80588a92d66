"""What is said about one de-identified file: digests and counts, no value of the source."""

from __future__ import annotations

from dataclasses import dataclass

from curate.identity import Json


@dataclass(frozen=True, slots=True)
class FileAudit:
    """Safe to publish. Digests are 64 hexadecimal digits; the one of the source is keyed."""

    profile: str
    profile_digest: str
    edition: str
    key_fingerprint: str
    sop_class_uid: str
    source_digest: str
    output_sha256: str
    counts: tuple[tuple[str, int], ...]  # what was done -> elements, at any depth, sorted by name
    flags: tuple[str, ...] = ()  # what made the pixels worth a look
    blanked: tuple[tuple[str, int, int, int, int], ...] = ()  # cause, top, left, bottom, right in all frames

    def record(self) -> dict[str, Json]:
        """As JSON values."""
        return {
            "profile": self.profile,
            "profile_digest": self.profile_digest,
            "edition": self.edition,
            "key_fingerprint": self.key_fingerprint,
            "sop_class_uid": self.sop_class_uid,
            "source_digest": self.source_digest,
            "output_sha256": self.output_sha256,
            "counts": dict(self.counts),
            "flags": list(self.flags),
            "blanked": [list(box) for box in self.blanked],
        }
