"""The crosswalk for data owners: which source id became which key, encrypted, and never beside what is released.

Nothing in the pipeline reads it: keys follow from the project key alone. It is for the hospital that must find a
patient again. AES-256-GCM (NIST SP 800-38D) under a key drawn from the project key by HKDF-SHA256 (RFC 5869) with a
salt that is a keyed digest of the content: equal rows give an equal file, other rows another key and nonce, so that
no nonce is ever used twice. What the file says in the clear (format, key fingerprint) is authenticated too.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from curate.deid.identifiers import Identifier
from curate.deid.pseudonyms import Keyed
from curate.errors import Misconfigured
from curate.manifests.tables import sort_rows, table_bytes
from curate.storage import lies_within

CROSSWALK = pa.schema(
    [
        ("kind", pa.string()),  # patient | accession | uid | days
        ("site", pa.string()),
        ("patient_key", pa.string()),
        ("source", pa.string()),  # as it stands in the archive; empty for days
        ("released", pa.string()),  # what stands for it in the release; days: the offset of all dates
    ]
)
_MAGIC = b"spine-curate crosswalk 1\n"
_SALT, _FINGERPRINT, _TAG = 32, 16, 16


def crosswalk_rows(
    identifiers: Iterable[Identifier], *, patient_key: str, site: str, pseudonyms: Keyed
) -> list[dict[str, str]]:
    """Rows of CROSSWALK for what the files of one patient held: its ids, accession numbers and UIDs, and its offset."""
    rows = [_row("days", site, patient_key, "", str(pseudonyms.shift_days(patient_key)))]
    for identifier in sorted(set(identifiers)):
        value = identifier.value
        if identifier.kind == "patient_id":
            rows.append(_row("patient", site, patient_key, value, patient_key))
        elif identifier.kind == "accession":
            rows.append(_row("accession", site, patient_key, value, pseudonyms.token("accession", value)))
        elif identifier.kind == "uid":
            rows.append(_row("uid", site, patient_key, value, pseudonyms.uid(value)))
    return rows


def encrypt_crosswalk(rows: Iterable[dict[str, str]], pseudonyms: Keyed) -> bytes:
    """Encrypted bytes of the rows, repeated ones once; the same in whatever order the rows come."""
    distinct = {tuple(row.items()): row for row in rows}
    table = pa.Table.from_pylist(list(distinct.values()), schema=CROSSWALK)
    content = table_bytes(sort_rows(table, CROSSWALK.names))
    head = _MAGIC + pseudonyms.fingerprint.encode("ascii")
    salt = bytes.fromhex(pseudonyms.digest(content, "crosswalk"))
    key, nonce = _draw(pseudonyms, salt)
    return head + salt + AESGCM(key).encrypt(nonce, content, head + salt)


def decrypt_crosswalk(encrypted: bytes, pseudonyms: Keyed) -> pa.Table:
    """The table of CROSSWALK. Raises Misconfigured for another file, another key, or bytes that were changed."""
    start = len(_MAGIC) + _FINGERPRINT + _SALT
    if not encrypted.startswith(_MAGIC) or len(encrypted) < start + _TAG:
        raise Misconfigured("crosswalk: not a crosswalk file")
    head, salt = encrypted[: start - _SALT], encrypted[start - _SALT : start]
    if not hmac.compare_digest(head[len(_MAGIC) :], pseudonyms.fingerprint.encode("ascii")):
        raise Misconfigured("crosswalk: it was written under another key")
    key, nonce = _draw(pseudonyms, salt)
    try:
        content = AESGCM(key).decrypt(nonce, encrypted[start:], head + salt)
    except InvalidTag:
        raise Misconfigured("crosswalk: its bytes were changed") from None
    return pq.read_table(BytesIO(content))


def require_outside(destination: Path, trees: Iterable[Path | str]) -> None:
    """Raises Misconfigured when the crosswalk would lie in a folder that is, or may be, handed on."""
    if any(lies_within(destination, tree) for tree in trees):
        raise Misconfigured("crosswalk: it must not lie in the store or in a release")


def _row(kind: str, site: str, patient_key: str, source: str, released: str) -> dict[str, str]:
    return {"kind": kind, "site": site, "patient_key": patient_key, "source": source, "released": released}


def _draw(pseudonyms: Keyed, salt: bytes) -> tuple[bytes, bytes]:
    """A key of 32 bytes and a nonce of 12 for one content."""
    drawn = HKDF(SHA256(), 44, salt, b"spine-curate/1 crosswalk").derive(pseudonyms.key)
    return drawn[:32], drawn[32:]
