"""Descriptions of machines to render from."""

from __future__ import annotations

import tomllib
from typing import Any

from cluster.deploy import EXAMPLE, Deployment, parse_deployment

SPEC = 'task = "cervical"\nstore = "s3://bucket/necks"\n'


def content(**changes: Any) -> dict[str, Any]:
    """The example, with sections merged and other keys replaced."""
    whole = tomllib.loads(EXAMPLE)
    whole["launcher"]["secrets_file"] = "~/.config/curate/secrets"
    for key, value in changes.items():
        whole[key] = {**whole.get(key, {}), **value} if isinstance(value, dict) else value
    return whole


def deployment(**changes: Any) -> Deployment:
    """The same, checked."""
    return parse_deployment(content(**changes))
