"""Words that every release says of itself: a person may be called Basic, Train or Severe, and that is no leak.

What is searched for in a release leaves these words out of names. The de-identification has looked for them already,
within each file and against that file's own patient, where they can be told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from curate.deid.identifiers import Identifier
from curate.deid.profile import Action
from curate.deid.records.anonymity import QUASI_IDENTIFIERS, Anonymity
from curate.deid.records.statement import Statement, render_statement, residual_risk
from curate.deid.tables import method_codes
from curate.manifests import schemas
from curate.reasons import Reason
from curate.release.card import render_card
from curate.release.contents import TABLES, schema_of
from curate.release.counts import Counts
from curate.release.description import PUBLIC_SPLITS, SPLITS, TASKS
from curate.release.tables import condition_title, render_csvs
from curate.volumes.layout import DTYPES

_WORD = re.compile(r"[^\W\d_]{4,}")
_NAMED = ("name", "institution")  # kinds that are searched for word by word
# of the metadata of Zarr v3 arrays and OME-Zarr 0.5 images
_ZARR = """zarr_format node_type group array attributes shape data_type chunk_grid chunk_key_encoding regular default
separator configuration chunk_shape codecs index_codecs index_location sharding_indexed bytes blosc crc32c endian little
typesize cname clevel shuffle bitshuffle blocksize fill_value dimension_names storage_transformers consolidated_metadata
multiscales axes name type space unit millimeter datasets path coordinateTransformations scale translation version
labels image-label source image layout affine frame axis_codes modality units stored slice_axis overview null
spine_curate"""


@cache
def public_words() -> frozenset[str]:
    """Lower-case words of four letters and more in the card, tables, reasons and metadata of any release."""
    return frozenset(word for text in _texts() for word in _WORD.findall(text.lower().replace("_", " ")))


def searchable(identifiers: Iterable[Identifier]) -> list[Identifier]:
    """The identifiers, names and institutions without the words that every release has."""
    kept = []
    for identifier in identifiers:
        if identifier.kind not in _NAMED:
            kept.append(identifier)
        elif value := _without_public_words(identifier.value):
            kept.append(Identifier(identifier.kind, value))
    return kept


def _without_public_words(value: str) -> str:
    return _WORD.sub(lambda match: "" if match[0].lower() in public_words() else match[0], value).strip("^ ")


def _any_statement() -> Statement:
    """One that says all that a statement can say: of every option, and of none."""
    figures = [Anonymity(name, QUASI_IDENTIFIERS, 1, 1, 1, (("", 1),)) for name in TABLES]
    done = tuple((action.value, 1) for action in Action)
    nobody = (("other creators", 1),)
    return Statement(
        "", "", tuple(method_codes().items()), (("", ""),), "", 0, done, nobody, 0, (("", 1),), tuple(figures), ""
    )


def _texts() -> Iterator[str]:
    statement = {"profile": "basic", "edition": "", "key_fingerprint": "", "options": list(method_codes().items())}
    splits = {split: dict.fromkeys(("patients", "studies", "series", "volumes", "images"), 0) for split in SPLITS}
    counts = Counts(splits, {}, {split: {} for split in SPLITS}, dict.fromkeys(PUBLIC_SPLITS, 0), {}, 0, 0)
    for task in TASKS:
        facts = {"task": task, "title": "", "name": "", "version": "", "licence": "", "citation": "", "orientation": ""}
        yield render_card({**facts, "spacing_mm": [None], "deidentification": statement}, counts).decode()
        tables = {name: schema_of(name, task).empty_table() for name in TABLES}
        yield from (content.decode() for content in render_csvs(tables, task).values())
        yield from (name for table in tables.values() for name in table.column_names)
    yield from (f"{reason.value} {reason.text}" for reason in Reason)
    yield from (condition_title(condition) for condition in schemas.LUMBAR_CONDITIONS)
    yield from (*schemas.LUMBAR_GRADES, *schemas.SERIES_TYPES, *SPLITS, _ZARR)
    yield render_statement(_any_statement(), title="").decode()
    yield from (*_any_statement().record(), *residual_risk(()), *residual_risk(("113100",)))
    yield "radiological public done rejected quarantined deidentification options counts annotations excluded"
    yield from DTYPES
