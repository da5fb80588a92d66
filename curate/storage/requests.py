"""Requests to an object store by ``obstore``: who answers, how long to wait, how often to ask, and what to say.

Every request made here may be repeated, so every one is: by obstore (5xx, lost connections), and what obstore does not
repeat a few times more here. What still fails is ``Unavailable``, and whoever runs the work comes back to it later. No
text of the library goes on: it quotes URLs, answers and signatures.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from curate.errors import Misconfigured, Unavailable

Result = TypeVar("Result")
Client: TypeAlias = Any  # obstore.store.S3Store and its like

SCHEMES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}  # and how their variables in the environment begin

TRIES = 4
FIRST_PAUSE_SECONDS = 0.2  # doubled after each refusal, and up to as much again at random
PATIENCE_SECONDS = 90.0  # later than this after the first try there is no other
_TIMEOUTS = {"connect_timeout": "5 s", "read_timeout": "60 s", "timeout": "300 s"}
_RETRIES: Any = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
}
# What obstore reads from the environment about its client as long as it is given no settings, and it is given timeouts.
_CLIENT_SETTINGS = (
    *_TIMEOUTS,
    "allow_http",
    "allow_invalid_certificates",
    "proxy_url",
    "proxy_ca_certificate",
    "proxy_excludes",
)
_STATUS = re.compile(r"status code: (\d{3})")
_MAY_PASS = frozenset({408, 409, 425, 429})  # of the answers that blame the request; 5xx may pass anyway

_NOT_PARTIAL = "NotPartial"  # obstore's name for it, in the text of an error that has no kind of its own
WHOLE_FOR_PART = "the storage there answers a request for a part of an object with the whole"

_process: int | None = None  # whose threads serve obstore


def connect(bucket: str) -> Client:
    """The client of ``scheme://bucket``, with the credentials, region and endpoint that the environment names now.

    Raises ``Misconfigured`` when the environment does not say enough, and in a fork of a process that used a client.
    """
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():  # the threads that serve obstore stayed behind: a request would wait for ever
        raise Misconfigured("an object store cannot be reached from a fork of a process that used one; spawn it")
    begins = SCHEMES[bucket.partition("://")[0]]
    return _connect(bucket, tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith(begins))))


def ask(action: str, key: str, request: Callable[[], Result]) -> Result:
    """What the request gives, asked again while that may help.

    Raises ``FileNotFoundError`` with the key, and ``Unavailable`` when the object store refuses or does not answer.
    """
    from obstore.exceptions import BaseError

    patience = Patience(action)
    while True:
        try:
            return request()
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except BaseError as error:
            patience.wait(error)


class Patience:
    """Bounded: so many tries, with growing pauses between them, for so long."""

    def __init__(self, action: str) -> None:
        self._action = action
        self._tries = 0
        self._began = time.monotonic()

    def wait(self, error: Exception) -> None:
        """Let a while pass after a refusal. Raises ``Unavailable`` when there is no point in asking once more."""
        self._tries += 1
        text, may_pass = _judge(error)
        pause = FIRST_PAUSE_SECONDS * 2**self._tries / 2
        if not may_pass or self._tries >= TRIES or time.monotonic() + pause - self._began > PATIENCE_SECONDS:
            raise Unavailable(f"cannot {self._action}: {text}") from None
        time.sleep(pause + random.uniform(0, pause))


def status_of(error: Exception) -> int | None:
    """The HTTP status that the object store answered with, None if it did not answer."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def is_whole_for_part(error: Exception) -> bool:
    """Whether a part was asked for and the whole came."""
    return _NOT_PARTIAL in str(error)


def _judge(error: Exception) -> tuple[str, bool]:
    """What to say of a refusal, and whether it may pass."""
    from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "the object store denies access", False
    if isinstance(error, PreconditionError):
        return "the object was replaced meanwhile", False
    if isinstance(error, AlreadyExistsError):
        return "other requests for this object are under way", True
    status = status_of(error)
    if status is None:
        return "the object store does not answer, or the environment has no credentials for it", True
    return f"the object store answers {status}", status >= 500 or status in _MAY_PASS


@lru_cache(maxsize=8)
def _connect(bucket: str, environment: tuple[tuple[str, str], ...]) -> Client:
    """One client, and with it one pool of connections, a bucket and environment."""
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    begins = SCHEMES[bucket.partition("://")[0]]
    said = dict(environment)
    chosen = {name: said[name_in] for name in _CLIENT_SETTINGS if (name_in := f"{begins}_{name.upper()}") in said}
    options: Any = {**_TIMEOUTS, **chosen}
    try:
        return from_url(bucket, client_options=options, retry_config=_RETRIES)
    except (BaseError, ValueError):
        raise Misconfigured(
            f"{bucket}: the environment does not say how to reach it; see the variables {begins}_..."
        ) from None
