"""What is planted is found in the bytes, and nothing of a person where nothing was planted."""

from __future__ import annotations

import pyarrow.parquet as pq

from curate.phantoms import PhantomSummary


def test_every_planted_string_is_in_the_files_of_its_study(hostile: PhantomSummary) -> None:
    site = hostile.folder / "site-a"  # explicit little endian: strings stand in the bytes as they are
    studies = pq.read_table(hostile.folder / "truth" / "studies.parquet").to_pylist()
    planted = pq.read_table(hostile.folder / "truth" / "planted.parquet").to_pylist()
    everything = b"\n".join(
        str(path.relative_to(site)).encode() + path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()
    )
    here = {row["study"] for row in studies if row["site"] == "site-a"}
    values = {(row["place"], row["value"]) for row in planted if row["study"] in here}
    assert len(values) > 60
    for place, value in values:
        assert value.encode() in everything or value.encode("latin-1", "replace") in everything, place


def test_each_study_has_planted_strings_of_every_site(hostile: PhantomSummary) -> None:
    studies = pq.read_table(hostile.folder / "truth" / "studies.parquet").to_pylist()
    planted = pq.read_table(hostile.folder / "truth" / "planted.parquet").to_pylist()
    assert {row["study"] for row in planted} == {row["study"] for row in studies}


def test_paths_carry_names_only_where_they_were_planted(hostile: PhantomSummary, cervical: PhantomSummary) -> None:
    planted = pq.read_table(hostile.folder / "truth" / "planted.parquet").to_pylist()
    paths = {row["value"] for row in planted if row["kind"] == "path"}
    assert {path.name for path in (hostile.folder / "site-a").iterdir()} == paths
    assert all(path.name.startswith("A0") for path in (cervical.folder / "site-a").iterdir())


def test_nothing_is_planted_unless_asked(cervical: PhantomSummary) -> None:
    assert pq.read_table(cervical.folder / "truth" / "planted.parquet").num_rows == 0
