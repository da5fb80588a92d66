"""Look at one file of a release: digest it, search it, check its header, and keep what later checks need."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.deid.verification import Checked, Rule
from curate.deid.verification.claims import Overrides
from curate.deid.verification.crew import Crew
from curate.deid.verification.parsing import series_in
from curate.deid.verification.tasks import check_alone
from curate.deid.verification.workers import Crashed, warm
from curate.errors import Misconfigured
from curate.release.arrays import is_shard, iterate_voxels, json_text
from curate.release.card import constant_lines
from curate.release.findings import Finding, Kind
from curate.release.leakage import LeakCheck, leak_findings
from curate.release.parquet import iterate_text
from curate.release.promises import Promise, Promises
from curate.release.reading import FileRead, read_once
from curate.release.splits import Ids
from curate.storage import LocalStore, Store

ABOUT, CARD = "release.json", "README.md"
_TABLES = "manifests/"
_RAW = "its bytes"

Readers = Crew[tuple[bytes, str, Overrides], Checked]
"""Processes for the second reader, which a hostile file can crash. Each image is read here and judged there."""

_MOST_READERS = 4  # more than this process can feed


def start_readers(*, needed: bool) -> Readers:
    """Readers for one release. ``needed``: whether it has images; what they load is loaded meanwhile then."""
    return Crew(check_alone, min(len(os.sched_getaffinity(0)), _MOST_READERS), context=warm() if needed else None)


def is_image(path: str) -> bool:
    """Whether a path of a release is that of a DICOM file."""
    return path.endswith(".dcm")


class Inspector:
    """Inspects the files of one release: ``release.json`` first, since it says which rules headers must keep, then
    the tables, which say of which site an image is, then all others. What is said of images is whole when their
    readers have finished.

    ``files``: path -> (sha256, bytes); ``instances``, ``tables`` (by name), ``texts`` (CSV, card, list of digests) and
    ``about`` (release.json) are what could be read; ``findings`` is what is wrong with single files.
    """

    def __init__(self, release: Path | Store, leaks: LeakCheck, readers: Readers) -> None:
        """``release``: its folder, in which no link is followed, or the store that it is."""
        self.files: dict[str, tuple[str, int]] = {}
        self.instances: dict[str, Ids] = {}
        self.tables: dict[str, pa.Table] = {}
        self.texts: dict[str, bytes] = {}
        self.about: dict[str, Any] = {}
        self.findings: list[Finding] = []
        self._folder = release if isinstance(release, Path) else None
        self._store = LocalStore(release) if isinstance(release, Path) else release
        self._leaks = leaks
        self._readers = readers
        self._promises: Promises | None = None
        self._sites: dict[str, str] | None = None  # by series key; made when first asked

    @staticmethod
    def order(path: str) -> tuple[bool, bool, str]:
        """Key to sort paths by, so that what explains others is inspected before them."""
        return path != ABOUT, not path.startswith(_TABLES), path

    def inspect(self, path: str) -> None:
        """Read a file once. Raises ``OSError`` when it cannot be read."""
        hits: Counter[str] = Counter()

        def search_block(block: bytes, offset: int, first: int, last: int) -> None:
            if first > 0 or last < len(block):  # a part of a large file; whole ones are searched by what they are
                hits.update(self._leaks.count_within(block, first, last, opaque=_is_opaque(path)))

        source = self._store.open(path) if self._folder is None else self._folder / path
        read = read_once(source, search_block)
        self.files[path] = (read.sha256, read.size)
        self.findings.extend(leak_findings(path, _RAW, hits))
        try:
            self._inspect_content(path, read)
        except (ValueError, OSError, RecursionError, pa.ArrowException) as error:
            self.findings.append(Finding(path, Kind.UNREADABLE, type(error).__name__))

    def _inspect_content(self, path: str, read: FileRead) -> None:
        if read.content is not None:
            content = _without_constants(read.content) if path == CARD else read.content
            self._search(path, _RAW, [content], opaque=_is_opaque(path))
        if is_shard(path):
            voxels = iterate_voxels(self._store, path, read.content)
            self._search(path, "its voxels", voxels, opaque=True)
        elif path.endswith(".parquet"):
            self._inspect_parquet(path, read)
        elif read.content is None:
            raise ValueError("too large for a file of this kind")
        elif is_image(path):
            self._inspect_dicom(path, read.content)
        elif path.endswith(".json"):
            self._search(path, "its strings", [json_text(read.content)])
            if path == ABOUT:
                self._read_about(read.content)
        else:
            self.texts[path] = read.content

    def _inspect_parquet(self, path: str, read: FileRead) -> None:
        parquet = pq.ParquetFile(self._store.open(path) if read.content is None else io.BytesIO(read.content))
        self._search(path, "its columns", iterate_text(parquet))
        if path == f"{_TABLES}{Path(path).name}":
            self.tables[Path(path).stem] = parquet.read()

    def _inspect_dicom(self, path: str, content: bytes) -> None:
        """Ask the second reader, which shares no table and no parser with the writer."""
        promise = None
        if self._promises is not None:
            site = self._site_of(series_in(content)) if self._promises.differ_by_site else ""
            promise = self._promises.at(site)
        overrides = {} if promise is None else promise.overrides
        self._readers.ask((content, path, overrides), partial(self._hear, path, promise), len(content))

    def _site_of(self, series: str) -> str:
        if self._sites is None:
            table = self.tables.get("series")
            columns = [] if table is None else [table[name].to_pylist() for name in ("series_key", "site")]
            self._sites = dict(zip(*columns, strict=True)) if columns else {}
        return self._sites.get(series) or ""

    def _hear(self, path: str, promise: Promise | None, checked: Checked | Crashed) -> None:
        if isinstance(checked, Crashed):
            self.findings.append(Finding(path, Kind.HEADER, f"{Rule.CRASHED.value}: {Rule.CRASHED.text}"))
            return
        if not checked.is_unreadable:
            self.instances[path] = Ids(checked.patient, checked.study, checked.instance, checked.series)
            if promise is None:  # a finding already, and nothing to judge the image by
                return
            if (checked.stated, checked.keeps_ids) != (promise.codes, promise.keeps_ids):
                says = "(0012,0064) states other options than the release does"
                self.findings.append(Finding(path, Kind.HEADER, says))
        kind = Kind.UNREADABLE if checked.is_unreadable else Kind.HEADER
        for one in checked.findings:
            words = (one.where, f"{one.rule.value}:", one.rule.text, one.detail)
            self.findings.append(Finding(path, kind, " ".join(word for word in words if word)))

    def _read_about(self, content: bytes) -> None:
        about = json.loads(content)
        if not isinstance(about, dict):
            raise ValueError("not an object")
        self.about = about
        statement = about.get("deidentification")
        if "split" in about:  # the private folder holds no DICOM
            return
        try:
            self._promises = Promises(statement if isinstance(statement, dict) else {})
        except (Misconfigured, ValueError, TypeError):
            self.findings.append(Finding(ABOUT, Kind.HEADER, "its de-identification profile is not known"))

    def _search(self, path: str, where: str, pieces: Iterable[bytes], *, opaque: bool = False) -> None:
        self.findings.extend(self._leaks.search(path, where, pieces, opaque=opaque))


def _is_opaque(path: str) -> bool:
    return is_shard(path) or path.endswith(".parquet")


def _without_constants(card: bytes) -> bytes:
    constant = {line.encode() for line in constant_lines()}
    return b"\n".join(line for line in card.splitlines() if line not in constant)
