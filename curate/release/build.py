"""Freeze a release from what a run accepted: copy, tabulate, describe, and list digests last.

``<name>/<version>/`` is public; ``<name>/<version>-private/`` is the answer key. Both are written create-if-absent from
the same inputs to the same bytes, so an interrupted build goes on where it stopped, and a frozen version never changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.deid.records.statement import Statement, render_statement
from curate.errors import Misconfigured, Quarantined
from curate.manifests.tables import SORT_KEYS, sort_rows, table_bytes
from curate.reasons import Reason
from curate.release.card import render_card
from curate.release.contents import Contents, Copy, select
from curate.release.counts import Counts, count
from curate.release.description import HIDDEN_SPLIT, DeidentificationStatement, ReleaseDescription, describe
from curate.release.privacy import STATEMENT, state_privacy
from curate.release.sums import SUMS, is_plain_path, parse_sums, render_sums
from curate.release.tables import SOLUTION, render_csvs, render_solution
from curate.storage import Store, open_store, sha256_bytes
from curate.storage.opening import as_path

FORMAT = 1  # of release.json
_THREADS = 4
_LARGE = 64 << 20  # objects above this are copied one at a time, so that memory stays bounded

Progress = Callable[[int, int], None]  # files done, files in all


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """What lies where: paths of folders, or URLs. ``digest`` is that of SHA256SUMS: it names every byte of the public
    folder."""

    url: str
    private_url: str
    digest: str
    counts: Counts
    files: int
    size_bytes: int
    was_frozen: bool  # the same content was there already

    @property
    def path(self) -> Path:
        """The public folder of a release that was built into one."""
        return as_path(self.url)

    @property
    def private_path(self) -> Path:
        """The private folder of a release that was built into one."""
        return as_path(self.private_url)


@dataclass(frozen=True, slots=True)
class _Written:
    path: str
    sha256: str
    size: int


def build_release(
    store: Store,
    destination: Path | str,
    *,
    description: ReleaseDescription,
    deidentification: DeidentificationStatement,
    manifests: Mapping[str, pa.Table],
    include_volumes: bool = True,
    progress: Progress | None = None,
) -> ReleaseSummary:
    """Write the release below ``destination`` (the place of all releases), or find it there with the same content.

    ``manifests``: tables by name (samples, series, volumes, slices; boxes or points, objects, label_issues), their
    paths relative to ``store``.

    Raises ``Misconfigured`` when the version is frozen with other content, an unfinished folder holds files of another
    build, or the manifests cannot make a release; ``Quarantined(VERIFICATION_FAILED)`` when an object of the store is
    missing or is not what its manifest says; ``Unavailable`` when storage refuses.
    """
    contents = select(manifests, store, task=description.task, include_volumes=include_volumes)
    public = open_store(f"{destination}/{description.folder}")
    private = open_store(f"{destination}/{description.private_folder}", mode=0o700)
    frozen = _read_sums(public)
    report = progress or (lambda done, files: None)
    written = [*_copy(store, public, contents.copies, frozen, report)]
    _check_voxels(contents, written)
    counts = count(
        contents.tables,
        task=description.task,
        image_bytes=sum(w.size for w in written if not w.path.startswith("volumes/")),
        volume_bytes=sum(w.size for w in written if w.path.startswith("volumes/")),
    )
    facts = {"format": FORMAT, **describe(description, deidentification), "volumes": include_volumes}
    privacy = state_privacy(contents.tables, facts["deidentification"], contents.suppressed)
    files = _render(contents, facts, counts, privacy)
    sums = render_sums({w.path: w.sha256 for w in written} | {path: sha256_bytes(files[path]) for path in files})
    if frozen is not None and frozen != sums:
        raise Misconfigured(
            f"release {description.folder}: this version is frozen with other content; raise the version"
        )
    answers = _render_answers(contents, facts, sha256_bytes(sums))
    hidden = [*_copy(store, private, contents.private_copies, _read_sums(private), lambda done, files: None)]
    private_sums = render_sums({w.path: w.sha256 for w in hidden} | {p: sha256_bytes(c) for p, c in answers.items()})
    _freeze(private, answers, private_sums)
    if frozen is None:
        _freeze(public, files, sums)
    return ReleaseSummary(
        url=public.url,
        private_url=private.url,
        digest=sha256_bytes(sums),
        counts=counts,
        files=len(written) + len(files) + 1,
        size_bytes=sum(w.size for w in written) + sum(map(len, files.values())) + len(sums),
        was_frozen=frozen is not None,
    )


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Sorted keys, two spaces, one newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _render(contents: Contents, facts: Mapping[str, Any], counts: Counts, privacy: Statement) -> dict[str, bytes]:
    tables = _encode(contents.tables)
    return {
        **tables,
        **render_csvs(contents.tables, facts["task"]),
        "README.md": render_card(facts, counts),
        STATEMENT: render_statement(privacy, title=facts["title"]),
        "release.json": encode_json({**facts, "counts": counts.as_json(), "privacy": privacy.record()}),
    }


def _render_answers(contents: Contents, facts: Mapping[str, Any], digest: str) -> dict[str, bytes]:
    tables = _encode(contents.private_tables)
    about = {"format": FORMAT, "name": facts["name"], "version": facts["version"], "task": facts["task"]}
    return {
        **tables,
        SOLUTION: render_solution(contents.private_tables["samples"], facts["task"]),
        "release.json": encode_json({**about, "split": HIDDEN_SPLIT, "public_sha256sums": digest}),
    }


def _encode(tables: Mapping[str, pa.Table]) -> dict[str, bytes]:
    order = {**SORT_KEYS, "exclusions": ("series_key",), "audit": ("number",)}
    return {f"manifests/{name}.parquet": table_bytes(sort_rows(table, order[name])) for name, table in tables.items()}


def _copy(
    store: Store, target: Store, copies: Iterable[Copy], frozen: bytes | None, report: Progress
) -> Iterator[_Written]:
    """Copy objects, small ones by a few threads; of a frozen folder, say what would be written."""
    copies = list(copies)
    if not all(is_plain_path(copy.path) for copy in copies) or len({copy.path for copy in copies}) < len(copies):
        raise Misconfigured("release: a key cannot be a file name, or two files would have one name")

    def is_large(copy: Copy) -> bool:
        return copy.content is None and _size(store, copy) > _LARGE

    def place(copy: Copy) -> _Written:
        return _place(store, target, copy, is_frozen=frozen is not None)

    with ThreadPoolExecutor(_THREADS) as threads:
        large = [copy for copy, found in zip(copies, threads.map(is_large, copies), strict=True) if found]
        small = [copy for copy in copies if copy not in set(large)]
        for done, written in enumerate(threads.map(place, small), start=1):
            report(done, len(copies))
            yield written
    for done, copy in enumerate(large, start=len(small) + 1):
        yield place(copy)
        report(done, len(copies))


def _place(store: Store, target: Store, copy: Copy, *, is_frozen: bool) -> _Written:
    if copy.sha256 is not None and is_frozen:
        return _Written(copy.path, copy.sha256, _size(store, copy))  # what it must be; verify reads what it is
    content = copy.content if copy.content is not None else _get(store, copy)
    digest = sha256_bytes(content)
    if copy.sha256 is not None and digest != copy.sha256:
        raise Quarantined(Reason.VERIFICATION_FAILED, f"{copy.path}: the object in the store is not what was written")
    if not is_frozen and not target.put_new(copy.path, content) and sha256_bytes(target.get(copy.path)) != digest:
        raise _other_build(target)
    return _Written(copy.path, digest, len(content))


def _get(store: Store, copy: Copy) -> bytes:
    try:
        return store.get(copy.source)
    except FileNotFoundError:
        raise Quarantined(Reason.VERIFICATION_FAILED, f"{copy.path}: the object is missing in the store") from None


def _size(store: Store, copy: Copy) -> int:
    try:
        return store.size(copy.source)
    except FileNotFoundError:
        raise Quarantined(Reason.VERIFICATION_FAILED, f"{copy.path}: the object is missing in the store") from None


def _check_voxels(contents: Contents, written: Iterable[_Written]) -> None:
    digests = {w.path: w.sha256 for w in written}
    for row in contents.tables["volumes"].select(["uri", "objects", "sha256"]).to_pylist():
        if row["uri"] and row["sha256"] not in {digests[f"{row['uri']}/{name}"] for name in row["objects"]}:
            raise Quarantined(
                Reason.VERIFICATION_FAILED, f"{row['uri']}: the voxels in the store are not what was written"
            )


def _freeze(target: Store, files: Mapping[str, bytes], sums: bytes) -> None:
    """Write the small files and, last, the list; then nothing else may lie in the folder."""
    for path in sorted(files):
        if not target.put_new(path, files[path]) and target.get(path) != files[path]:
            raise _other_build(target)
    listed = parse_sums(sums)
    if any(path not in listed and path != SUMS for path in target.list()):
        raise _other_build(target)
    if not target.put_new(SUMS, sums) and target.get(SUMS) != sums:
        raise _other_build(target)


def _read_sums(target: Store) -> bytes | None:
    return target.get(SUMS) if target.exists(SUMS) else None


def _other_build(target: Store) -> Misconfigured:
    name = "/".join(target.url.split("/")[-2:])
    return Misconfigured(f"release {name}: the folder holds files of another build; remove it or raise the version")
