"""Keys come from the environment or from a file that nobody else can read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from curate.deid.keys import decode_key, load_key, make_pseudonyms
from curate.deid.pseudonyms import Keyed, PublicIds
from curate.errors import Misconfigured
from tests.support.deid_files import KEY


def write(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return f"file:{path}"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_the_owner_is_read(tmp_path: Path, mode: int) -> None:
    assert load_key(write(tmp_path / "k", KEY.hex().encode() + b"\n", mode)) == KEY


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700])
def test_a_key_file_that_others_may_read_or_run_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Misconfigured, match="0600"):
        load_key(write(tmp_path / "k", KEY.hex().encode(), mode))


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_TEST_KEY", base64.b64encode(KEY).decode())
    assert load_key("env:CURATE_TEST_KEY") == KEY


def test_raw_text_is_a_key_too() -> None:
    assert decode_key(b"correct horse battery staple, and more!") == b"correct horse battery staple, and more!"
    assert decode_key(b"\xff" * 40) == b"\xff" * 40


@pytest.mark.parametrize("source", ["", "env:", "file:", "KEY", "vault:thing", "env:CURATE_TEST_NOT_SET"])
def test_a_source_that_names_no_key_is_refused(source: str) -> None:
    with pytest.raises(Misconfigured):
        load_key(source)


def test_a_missing_file_and_a_folder_are_refused_without_their_path(tmp_path: Path) -> None:
    for path in (tmp_path / "Quixotova.key", tmp_path):
        with pytest.raises(Misconfigured) as caught:
            load_key(f"file:{path}")
        assert str(path) not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_short_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_key(write(tmp_path / "k", b"cafe" * 8))  # 16 bytes once decoded
    assert "cafe" not in str(caught.value)
    assert "16 bytes" in str(caught.value)


def test_the_public_profile_takes_no_key_and_every_other_one_needs_one(tmp_path: Path) -> None:
    assert make_pseudonyms("public", None) == PublicIds()
    assert make_pseudonyms("basic", write(tmp_path / "k", KEY.hex().encode())) == Keyed(KEY)
    with pytest.raises(Misconfigured, match=r"deid\.key"):
        make_pseudonyms("basic", None)


def test_a_command_writes_the_key_and_its_arguments_may_be_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a key"
    path.write_text(KEY.hex() + "\n")
    assert load_key(f"cmd:cat '{path}'") == KEY


def test_a_command_is_run_without_a_shell() -> None:
    assert load_key("cmd:echo $HOME; this is raw text and no shell has seen it") == (
        b"$HOME; this is raw text and no shell has seen it"
    )


@pytest.mark.parametrize(
    "line",
    ["false", "true", "/no/such/program", "sh -c 'echo Quixotova >&2; exit 3'", "echo 'unclosed", " ", "echo abc"],
)
def test_a_command_that_gives_no_key_is_refused_and_its_words_are_not_shown(line: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_key(f"cmd:{line}")
    assert "Quixotova" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_command_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.deid.keys.COMMAND_SECONDS", 0.2)
    with pytest.raises(Misconfigured, match="still at work"):
        load_key("cmd:sleep 30")


def test_a_command_that_floods_is_refused() -> None:
    with pytest.raises(Misconfigured, match="far more"):
        load_key("cmd:head -c 70000 /dev/zero")
