"""Where a project key comes from: an environment variable, a file that only its owner can read, or a command.

A command (``cmd:pass show project``) is a program of a secrets manager that writes the key to its standard output; it
is run without a shell, and what it says otherwise is not shown.

The key is given as 64 or more hexadecimal digits, as Base64, or as raw text; it must hold at least 32 bytes once
decoded. No message ever shows the value, and files are named by what is wrong with them, not by their path.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shlex
import stat
import subprocess
from pathlib import Path

from curate.deid.pseudonyms import KEY_BYTES, Keyed, Pseudonyms, PublicIds
from curate.errors import Misconfigured

KEY_SOURCES = "env:NAME, file:PATH or cmd:PROGRAM ARGUMENTS"
COMMAND_SECONDS = 60
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_LARGEST_FILE = 65536


def load_key(source: str) -> bytes:
    """Read the key that ``env:NAME``, ``file:PATH`` or ``cmd:PROGRAM ARGUMENTS`` names.

    Raises Misconfigured when the source is of another kind, is missing or empty, when the file can be read by others
    (mode 0600 or 0400 is asked for), when the command cannot be run, fails or is still at work after a minute, or when
    fewer than 32 bytes are left after decoding.
    """
    kind, _, name = source.partition(":")
    read = {"env": _from_environment, "file": _from_file, "cmd": _from_command}.get(kind)
    if not name.strip() or read is None:
        raise Misconfigured(f"the key source must be {KEY_SOURCES}")
    content = read(name)
    key = decode_key(content)
    if len(key) < KEY_BYTES:
        raise Misconfigured(f"the key holds {len(key)} bytes after decoding; at least {KEY_BYTES} are needed")
    return key


def make_pseudonyms(profile_name: str, key_source: str | None) -> Pseudonyms:
    """Pseudonyms for a profile: keyed, except for ``public``, which keeps ids and takes no key.

    Raises Misconfigured when a profile that needs a key has none.
    """
    if profile_name == "public":
        return PublicIds()
    if not key_source:
        raise Misconfigured(f"deid.key: profile {profile_name!r} needs a key source ({KEY_SOURCES})")
    return Keyed(load_key(key_source))


def decode_key(content: bytes) -> bytes:
    """Bytes of a key written as hexadecimal digits, as Base64 or, when it is neither, as it stands."""
    text = content.strip()
    try:
        letters = text.decode("ascii")
    except UnicodeDecodeError:
        return content
    if _HEX.fullmatch(letters):
        return bytes.fromhex(letters)
    try:
        decoded = base64.b64decode(letters, validate=True)
    except binascii.Error:
        return text
    return decoded if len(decoded) >= KEY_BYTES else text


def _from_environment(name: str) -> bytes:
    value = os.environb.get(name.encode())
    if not value:
        raise Misconfigured(f"the environment variable {name} that should hold the key is not set")
    return value


def _from_command(line: str) -> bytes:
    try:
        arguments = shlex.split(line)
        ran = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Misconfigured(f"the command for the key is still at work after {COMMAND_SECONDS} s") from None
    except (OSError, ValueError, IndexError):
        raise Misconfigured("the command for the key cannot be run") from None
    if ran.returncode != 0:
        raise Misconfigured(f"the command for the key failed with exit code {ran.returncode}")
    if not ran.stdout.strip() or len(ran.stdout) > _LARGEST_FILE:
        raise Misconfigured("the command for the key wrote nothing, or far more than a key")
    return ran.stdout


def _from_file(name: str) -> bytes:
    try:
        handle = os.open(Path(name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise Misconfigured("the key file cannot be opened") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Misconfigured("the key file is not a regular file")
        if status.st_mode & 0o177 or status.st_uid not in (os.geteuid(), 0):
            raise Misconfigured("the key file must belong to you and have mode 0600 or 0400")
        return os.read(handle, _LARGEST_FILE)
    finally:
        os.close(handle)
