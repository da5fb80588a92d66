"""The tables of a store: their Arrow schemas, their bytes, the split by patient, and the samples that trainers read."""

from curate.manifests.samples import cervical_samples, lumbar_samples
from curate.manifests.split import SPLITS, assign_splits, with_splits
from curate.manifests.tables import (
    WrittenTable,
    read_table,
    sort_rows,
    table_bytes,
    tables_bytes,
    write_pieces,
    write_table,
)

__all__ = [
    "SPLITS",
    "WrittenTable",
    "assign_splits",
    "cervical_samples",
    "lumbar_samples",
    "read_table",
    "sort_rows",
    "table_bytes",
    "tables_bytes",
    "with_splits",
    "write_pieces",
    "write_table",
]
