"""Train, validation and test, by patient and from the patient's key alone.

A patient's place is a hash of salt and key. New patients, sites or studies never move an old patient, no two studies of
one patient are parted, and nobody can tune the split without changing the salt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

import pyarrow as pa

from curate.errors import Misconfigured

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


def assign_splits(
    patients: pa.Table,
    *,
    salt: str,
    validation_fraction: float,
    test_fraction: float,
    holdout_sites: Collection[str] = (),
) -> dict[str, str]:
    """Split of every ``patient_key`` of a table with columns ``patient_key`` and ``site``, in sorted order of the keys.

    Other columns and repeated patients are welcome: SERIES or VOLUMES can be given as they are.
    The test set is cut from the low end of the hash and the validation set from the high end, so that changing one
    fraction moves no patient between the other two. All patients of a held-out site go to test, with all that they have
    at other sites. Fractions are of the expectation: of few patients none may fall into a set.

    Raises ``Misconfigured`` for fractions outside 0..1 or that leave nothing to train on.
    """
    _check_fractions(validation_fraction, test_fraction)
    held_out: dict[str, bool] = {}
    keys, sites = patients["patient_key"].to_pylist(), patients["site"].to_pylist()
    for patient_key, site in zip(keys, sites, strict=True):
        held_out[patient_key] = held_out.get(patient_key, False) or site in holdout_sites

    def place(patient_key: str) -> str:
        position = hash_position(salt, patient_key)
        if held_out[patient_key] or position < test_fraction:
            return TEST
        return VALIDATION if position >= 1 - validation_fraction else TRAIN

    return {patient_key: place(patient_key) for patient_key in sorted(held_out)}


def hash_position(salt: str, patient_key: str) -> float:
    """A number in [0, 1) that depends on salt and key alone, evenly spread: 53 bits of SHA-256."""
    digest = hashlib.sha256(f"split\0{salt}\0{patient_key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def with_splits(table: pa.Table, splits: Mapping[str, str]) -> pa.Table:
    """The table with ``split`` (made if absent) filled from ``patient_key``; null for unknown patients."""
    column = pa.array([splits.get(key) for key in table["patient_key"].to_pylist()], pa.string())
    if "split" not in table.column_names:
        return table.append_column("split", column)
    return table.set_column(table.column_names.index("split"), "split", column)


def _check_fractions(validation: float, test: float) -> None:
    for name, value in (("validation_fraction", validation), ("test_fraction", test)):
        if not 0 <= value <= 1:
            raise Misconfigured(f"split.{name}: expected 0..1, got {value:g}")
    if validation + test >= 1:
        raise Misconfigured(
            f"split: validation_fraction and test_fraction leave nothing to train on ({validation:g} + {test:g})"
        )
