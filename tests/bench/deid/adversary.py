"""``python -m tests.bench.deid.adversary``: what someone with the code, the outputs and every raw value, but not the
key, can compute.

The adversary tries MD5, SHA-1, SHA-256, SHA-512, BLAKE2 and BLAKE3 of every raw value in the spellings that
de-identifiers use (hex, Base32, decimal UID, uuid5, cut to every length), also as HMAC with keys and beside salts that
can be guessed, the engine itself with such keys, and the date shifts that follow from digests. Nothing of that may
occur in the outputs or audits.
"""

from __future__ import annotations

import argparse
import binascii
import hashlib
import hmac
import json
import re
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from io import BytesIO

import pydicom
from blake3 import blake3
from pydicom.dataset import Dataset

from curate.deid import Keyed, Profile, deidentify_bytes, load_profile
from curate.errors import CurateError
from tests.bench.deid.midib_archive import Archive, Source, day_of, make_archive

KEY = hashlib.sha256(b"a key that nobody has").digest()
SHORTEST = 10
"""Characters of a digest whose occurrence is no accident: 16^10 is a million times the strings looked at."""

_DIGESTS: tuple[Callable[[bytes], bytes], ...] = (
    lambda value: hashlib.md5(value, usedforsecurity=False).digest(),
    lambda value: hashlib.sha1(value, usedforsecurity=False).digest(),
    lambda value: hashlib.sha256(value).digest(),
    lambda value: hashlib.sha512(value).digest(),
    lambda value: hashlib.blake2b(value, digest_size=32).digest(),
    lambda value: blake3(value).digest(),
    lambda value: uuid.uuid3(uuid.NAMESPACE_OID, value.decode("utf-8", "replace")).bytes,
    lambda value: uuid.uuid5(uuid.NAMESPACE_OID, value.decode("utf-8", "replace")).bytes,
)
_GUESSES = (
    b"",
    bytes(32),
    b"\xff" * 32,
    b"spine-curate",
    b"spine-curate/1",
    b"key",
    b"secret",
    b"password",
    bytes(range(32)),
)
_FIVE_BITS = b"abcdefghijklmnopqrstuvwxyz234567"
_BASE32 = [bytes((first, second)) for first in _FIVE_BITS for second in _FIVE_BITS]
"""Two characters of Base32 by ten bits."""
_UUID4, _UUID5 = (version << 76 | 2 << 62 for version in (4, 5))
_NOT_OF_A_UUID = ~(0xF << 76 | 3 << 62)
_PERIODS = (365, 366, 730, 3650, 3651, 3652, 3653, 1000, 10000)
_WORDS = re.compile(rb"[0-9A-Za-z]{%d,}" % SHORTEST)


def raw_values(raw: bytes, *, site: str) -> set[bytes]:
    """Every value of a source file as text, as it stands and in the spellings that a canonical form may have."""
    values: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in pydicom.dcmread(BytesIO(raw)).iterall():
            if element.VR not in ("SQ", "OB", "OW", "UN"):
                values.update(str(part) for part in (element.value if element.VM > 1 else [element.value]))
    spelled = {
        form for value in values for form in (value, value.strip(), value.upper().strip(), value.lower().strip())
    }
    joined = {f"{site}{mark}{value}" for value in spelled for mark in ("", "/", "|", ":", "\0")}
    return {value.encode() for value in spelled | joined if value} | {raw}


def derivations(values: Iterable[bytes]) -> Iterator[bytes]:
    """Digests of all values, with and without keys and salts that can be guessed."""
    for value in values:
        for digest in _DIGESTS:
            yield digest(value)
        for key in _GUESSES:
            for name in ("md5", "sha1", "sha256"):
                yield hmac.digest(key, value, name)
        for salt in _GUESSES[1:]:
            for salted in (salt + value, value + salt):
                yield hashlib.sha256(salted).digest()
                yield blake3(salted).digest()
            if len(salt) == 32:
                yield blake3(value, key=salt).digest()


def beginnings(digest: bytes) -> Iterator[bytes]:
    """The first characters of a digest as a pseudonym may show it: ``SHORTEST`` of them, less where there are less."""
    yield binascii.b2a_hex(digest[:5])
    bits = int.from_bytes(digest[:7], "big") >> 6
    yield b"".join(_BASE32[bits >> shift & 1023] for shift in (40, 30, 20, 10, 0))
    yield binascii.b2a_base64(digest[:8], newline=False)[:SHORTEST].lower()
    for size in {8, 16, len(digest)}:
        part = digest[:size]
        yield b"%d" % int.from_bytes(part, "big")
        yield b"%d" % int.from_bytes(part, "little")
    if len(digest) >= 16:
        bare = int.from_bytes(digest[:16], "big") & _NOT_OF_A_UUID
        yield b"%d" % (bare | _UUID4)
        yield b"%d" % (bare | _UUID5)


