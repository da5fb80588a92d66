"""What the HTML pages of this package share: one file each, no network, a policy that names their own style and script.

A template stands in ``page/``; its places, such as ``{lede}``, are filled with markup that the caller has escaped.
"""

from __future__ import annotations

import hashlib
import html
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

_PLACE = re.compile(r"\{([a-z_]+)\}")


def fill_page(name: str, parts: Mapping[str, str], *, has_script: bool = False) -> bytes:
    """``page/NAME.html`` with its style (and script) and parts put in; UTF-8. Filled places are not looked at again."""
    filled = dict(parts)
    for kind, suffix in (("style", "css"), ("script", "js"))[: 1 + has_script]:
        content = _resource(f"{name}.{suffix}")
        filled |= {kind: content, f"{kind}_hash": _source_hash(content)}
    return _PLACE.sub(lambda place: filled[place[1]], _resource(f"{name}.html")).encode("utf-8", "replace")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are plain text; the last column is a number."""
    return markup_table(columns, ([html.escape(cell) for cell in row] for row in rows))


def markup_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are markup; the last column is a number."""

    def line(cells: Sequence[str], tag: str) -> str:
        *texts, number = cells
        plain = "".join(f"<{tag}>{text}</{tag}>" for text in texts)
        return f'<tr>{plain}<{tag} class="number">{number}</{tag}></tr>'

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line([html.escape(name) for name in columns], 'th')}</thead><tbody>{body}</tbody></table>"


def count(number: int, what: str, plural: str = "") -> str:
    """``1 file``, ``1,200 files``."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def _source_hash(text: str) -> str:
    """For the content security policy (W3C CSP 3, 2.3.1)."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _resource(name: str) -> str:
    return resources.files("curate.deid.review").joinpath("page", name).read_text(encoding="utf-8")
