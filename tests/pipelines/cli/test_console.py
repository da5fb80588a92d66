"""What a person reads: numbers in words, tables that break no key, errors as one line and a code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from curate.errors import CurateError, Misconfigured, Quarantined, Unavailable
from curate.reasons import Reason
from pipelines.cli import console as shown
from pipelines.cli.console import in_bytes, in_seconds, reasons, show_balance, show_table
from pipelines.cli.exits import EXIT_AGAIN, EXIT_BUG, EXIT_FOUND, EXIT_REFUSED, Verbs, leave
from pipelines.run import Balance

Command = Callable[..., tuple[int, str]]
CURATE = Path(sys.executable).parent / "curate"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (350e9, "350.0 GB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_bytes_in_words(count: float, words: str) -> None:
    assert in_bytes(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (119.94, "119.9 s"), (120, "2 min 0 s"), (3671, "61 min 11 s")]
)
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert in_seconds(seconds) == words


def test_reasons_are_counted_or_none() -> None:
    assert reasons({}) == "0"
    assert reasons({"slice_gap": 3, "localizer": 1}) == "3 slice_gap, 1 localizer"


def test_a_table_breaks_no_key_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    key = "2.25." + "9" * 39
    show_table("Series", ("site", "key", "count"), [("north", key, 3), ("south", key, 12)])
    assert capsys.readouterr().out.count(key) == 2


def test_brackets_in_a_path_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    shown.console.print("store /data/[red]/x[/y]")
    assert "/data/[red]/x[/y]" in capsys.readouterr().out


def test_a_balance_shows_every_count(capsys: pytest.CaptureFixture[str]) -> None:
    show_balance(
        Balance(
            task="cervical",
            series=9,
            done=6,
            rejected={"slice_gap": 2},
            quarantined={"leak_found": 1},
            files_set_apart={"empty_file": 4},
            volumes=7,
            bytes_in=2_000_000,
            bytes_out=3_000_000,
            label_issues={"label_unknown_study": 5},
        )
    )
    text = capsys.readouterr().out
    for part in ("9 series", "2 slice_gap", "1 leak_found", "4 empty_file", "2.0 MB / 3.0 MB", "5 label_unknown_study"):
        assert part in text


def command_that(raises: BaseException) -> tuple[int, str]:
    app = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise raises

    @app.command()
    def other() -> None:
        """Two commands make a group."""

    result = CliRunner().invoke(app, ["fail"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Misconfigured("store: missing"), EXIT_REFUSED, "error: store: missing"),
        (Unavailable("cannot write: No space left on device"), EXIT_AGAIN, "No space left on device"),
        (Quarantined(Reason.LEAK_FOUND, "2 places"), EXIT_AGAIN, "leak_found: 2 places"),
        (CurateError("something ours"), EXIT_AGAIN, "something ours"),
        (KeyboardInterrupt(), EXIT_AGAIN, "the same command goes on from there"),
        (typer.Exit(EXIT_FOUND), EXIT_FOUND, ""),
    ],
)
def test_an_error_is_one_line_and_a_code(error: BaseException, code: int, text: str) -> None:
    found, output = command_that(error)
    assert found == code
    assert text in output
    assert "Traceback" not in output


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError, MemoryError, UnicodeError, RecursionError])
def test_an_unforeseen_error_tells_where_and_not_what(kind: type[Exception]) -> None:
    code, output = command_that(kind("Doe^Jane was born on 19700101"))
    assert code == EXIT_BUG
    assert f"unforeseen {kind.__name__}" in output
    assert "test_console.py" in output
    assert "Doe" not in output
    assert "1970" not in output


def test_leaving_says_its_message_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        leave("gone", 75)
    assert caught.value.code == 75
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "gone\n")


def test_the_installed_command_answers() -> None:
    asked = subprocess.run([CURATE, "--help"], capture_output=True, text=True, check=False)
    assert asked.returncode == 0
    assert "Start here: curate demo" in " ".join(asked.stdout.split())


def test_asking_for_help_needs_neither_ray_nor_torch_and_libraries_are_held_to_one_thread() -> None:
    program = (
        "import os, sys; sys.argv = ['curate', '--help']; os.environ.pop('OMP_NUM_THREADS', None)\n"
        "from pipelines.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'ray', 'torch', 'scipy.interpolate'} & set(sys.modules)), os.environ['OMP_NUM_THREADS'])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines()[-1] == "[] 1"


def test_no_arguments_show_the_help(command: Command) -> None:
    assert "phantoms" in command()[1]


def test_a_misspelt_option_is_refused_with_its_name(command: Command) -> None:
    code, said = command("run", "spec.toml", "--wokers", "2")
    assert code == EXIT_REFUSED
    assert "--wokers" in said
