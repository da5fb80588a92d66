"""The command line: ``curate VERB``. One module a verb; ``app`` joins them, ``exits`` turns errors into exit codes."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit."""
    import os

    for name, value in environment().items():
        os.environ.setdefault(name, value)

    from pipelines.cli.app import app

    app()


def environment() -> dict[str, str]:
    """What libraries read when they are imported: threads, as Ray's workers have them, and where Arrow takes memory.

    Of Arrow's allocators, those of its own keep some 50 MB of a driver's memory that nothing uses any more.
    """
    from cluster.threads import one_thread_each

    return one_thread_each() | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
