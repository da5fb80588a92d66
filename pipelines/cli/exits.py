"""Errors become exit codes and one clear line. No text of an unforeseen error is shown: it may quote an archive."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any

from typer.core import TyperGroup

from curate.errors import CurateError, Misconfigured

EXIT_FOUND = 1  # the check that was asked for found something wrong
EXIT_REFUSED = 2  # what was asked for cannot be done as asked
EXIT_BUG = 70  # an error that nobody foresaw (EX_SOFTWARE)
EXIT_AGAIN = 75  # interrupted, or storage is away: the same command goes on from here (EX_TEMPFAIL)


class Verbs(TyperGroup):
    """The verbs of the command, each run with its errors told."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            leave("interrupted: what is done stays done; the same command goes on from there", EXIT_AGAIN)
        except BrokenPipeError:  # whoever read the output has seen enough: `curate status STORE | head`
            _stop_writing()
        except Misconfigured as error:
            leave(f"error: {error}", EXIT_REFUSED)
        except CurateError as error:
            leave(f"error: {type(error).__name__}: {error}", EXIT_AGAIN)
        except Exception as error:
            if type(error).__module__.startswith(("typer", "click")):  # the command line's own, with their own codes
                raise
            steps = traceback.extract_tb(error.__traceback__)
            frames = "".join(f"  {step.filename}:{step.lineno} in {step.name}\n" for step in steps)
            leave(
                f"{frames}unforeseen {type(error).__name__}; its text is not shown: it may quote an archive", EXIT_BUG
            )


def _stop_writing() -> None:
    """Exit as programs do that a closed pipe ends, without a word where nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at its end
    raise SystemExit(128 + signal.SIGPIPE)


def leave(message: str, code: int) -> None:
    """Say one thing on standard error and exit."""
    print(message, file=sys.stderr)
    raise SystemExit(code)
