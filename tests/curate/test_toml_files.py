"""Files written by hand: what is wrong is said in one line with the path of the key, and no value is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from curate.errors import Misconfigured
from curate.toml_files import fault_line, read_toml


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int

    @field_validator("count")
    @classmethod
    def _even(cls, count: int) -> int:
        if count % 2:
            raise ValueError("expected an even number")
        return count


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: tuple[Part, ...]


def test_what_a_file_says_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[a]\nname = "ö"\n', "utf-8")
    assert read_toml(tmp_path / "a.toml", absent="") == {"a": {"name": "ö"}}


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "there is none"), (b"a = ", "not TOML: "), (b"a = '\xff'", r"cannot be read \(UnicodeDecodeError\)")],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured, match=f"a.toml: {fault}"):
        read_toml(path, absent="there is none")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"parts": [{"count": 2, "key": "s3cret"}]}, "parts.0.key: unknown key"),
        ({"parts": [{}]}, "parts.0.count: needed"),
        ({"parts": [{"count": 3}]}, "parts.0.count: expected an even number"),
        ({"parts": [{"count": "s3cret"}]}, "parts.0.count: Input should be a valid integer"),
        ("s3cret", "the file: Input should be a valid dictionary"),
    ],
)
def test_a_fault_is_one_line_with_the_path_of_its_key(content: object, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(content)
    (fault,) = caught.value.errors()
    said = fault_line(fault, whole="the file", missing="needed")
    assert said.startswith(line)
    assert "s3cret" not in said
