"""How the ranks open volumes: those of a bucket through a cache of whole objects that the ranks of a node share."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from functools import partial
from pathlib import Path

from curate.errors import Misconfigured
from curate.loading.reader import Open
from curate.storage import NodeCache, is_url
from curate.storage.store import unavailable
from curate.volumes import open_volume

DEFAULT_GIGABYTES = 20.0
_GB = 10**9


def opener(root: str, gigabytes: float | None) -> Open:
    """What opens the volumes below ``root``. ``gigabytes``: of this node's disk for the cache, 0 without one; None: 20
    for a bucket, or half of what is free if that is less, and nothing for a folder, which needs no cache.

    Raises ``Misconfigured`` when the cache's folder is another's, ``Unavailable`` when it cannot be made.
    """
    if gigabytes == 0 or not is_url(root):
        return open_volume
    return partial(open_volume, cache=node_cache(gigabytes))


def node_cache(gigabytes: float | None) -> NodeCache:
    """The cache of this user on this node, in the system's temporary folder (``TMPDIR`` names another)."""
    folder = Path(tempfile.gettempdir()) / f"curate-volumes-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise unavailable("make", error) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Misconfigured("node cache: its folder in the temporary folder is open to others; remove it")
    if gigabytes is not None:
        return NodeCache(folder, round(gigabytes * _GB))
    used = NodeCache(folder, 0).used_bytes()
    return NodeCache(folder, min(round(DEFAULT_GIGABYTES * _GB), (free + used) // 2))
