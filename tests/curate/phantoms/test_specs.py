from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from curate.phantoms.sites import list_sites
from curate.phantoms.specs import write_spec


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_the_spec_names_every_site_and_has_the_store_on_a_line_of_its_own(tmp_path: Path, task: str) -> None:
    path = write_spec(tmp_path, task, list_sites(4), 12345)
    assert 'store = "store"' in path.read_text().splitlines()
    spec = tomllib.loads(path.read_text())
    assert [site["name"] for site in spec["sites"]] == ["site-a", "site-b", "site-c", "site-d"]
    assert spec["sites"][1]["archives"] == ["site-b.zip"]
    assert "layout" in spec["sites"][3]
    assert "layout" not in spec["sites"][0]


def test_the_key_is_the_owners_alone(tmp_path: Path) -> None:
    write_spec(tmp_path, "cervical", list_sites(1), 2**127 + 5)
    key = tmp_path / "curate.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(bytes.fromhex(key.read_text().strip())) == 32
