"""Files that people write by hand: TOML, read strictly, with one line a fault that begins with the path of its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from curate.errors import Misconfigured


def read_toml(path: Path, *, absent: str) -> dict[str, Any]:
    """The content of a file. Raises ``Misconfigured`` for one that is not there (``absent`` says so), cannot be read or
    is not TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Misconfigured(f"{path}: {absent}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path}: not TOML: {error}") from None


def fault_line(fault: Any, *, whole: str, missing: str = "missing") -> str:
    """One of pydantic's errors in a line. ``whole``: what the file is called where a fault is of no single key.

    The value is not repeated: it may be a secret.
    """
    path = ".".join(map(str, fault["loc"])) or whole
    match fault["type"]:
        case "extra_forbidden":
            return f"{path}: unknown key"
        case "missing":
            return f"{path}: {missing}"
        case "value_error":
            return f"{path}: {fault['ctx']['error']}"
        case _:
            return f"{path}: {fault['msg']}"
