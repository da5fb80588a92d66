"""Keyed replacement of what identifies: one function of a project key, so references follow without shared state.

PS3.15 E.1.1: an unkeyed digest of a short identifier is no protection, since all candidates can be tried. Everything
here is HMAC-SHA256 under the project key, with a separate domain for each kind of value, so that equal texts of two
kinds have nothing in common. Without the key no pseudonym, UID or date offset can be computed.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from base64 import b32encode
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

from curate.errors import Misconfigured

KEY_BYTES = 32
LONGEST_SHIFT_DAYS = 3652  # ten years
_DICOM_ROOT = "1.2.840.10008."
_PADDING = " \0\t\r\n"


class Pseudonyms(Protocol):
    """What the engine, the catalogue and the label readers need to name things."""

    def uid(self, value: str) -> str:
        """New UID of an old one (or of any id string that names a study, series or instance)."""

    def patient(self, patient_id: str, *, issuer: str = "", site: str = "") -> str:
        """Key of a patient; the issuer, or else the site, says whose number it is."""

    def token(self, domain: str, value: str) -> str:
        """Short replacement of an accession number and the like."""

    def shift_days(self, patient_key: str) -> int:
        """Days to add to every date of the patient."""

    def digest(self, content: bytes, domain: str = "content") -> str:
        """64 hexadecimal digits that tell equal from changed content."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell one key from another; safe to publish."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """Pseudonyms under a secret key of at least 32 bytes. Never shows its key, and refuses to be pickled."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < KEY_BYTES:
            raise Misconfigured(f"a de-identification key needs at least {KEY_BYTES} bytes")

    def __repr__(self) -> str:
        return f"Keyed(fingerprint={self.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: each process loads it from its source")

    def uid(self, value: str) -> str:
        """``2.25.<128-bit integer>`` (PS3.5 B.2, a version 8 UUID); UIDs that the standard defines stay."""
        old = value.strip(_PADDING)
        if not old or is_well_known(old):
            return old
        number = int.from_bytes(self._mac("uid", old)[:16], "big")
        number = number & ~(0xF << 76) | 0x8 << 76  # version 8: free content
        number = number & ~(0x3 << 62) | 0x2 << 62  # variant of RFC 9562
        return f"2.25.{number}"

    def patient(self, patient_id: str, *, issuer: str = "", site: str = "") -> str:
        """16 characters of A-Z2-7. Case, outer spaces and Unicode form of the number make no difference."""
        owner = ("issuer", canonical_id(issuer)) if canonical_id(issuer) else ("site", canonical_id(site))
        return b32encode(self._mac("patient", *owner, canonical_id(patient_id))[:10]).decode()

    def token(self, domain: str, value: str) -> str:
        """16 hexadecimal digits; an empty value stays empty."""
        old = value.strip(_PADDING)
        return self._mac("token", domain, old)[:8].hex() if old else ""

    def shift_days(self, patient_key: str) -> int:
        """-3652 to -1: never zero, one for each patient."""
        return -1 - int.from_bytes(self._mac("days", patient_key)[:8], "big") % LONGEST_SHIFT_DAYS

    def digest(self, content: bytes, domain: str = "content") -> str:
        """Keyed, so that nobody without the key can test whether a file they hold is the source."""
        subkey = self._mac("digest", domain)
        return hmac.digest(subkey, content, "sha256").hex()

    @property
    def fingerprint(self) -> str:
        """Of the key alone."""
        return self._mac("fingerprint")[:8].hex()

    def _mac(self, *parts: str) -> bytes:
        """Each part with its length in front, so that no two lists of parts give the same message."""
        message = bytearray(b"spine-curate/1")
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass")
            message += len(encoded).to_bytes(4, "big") + encoded
        return hmac.digest(self.key, bytes(message), "sha256")


@dataclass(frozen=True, slots=True)
class PublicIds:
    """For archives that are public already: ids and dates stay as they are."""

    def uid(self, value: str) -> str:
        """The value itself, without padding."""
        return value.strip(_PADDING)

    def patient(self, patient_id: str, *, issuer: str = "", site: str = "") -> str:
        """The id itself, without padding."""
        return patient_id.strip(_PADDING)

    def token(self, domain: str, value: str) -> str:
        """The value itself, without padding."""
        return value.strip(_PADDING)

    def shift_days(self, patient_key: str) -> int:
        """Always 0."""
        return 0

    def digest(self, content: bytes, domain: str = "content") -> str:
        """Plain SHA-256 of the content."""
        return hashlib.sha256(content).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Sixteen zeros: there is no key."""
        return "0" * 16


def patient_key(pseudonyms: Pseudonyms, *, patient_id: str, study_uid: str, issuer: str = "", site: str = "") -> str:
    """Key of the patient of one object, as the catalogue and the de-identified header both name them.

    An object without a patient id stands for a patient of its own study: two people without a number must not
    become one.
    """
    if canonical_id(patient_id):
        return pseudonyms.patient(patient_id, issuer=issuer, site=site)
    return pseudonyms.patient(pseudonyms.uid(study_uid), issuer="", site=f"{site}/no patient id")


def canonical_id(value: str) -> str:
    """One spelling of an id: NFKC, no outer padding, upper case."""
    return unicodedata.normalize("NFKC", value).strip(_PADDING).upper()


def is_well_known(uid: str) -> bool:
    """Whether the standard itself defines the UID (SOP classes, transfer syntaxes, reference frames).

    Some devices make instance UIDs below the root of DICOM: their parts have six digits and more, the standard's
    never do.
    """
    if uid in UID_dictionary:
        return True
    return uid.startswith(_DICOM_ROOT) and all(part.isdigit() and len(part) < 6 for part in uid.split("."))
