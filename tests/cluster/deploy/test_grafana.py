"""The dashboard asks for nothing that the runtime does not measure."""

from __future__ import annotations

import json
import re

from cluster.deploy import dashboard
from cluster.metrics import METRICS

QUERIES = [target["expr"] for panel in json.loads(dashboard())["panels"] for target in panel["targets"]]


def test_every_query_names_series_that_are_exported() -> None:
    exported = {name for key, metric in METRICS.items() for name in metric.exported(key)}
    for query in QUERIES:
        asked = set(re.findall(r"\bray_\w+", query))
        assert asked
        assert asked <= exported


def test_every_metric_is_looked_at() -> None:
    for key, metric in METRICS.items():
        assert any(name in query for query in QUERIES for name in metric.exported(key)), key


def test_queries_group_by_tags_that_exist() -> None:
    for query in QUERIES:
        (series, *_) = re.findall(r"\bray_(\w+?)(?:_total|_bucket)?\b(?=[\[{)])", query)
        for tags in re.findall(r"by \(([^)]*)\)", query):
            assert set(tags.split(", ")) - {"le"} <= set(METRICS[series].tags), query


def test_panels_lie_side_by_side_and_none_on_another() -> None:
    places = [panel["gridPos"] for panel in json.loads(dashboard())["panels"]]
    cells = [
        (x, y)
        for one in places
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in json.loads(dashboard())["panels"]}) == len(places)
