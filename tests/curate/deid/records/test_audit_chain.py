"""The audit chain: a digest over all rows that tells which one was touched."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pytest

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.records.audit_chain import GENESIS, audit_row, chain_audit, chain_head, check_chain
from curate.manifests.schemas import AUDIT, FILE_AUDIT
from tests.support.deid_files import KEY, PLANTS, encode, make_ct


def row(number: int) -> dict[str, object]:
    audit = deidentify_bytes(encode(make_ct(InstanceNumber=str(number))), load_profile("basic"), Keyed(KEY)).audit
    return audit_row(
        audit, series_key=f"2.25.{number % 2}", instance_key=f"2.25.{number}", options=["113100"], code_version="1.2"
    )


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return pa.Table.from_pylist([row(number) for number in range(5)], schema=FILE_AUDIT)


def test_a_chain_as_written_is_whole(rows: pa.Table) -> None:
    chained = chain_audit(rows)
    assert chained.schema == AUDIT
    assert chained["number"].to_pylist() == [0, 1, 2, 3, 4]
    assert check_chain(chained, head=chain_head(chained)) == []


def test_rows_in_any_order_give_the_same_chain(rows: pa.Table) -> None:
    assert chain_audit(rows.take([4, 0, 2, 1, 3])).equals(chain_audit(rows))


def test_the_first_entry_is_sha256_over_what_is_said_in_canonical_json(rows: pa.Table) -> None:
    first = chain_audit(rows).to_pylist()[0]
    said = {name: first[name] for name in FILE_AUDIT.names}
    text = json.dumps({"number": 0, "previous": "0" * 64, "row": said}, sort_keys=True, separators=(",", ":"))
    assert first["entry"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_changed_row_is_named(rows: pa.Table) -> None:
    changed = chain_audit(rows).to_pylist()
    changed[2]["output_sha256"] = "f" * 64
    assert check_chain(pa.Table.from_pylist(changed, schema=AUDIT)) == ["row 2: it is not what was chained here"]


def test_rows_taken_out_added_or_moved_break_it(rows: pa.Table) -> None:
    whole = chain_audit(rows)
    head = chain_head(whole)
    for taken in ([0, 1, 3, 4], [0, 1, 2, 2, 3, 4], [1, 0, 2, 3, 4]):
        assert check_chain(whole.take(taken), head=head)
    assert check_chain(whole.slice(0, 4)) == []  # cut at the end: only the head tells
    assert check_chain(whole.slice(0, 4), head=head) == ["the last row is not the head of the chain"]


def test_a_chain_that_was_forged_anew_has_another_head(rows: pa.Table) -> None:
    forged = rows.to_pylist()
    forged[0]["counts"] = []
    anew = chain_audit(pa.Table.from_pylist(forged, schema=FILE_AUDIT))
    assert check_chain(anew) == []
    assert check_chain(anew, head=chain_head(chain_audit(rows)))


def test_an_empty_chain_has_the_first_digest_as_its_head(rows: pa.Table) -> None:
    empty = chain_audit(rows.slice(0, 0))
    assert chain_head(empty) == GENESIS
    assert check_chain(empty, head=GENESIS) == []


def test_no_value_of_the_source_stands_in_a_row() -> None:
    text = json.dumps(row(1))
    assert not [plant for plant in PLANTS if plant in text]
