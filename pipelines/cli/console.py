"""What a person sees: tables, bytes and seconds in words."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from pipelines.run import Balance

_WIDE = 200  # columns where nobody's terminal says otherwise: a key is never broken over lines

console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    content = [[f"{cell}" for cell in row] for row in rows]
    for index, name in enumerate(columns):
        numeric = bool(content) and all(row[index].replace(",", "").replace(".", "").isdigit() for row in content)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in content:
        table.add_row(*row)
    console.print(table)


def reasons(counts: Mapping[str, int]) -> str:
    """``3 slice_gap, 1 localizer`` or ``0``."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "0"


def in_bytes(count: float) -> str:
    """``12.3 MB``; 1 MB is a million bytes."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def in_seconds(seconds: float) -> str:
    """``12.3 s`` or ``4 min 12 s``."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def show_balance(balance: Balance) -> None:
    """What happened to every series and file."""
    show_table(
        f"{balance.task}: {balance.series} series",
        ("", "series"),
        [
            ("done", balance.done),
            ("rejected", reasons(balance.rejected)),
            ("quarantined", reasons(balance.quarantined)),
            *([("not yet tried", balance.untried)] if balance.untried else []),
            ("volumes", balance.volumes),
            ("files in no series", reasons(balance.files_set_apart)),
            ("label rows set apart", reasons(balance.label_issues)),
            ("bytes in / out", f"{in_bytes(balance.bytes_in)} / {in_bytes(balance.bytes_out)}"),
        ],
    )
