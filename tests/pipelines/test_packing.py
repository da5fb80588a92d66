"""From SERIES rows to units: what pack says, partition by partition, written once and read back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cluster.job import Job
from cluster.units import Item, make_unit, memory_needed, pack
from curate.identity import digest_json, fingerprint
from curate.manifests.schemas import SERIES
from curate.storage import Store, open_store
from pipelines.catalogue import PROCESS_MEMORY
from pipelines.grouping import series_writer
from pipelines.packing import (
    LEAST_UNITS,
    PLAN_TABLE,
    Amount,
    Packing,
    amount_of,
    count_rows,
    items_of,
    lay_out,
    make_items,
    plan_rows,
    units_of,
)
from pipelines.partitions import Index, partition_of, read_index, read_part, read_partitions
from pipelines.spec import Runtime

MIB = 2**20
LANES = (640 * MIB, 1024 * MIB)
RUNTIME = Runtime(unit_megabytes=4)


def opened(config: object) -> Any:
    raise AssertionError("a plan opens no stage")


JOB = Job("volumes", 4, opened, parameters="p" * 64)


def packing(runtime: Runtime = RUNTIME, lanes: tuple[int, ...] = LANES, **masks: str) -> Packing:
    return Packing(JOB, masks, runtime, lanes)


def series(count: int, *, first: int = 0, **columns: Any) -> pa.Table:
    rows = [
        {
            "site": f"site-{n % 2}",
            "patient_key": f"patient-{n // 3:04d}",
            "study_key": f"study-{n // 3:04d}",
            "series_key": f"series-{n:04d}",
            "status": "accepted",
            "fingerprint": f"{n:064x}",
            "size_bytes": MIB * (1 + n % 3),
            "memory_bytes": MIB * (10 if n % 4 else 400),
            **columns,
        }
        for n in range(first, first + count)
    ]
    return pa.Table.from_pylist([dict.fromkeys(SERIES.names) | row for row in rows], schema=SERIES)


def written(store: Store, table: pa.Table, partitions: int) -> Index:
    writer = series_writer(store, partitions)
    for number in range(partitions):
        rows = [row for row in table.to_pylist() if partition_of(row["series_key"], partitions) == number]
        writer.write([pa.Table.from_pylist(rows, schema=SERIES)])
    return writer.finish(digest_json([partitions, table["fingerprint"].to_pylist()]), {"rows": table.num_rows})


def test_an_item_is_made_of_its_series_and_the_mask_of_its_study() -> None:
    items = {item.key: item for item in make_items(series(6), packing(**{"study-0001": "stamp"}))}
    assert items["series-0001"].fingerprint == fingerprint("volumes", 4, "p" * 64, [f"{1:064x}"])
    assert items["series-0004"].fingerprint == fingerprint("volumes", 4, "p" * 64, [f"{4:064x}", "stamp"])
    assert items["series-0004"].cost == 2 * MIB
    assert items["series-0004"].memory == PROCESS_MEMORY + 400 * MIB


def test_what_the_headers_rejected_is_no_item() -> None:
    rows = pa.concat_tables([series(3), series(3, first=3, status="rejected", reason="localizer")])
    assert [item.key for item in make_items(rows, packing())] == ["series-0000", "series-0002", "series-0001"]


def test_items_stand_by_site_and_patient_whatever_the_order_of_the_rows() -> None:
    rows = series(40)
    turned = rows.take(pa.array(range(40)[::-1]))
    assert make_items(rows, packing()) == make_items(turned, packing())
    by_key = {row["series_key"]: (row["site"], row["patient_key"]) for row in rows.to_pylist()}
    order = [by_key[item.key] for item in make_items(rows, packing())]
    assert order == sorted(order)


def test_the_rows_of_a_plan_are_the_units_that_pack_makes() -> None:
    rows = plan_rows(series(200), packing(), partitions=1)
    items = make_items(series(200), packing())
    units = list(pack("volumes", items, target_cost=4 * MIB, lanes=LANES))
    assert list(units_of("volumes", rows)) == units
    assert list(items_of(rows)) == [item for unit in units for item in unit.items]
    assert {unit.memory for unit in units} == set(LANES)


def test_the_id_of_a_unit_is_that_of_its_items() -> None:
    items = [Item("a", "1" * 64), Item("b", "2" * 64)]
    assert make_unit("volumes", items, 1).id == digest_json({"stage": "volumes", "items": ["1" * 64, "2" * 64]})[:32]


def test_of_a_unit_that_has_lost_items_the_rest_is_a_unit_of_its_own() -> None:
    rows = plan_rows(series(200), packing(), partitions=1)
    whole = list(units_of("volumes", rows))
    number, unit = next((n, unit) for n, unit in enumerate(whole) if len(unit.items) > 1)
    left = list(units_of("volumes", rows.filter(pa.compute.not_equal(rows["series_key"], unit.items[0].key))))
    assert left[number] == make_unit("volumes", unit.items[1:], unit.memory)
    assert [one for one in left if one != left[number]] == [one for one in whole if one != unit]


def test_what_no_lane_holds_is_in_the_plan_and_in_no_unit() -> None:
    rows = plan_rows(series(20), packing(lanes=(640 * MIB,)), partitions=1)
    alone = [row for row in rows.to_pylist() if row["unit"] is None]
    assert [row["series_key"] for row in alone] == [f"series-{n:04d}" for n in range(0, 20, 4)]
    assert {row["lane_bytes"] for row in alone} == {None}
    assert len(list(items_of(rows))) == 20
    units = list(units_of("volumes", rows))
    assert sum(len(unit.items) for unit in units) == 15
    assert all(memory_needed(item) <= unit.memory for unit in units for item in unit.items)
    assert count_rows(rows).series == 15


@pytest.mark.parametrize("partitions", [1, 8, 64])
def test_a_small_archive_keeps_many_workers_busy_in_any_number_of_partitions(tmp_path: Path, partitions: int) -> None:
    index = lay_out(
        open_store(tmp_path),
        written(open_store(tmp_path), series(300), partitions),
        packing(Runtime(unit_megabytes=1000)),
    )
    assert LEAST_UNITS <= amount_of(index).units <= LEAST_UNITS + 2 * partitions


@pytest.mark.parametrize("partitions", [1, 8])
def test_the_plan_of_a_partition_depends_on_its_rows_alone(tmp_path: Path, partitions: int) -> None:
    store = open_store(tmp_path)
    index = lay_out(store, written(store, series(100), partitions), packing())
    for number in range(partitions):
        rows = read_part(store, "catalogue/series", number, partitions)
        assert read_part(store, PLAN_TABLE, number, partitions).equals(
            plan_rows(rows, packing(), partitions=partitions)
        )
    assert index == read_index(store, PLAN_TABLE)


def test_every_series_is_planned_once_in_any_number_of_partitions(tmp_path: Path) -> None:
    found = []
    for partitions in (1, 4, 16):
        store = open_store(tmp_path / str(partitions))
        lay_out(store, written(store, series(100), partitions), packing())
        items = [item for rows in read_partitions(store, PLAN_TABLE) for item in items_of(rows)]
        found.append(sorted((item.key, item.fingerprint, item.cost, item.memory) for item in items))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 100


def test_a_plan_counts_its_work(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    index = lay_out(store, written(store, series(100), 4), packing())
    units = [unit for rows in read_partitions(store, PLAN_TABLE) for unit in units_of("volumes", rows)]
    amount = amount_of(index)
    assert amount.units == len(units) == sum(amount.lanes.values())
    assert amount.series == 100
    assert amount.bytes == sum(unit.cost for unit in units)
    assert amount.memory_bytes == PROCESS_MEMORY + 400 * MIB
    assert amount.lanes == {lane: sum(unit.memory == lane for unit in units) for lane in LANES}
    assert index.counts["too_large"] == 0


def test_amounts_add_up() -> None:
    some, others = Amount(1, 2, 3, 40, {8: 1}), Amount(10, 20, 30, 4, {4: 4, 8: 6})
    assert some + others == Amount(11, 22, 33, 40, {4: 4, 8: 7})
    assert some + Amount() == some
    assert count_rows(plan_rows(series(0), packing(), partitions=1)) == Amount()


def test_a_plan_that_stands_is_not_written_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    catalogue = written(store, series(30), 2)
    lay_out(store, catalogue, packing())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / PLAN_TABLE).iterdir()}
    lay_out(store, catalogue, packing())
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / PLAN_TABLE).iterdir()} == before


@pytest.mark.parametrize(
    "changed",
    [
        packing(Runtime(unit_megabytes=1)),
        packing(lanes=(1024 * MIB,)),
        packing(**{"study-0001": "stamp"}),
        Packing(Job("volumes", 5, opened, parameters="p" * 64), {}, RUNTIME, LANES),
        Packing(Job("volumes", 4, opened, parameters="q" * 64), {}, RUNTIME, LANES),
    ],
)
def test_whatever_changes_the_plan_writes_it_anew(tmp_path: Path, changed: Packing) -> None:
    store = open_store(tmp_path)
    catalogue = written(store, series(30), 2)
    assert lay_out(store, catalogue, changed).digest != lay_out(store, catalogue, packing()).digest


def test_another_catalogue_gets_another_plan(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    lay_out(store, written(store, series(30), 2), packing())
    index = lay_out(store, written(store, series(31), 2), packing())
    assert amount_of(index).series == 31
