"""The command line: ``curate VERB``. One module a verb; ``app`` joins them, ``exits`` turns errors into exit codes."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit."""
    import os

    from cluster.threads import one_thread_each

    for name, value in one_thread_each().items():  # before numpy is imported; inline runs are to equal Ray's
        os.environ.setdefault(name, value)

    from pipelines.cli.app import app

    app()
