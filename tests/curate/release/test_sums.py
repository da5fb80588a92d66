import subprocess
from pathlib import Path

import pytest

from curate.release.sums import is_plain_path, parse_sums, render_sums

A, B = "a" * 64, "b" * 64


def test_what_is_rendered_is_sorted_by_path_and_parses_to_the_same_digests() -> None:
    content = render_sums({"b/c.dcm": B, "a.csv": A})
    assert content == f"{A}  a.csv\n{B}  b/c.dcm\n".encode()
    assert parse_sums(content) == {"a.csv": A, "b/c.dcm": B}


def test_coreutils_reads_the_list(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes, FIPS 180-4
    (tmp_path / "SHA256SUMS").write_bytes(render_sums({"empty": empty}))
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\n",
        f"{A}  a.csv".encode(),  # no newline at the end
        f"{A}  a.csv\n\n".encode(),
        f"{A}  a.csv\r\n".encode(),
        f"{A} *a.csv\n".encode(),
        f"{A.upper()}  a.csv\n".encode(),
        f"{B}  b.csv\n{A}  a.csv\n".encode(),  # unsorted
        f"{A}  a.csv\n{A}  a.csv\n".encode(),  # repeated
        f"{A}  ../a.csv\n".encode(),
        f"{A}  /etc/passwd\n".encode(),
        f"{A}  \xe9.csv\n".encode(),
    ],
)
def test_any_other_spelling_of_a_list_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_sums(content)


@pytest.mark.parametrize("path", ["", "a//b", "/a", "a/", "../a", "a/../b", ".hidden", "a b", "é", "a\nb", "a\\b", "."])
def test_a_path_that_needs_quoting_or_leaves_the_folder_is_not_plain(path: str) -> None:
    assert not is_plain_path(path)
    with pytest.raises(ValueError):
        render_sums({path: A})


def test_uids_and_zarr_chunks_are_plain_paths() -> None:
    assert is_plain_path("train_images/2.25.329800735698586629295641978511506172918/12.dcm")
    assert is_plain_path("volumes/1/2/0.zarr/0/c/0/0/0")
