"""The command line: ``curate VERB``. One module a verb; ``app`` joins them and ``exits`` turns errors into exit codes."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit."""
    from pipelines.cli.app import app

    app()
