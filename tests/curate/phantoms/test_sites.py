from __future__ import annotations

import pytest

from curate.phantoms.sites import list_sites


def test_sites_have_distinct_names_and_archives() -> None:
    sites = list_sites(12)
    assert len({site.name for site in sites}) == len({site.archive for site in sites}) == 12


def test_five_sites_cover_every_container_and_five_transfer_syntaxes() -> None:
    sites = list_sites(5)
    assert {site.container for site in sites} == {"folder", "zip", "tar.gz", "kaggle", "tar"}
    assert len({site.transfer_syntax for site in sites}) == 5
    assert {site.signed for site in sites} == {site.numbers_upwards for site in sites} == {True, False}


def test_eleven_sites_cover_every_lossless_transfer_syntax_and_enhanced_objects() -> None:
    sites = list_sites(11)
    assert len({site.transfer_syntax for site in sites}) == 10
    assert [site.name for site in sites if site.is_enhanced] == ["site-f", "site-k"]
    assert not any(site.is_enhanced for site in list_sites(5))  # the demo and small archives stay as cheap as they were
    assert list_sites(12)[11].model == sites[0].model


def test_more_sites_leave_the_first_ones_as_they_were() -> None:
    assert list_sites(7)[:3] == list_sites(3)


@pytest.mark.parametrize("count", [0, -1, 27])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="sites"):
        list_sites(count)
