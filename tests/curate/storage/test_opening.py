"""What a path or URL opens, and what is refused without being repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import Misconfigured
from curate.storage import LocalStore, is_url, lies_within, open_store, plain_url
from curate.storage.objects import ObjectStore


def test_a_path_and_a_file_url_open_a_folder_and_other_urls_a_bucket(tmp_path: Path) -> None:
    for place in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        opened = open_store(place)
        assert isinstance(opened, LocalStore)
        assert opened.url == str(tmp_path)
        assert not is_url(place)
    for scheme in ("s3", "gs", "az"):
        assert isinstance(open_store(f"{scheme}://bucket/prefix"), ObjectStore)
        assert is_url(f"{scheme}://bucket")


def test_opening_asks_nothing_of_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:9")  # RFC 5737: nobody answers
    assert open_store("s3://bucket/a/b/").url == "s3://bucket/a/b"


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("S3://bucket/A", "s3://bucket/A"),
        ("gs://my.bucket-1/ä b", "gs://my.bucket-1/ä b"),
    ],
)
def test_a_url_has_one_spelling(url: str, plain: str) -> None:
    assert plain_url(url) == plain == open_store(url).url


def test_an_unknown_scheme_is_refused_by_name() -> None:
    with pytest.raises(Misconfigured, match="gopher"):
        open_store("gopher://bucket/store")


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAX:hunter2@bucket/x",
        "s3://bucket/x?X-Amz-Signature=hunter2",
        "az://container/x#hunter2",
        "s3://bucket:hunter2/x",
        "s3:///hunter2",
        "s3://bucket/a//hunter2",
        "s3://bucket/../hunter2",
        "s3://bucket/./hunter2",
    ],
)
def test_a_url_that_is_more_than_bucket_and_prefix_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Misconfigured, match="environment") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "other", "expected"),
    [
        ("s3://b/a", "s3://b/a", True),
        ("s3://b/a/c/", "s3://b/a", True),
        ("s3://b/a", "s3://b", True),
        ("s3://b/ab", "s3://b/a", False),
        ("s3://b/a", "s3://b/a/c", False),
        ("s3://b/a", "gs://b/a", False),
        ("s3://bb", "s3://b", False),
        (Path("/x/y/../z"), "/x/z", True),
        ("/x/zz", "/x/z", False),
        ("file:///x/z/1", Path("/x/z"), True),
        ("s3://b/a", "/", False),
    ],
)
def test_containment_goes_by_parts_of_the_place(place: str | Path, other: str | Path, expected: bool) -> None:
    assert lies_within(place, other) is expected
