import os
from pathlib import Path

import pytest

from curate.release.findings import Finding, Kind
from curate.release.tree import compare_digests, list_tree, plain


def kinds(findings: list[Finding]) -> list[tuple[str, Kind]]:
    return sorted((finding.path, finding.kind) for finding in findings)


def test_regular_files_are_listed_with_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "two").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"")
    assert list_tree(tmp_path) == ({"a": 0, "b/c/two": 2}, [])


def test_links_pipes_and_empty_folders_are_findings_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"1")
    root = tmp_path / "root"
    (root / "empty").mkdir(parents=True)
    (root / "file").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "dangling").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe")
    files, findings = list_tree(root)
    assert files == {}
    assert kinds(findings) == [(name, Kind.NOT_A_FILE) for name in ("dangling", "empty", "file", "folder", "pipe")]


def test_an_empty_release_is_an_empty_folder(tmp_path: Path) -> None:
    assert kinds(list_tree(tmp_path)[1]) == [(".", Kind.NOT_A_FILE)]


def test_changed_missing_extra_and_renamed_files_are_told_apart() -> None:
    listed = {"same": "1", "changed": "2", "missing": "3", "old": "4"}
    found = {"same": "1", "changed": "9", "new": "4", "extra": "5"}
    assert kinds(compare_digests(listed, found)) == [
        ("changed", Kind.CHANGED),
        ("extra", Kind.EXTRA),
        ("missing", Kind.MISSING),
        ("old", Kind.RENAMED),
    ]


def test_a_copy_of_a_listed_file_is_extra_and_two_files_swapped_are_both_changed() -> None:
    listed = {"a": "1", "b": "2"}
    assert kinds(compare_digests(listed, {"a": "1", "b": "2", "copy": "1"})) == [("copy", Kind.EXTRA)]
    assert kinds(compare_digests(listed, {"a": "2", "b": "1"})) == [("a", Kind.CHANGED), ("b", Kind.CHANGED)]


def test_one_moved_and_one_removed_of_two_equal_files_are_one_rename_and_one_loss() -> None:
    findings = compare_digests({"a": "1", "b": "1"}, {"c": "1"})
    assert kinds(findings) == [("a", Kind.RENAMED), ("b", Kind.MISSING)]


@pytest.mark.parametrize(("path", "shown"), [("a/b.csv", "a/b.csv"), ("a/b c\n.csv", "a/b?c?.csv"), ("\udce9", "?")])
def test_a_name_is_shown_without_what_a_terminal_would_obey(path: str, shown: str) -> None:
    assert plain(path) == shown
