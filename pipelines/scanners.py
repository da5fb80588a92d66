"""Cohort statistics: which scanners each site's series come from, counted with Dask over the manifest's row groups.

What a data paper's first table says of its sites. Counts are integers, so Ray and threads give the same.
"""

from __future__ import annotations

import pyarrow as pa

from cluster.dask import Scheduler, compute, open_table
from curate.errors import Misconfigured
from curate.storage import Store

SERIES_KEY = "manifests/series.parquet"
BY = ("site", "modality", "manufacturer", "manufacturer_model_name")
SCANNERS = pa.schema(  # one row a site, modality and scanner; of de-identified headers
    [
        *((name, pa.string()) for name in BY),
        ("series", pa.int64()),
        ("done", pa.int64()),
        ("instances", pa.int64()),
        ("size_bytes", pa.int64()),  # in the archives
    ]
)


def count_scanners(store: Store, *, scheduler: Scheduler | None = None) -> pa.Table:
    """Series by scanner, sorted by its columns; what a header does not say is null.

    Raises ``Misconfigured`` when there are no manifests, and as ``cluster.dask.compute`` does.
    """
    try:
        rows = open_table(store.url, [SERIES_KEY], columns=[*BY, "status", "instances", "size_bytes"])
    except FileNotFoundError:
        raise Misconfigured("the store holds no manifests yet: `curate run` first") from None
    counted = rows.assign(series=1, done=(rows["status"] == "done").astype("int64"))
    sums = counted.groupby(list(BY), dropna=False)[["series", "done", "instances", "size_bytes"]].sum()
    (found,) = compute(sums, scheduler=scheduler)
    table = pa.Table.from_pandas(found.reset_index(), schema=SCANNERS, preserve_index=False)
    return table.sort_by([(name, "ascending") for name in BY])
