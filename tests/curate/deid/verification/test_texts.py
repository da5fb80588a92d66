"""Every kind of released file is read as text, compressed ones too."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.deid.verification.texts import is_opaque, read_texts


def parquet() -> bytes:
    sink = io.BytesIO()
    table = pa.table({"who": ["Quixotova", None], "list": [["nested"], []], "number": [554477, 1]})
    pq.write_table(table.replace_schema_metadata({"note": "in the metadata"}), sink, compression="zstd")
    return sink.getvalue()


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Elmstreet.txt", "inside")
        archive.comment = b"remark"
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", parquet(), ("Quixotova", "nested", "554477", "in the metadata", "who")),
        ("zarr.json", json.dumps({"attributes": {"name": ["Jörg"]}}).encode(), ("attributes", "Jörg")),
        ("a.csv", b"id,name\n1,Okonkwo\n", ("Okonkwo",)),
        ("a.csv.gz", gzip.compress(b"id,name\n1,Okonkwo\n", mtime=0), ("Okonkwo",)),
        ("a.zip", zipped(), ("Elmstreet.txt", "inside", "remark")),
        ("page.html", "<p>Jörg</p>".encode(), ("Jörg",)),
    ],
)
def test_text_is_found(name: str, content: bytes, words: tuple[str, ...]) -> None:
    text = "\n".join(read_texts(name, content))
    assert all(word in text for word in words)


@pytest.mark.parametrize(
    ("name", "content"), [("a.parquet", b"PAR1 no"), ("a.json", b"{"), ("a.gz", b"\x1f\x8b\0\0"), ("a.zip", b"PK\3\4")]
)
def test_what_is_broken_is_said_to_be(name: str, content: bytes) -> None:
    with pytest.raises(ValueError):
        list(read_texts(name, content))


def test_chunks_and_binary_files_are_opaque() -> None:
    assert is_opaque("v/0.zarr/0/c/0", b"abc")
    assert not is_opaque("v/0.zarr/zarr.json", b"{}")
    assert is_opaque("x.bin", b"a\0b")
    assert not is_opaque("README.md", b"text")