def reproduced_names(outputs: Iterable[bytes], values: Iterable[bytes]) -> list[str]:
    """Words of the outputs that a digest of a raw value begins with; empty when the key is needed for all of them."""
    seen: dict[bytes, str] = {}
    for output in outputs:
        for word in _WORDS.findall(output.lower()):
            seen.setdefault(word[:SHORTEST], word.decode())
    found = set()
    for digest in derivations(values):
        for begun in beginnings(digest):
            if begun[:SHORTEST] in seen:
                found.add(seen[begun[:SHORTEST]])
    return sorted(found)


def reproduced_by_guessed_keys(outputs: Iterable[bytes], values: Iterable[bytes], sites: Iterable[str]) -> list[str]:
    """Words of the outputs that this very code makes of raw values under a key that can be guessed."""
    seen = {word.decode() for output in outputs for word in _WORDS.findall(output.lower())}
    texts = sorted({value.decode("utf-8", "replace") for value in values if len(value) < 256})
    made: set[str] = set()
    for keyed in (Keyed(guess) for guess in _GUESSES if len(guess) >= 32):
        for text in texts:
            made |= {keyed.uid(text).rpartition(".")[2], keyed.token("accession", text)}
            made |= {keyed.patient(text, site=site).lower() for site in sites}
    return sorted(made & seen - {text.lower().rpartition(".")[2] for text in texts})


def reproduced_shifts(patients: Sequence[tuple[Mapping[str, bytes], int]]) -> list[str]:
    """Formulas that give the date shift of every patient: attribute, digest, period, byte order, bytes taken.

    ``patients``: raw values by attribute, and the shift in days. One patient fits some formula by accident; with five
    patients and more a formula that holds for all of them is none.
    """
    fitting: set[str] | None = None
    for values, days in patients:
        fits = {
            f"{name}: digest {index}, {order} {size} bytes mod {period}"
            for name, value in values.items()
            for index, digest in enumerate(derivations([value]))
            for order, size, number in _numbers(digest)
            for period in _PERIODS
            if abs(days) % period in _near(number % period, period)
        }
        fitting = fits if fitting is None else fitting & fits
    return sorted(fitting or ())


def _numbers(digest: bytes) -> Iterator[tuple[str, int, int]]:
    for size in (4, 8, len(digest)):
        yield "big", size, int.from_bytes(digest[:size], "big")
        yield "little", size, int.from_bytes(digest[:size], "little")


def _near(number: int, period: int) -> tuple[int, ...]:
    """The number, one off, and its negative: shifts run forth or back, from zero or one."""
    return (number, (number + 1) % period, (number - 1) % period, (-number) % period)


def attack(archive: Archive, profile: Profile) -> tuple[list[str], list[str], int]:
    """Names and shift formulas reproduced, and how many outputs were attacked."""
    outputs, values = [], set[bytes]()
    patients: dict[int, tuple[dict[str, bytes], int]] = {}
    for source in archive.sources:
        try:
            done = deidentify_bytes(source.raw, profile, Keyed(KEY), site=source.site)
        except CurateError:
            continue
        outputs += [_text_of(done.content), json.dumps(done.audit.record()).encode()]
        mine = raw_values(source.raw, site=source.site)
        values |= mine
        if source.patient not in patients:
            patients[source.patient] = (_ids(source), _days(source.raw, done.content))
    names = reproduced_names(outputs, values - {b""})
    names += reproduced_by_guessed_keys(outputs, values, {source.site for source in archive.sources})
    return names, reproduced_shifts(list(patients.values())), len(outputs) // 2


def _text_of(content: bytes) -> bytes:
    """All values of an output that are written as text, one a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset: Dataset = pydicom.dcmread(BytesIO(content))
        kept = [str(element.value) for element in dataset.iterall() if element.VR not in ("SQ", "OB", "OW", "UN")]
    return "\n".join(kept).encode()


def _ids(source: Source) -> dict[str, bytes]:
    dataset = pydicom.dcmread(BytesIO(source.raw), stop_before_pixels=True)
    values = {}
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID"):
        text = str(dataset[keyword].value)
        values[keyword] = text.encode()
        values[f"{keyword}, canonical"] = text.strip().upper().encode()
    return values


def _days(before: bytes, after: bytes) -> int:
    days: list[date] = []
    for content in (before, after):
        day = day_of(pydicom.dcmread(BytesIO(content), specific_tags=["StudyDate"]).StudyDate)
        assert day is not None
        days.append(day)
    return (days[1] - days[0]).days


def main() -> None:
    """Attack and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--profile", default="mira")
    arguments = parser.parse_args()
    archive = make_archive(patients=arguments.patients, pixels=False)
    names, shifts, count = attack(archive, load_profile(arguments.profile))
    print(f"{count} outputs attacked; names reproduced: {len(names)}; date shift formulas: {len(shifts)}")
    for found in (*names, *shifts):
        print(f"  {found}")


if __name__ == "__main__":
    main()
