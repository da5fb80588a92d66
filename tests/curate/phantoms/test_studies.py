from __future__ import annotations

import numpy as np

from curate.phantoms.studies import triple


def test_a_triple_is_plain_floats() -> None:
    assert triple(np.array([1, 2, 3.5])) == (1.0, 2.0, 3.5)
    assert all(type(value) is float for value in triple(np.ones(3, dtype=np.float64)))
