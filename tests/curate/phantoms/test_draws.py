from __future__ import annotations

import numpy as np
from pydicom.uid import UID

from curate.phantoms.draws import digest, generator, uid


def test_equal_names_give_equal_draws_and_other_names_others() -> None:
    assert digest(1, "a", 2) == digest(1, "a", 2)
    assert len({digest(1, "a"), digest(2, "a"), digest(1, "b"), digest(1, "a", "")}) == 4
    assert np.array_equal(generator(1, "x").uniform(size=4), generator(1, "x").uniform(size=4))
    assert not np.array_equal(generator(1, "x").uniform(size=4), generator(1, "y").uniform(size=4))


def test_names_do_not_run_into_each_other() -> None:
    assert digest(1, "ab", "c") != digest(1, "a", "bc")


def test_uids_are_valid_and_distinct() -> None:
    uids = {uid(0, "instance", n) for n in range(500)}
    assert len(uids) == 500
    assert all(UID(one).is_valid and len(one) <= 64 and one.startswith("2.25.") for one in uids)
