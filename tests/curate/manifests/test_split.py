"""The split: by patient, the same for ever, and held-out sites apart."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import Misconfigured
from curate.manifests import SPLITS, assign_splits, with_splits
from curate.manifests.split import hash_position

Patients = list[tuple[str, str]]
PATIENTS = st.lists(st.tuples(st.text(min_size=1, max_size=6), st.sampled_from(["site-a", "site-b", "site-c"])))


def table(patients: Patients) -> pa.Table:
    return pa.table(
        {
            "patient_key": pa.array([key for key, _ in patients], pa.string()),
            "site": pa.array([site for _, site in patients], pa.string()),
        }
    )


def split(patients: Patients, **options: object) -> dict[str, str]:
    chosen = {"salt": "s", "validation_fraction": 0.2, "test_fraction": 0.2, **options}
    return assign_splits(table(patients), **chosen)  # type: ignore[arg-type]


MANY = [(f"P{n:05d}", f"site-{'abcd'[n % 4]}") for n in range(20_000)]


@given(PATIENTS, PATIENTS)
def test_new_patients_never_move_old_ones(old: Patients, new: Patients) -> None:
    before, after = split(old), split(old + new)
    assert {key: after[key] for key in before} == before


@given(PATIENTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_their_repetition_change_nothing(patients: Patients, random: object) -> None:
    shuffled = patients * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert list(split(shuffled).items()) == list(split(patients).items())


@given(PATIENTS)
def test_every_patient_is_in_exactly_one_known_split(patients: Patients) -> None:
    result = split(patients)
    assert set(result) == {key for key, _ in patients}
    assert set(result.values()) <= set(SPLITS)


@given(PATIENTS)
def test_a_patient_seen_at_a_held_out_site_is_in_test_wherever_else_they_were_seen(patients: Patients) -> None:
    result = split(patients, holdout_sites=["site-b"])
    assert all(result[key] == "test" for key, site in patients if site == "site-b")


def test_holding_out_a_site_moves_nobody_else() -> None:
    plain, apart = split(MANY), split(MANY, holdout_sites=["site-d"])
    assert all(apart[key] == plain[key] for key, site in MANY if site != "site-d")


def test_fractions_are_met_in_every_site_of_a_large_archive() -> None:
    result = split(MANY, validation_fraction=0.1, test_fraction=0.25)
    for site in "abcd":
        of_site = [result[key] for key, place in MANY if place == f"site-{site}"]
        assert of_site.count("validation") / len(of_site) == pytest.approx(0.1, abs=0.02)
        assert of_site.count("test") / len(of_site) == pytest.approx(0.25, abs=0.02)


def test_a_larger_test_set_takes_from_train_and_leaves_validation_as_it_was() -> None:
    small, large = split(MANY, test_fraction=0.1), split(MANY, test_fraction=0.3)
    assert {k for k, v in small.items() if v == "validation"} == {k for k, v in large.items() if v == "validation"}
    assert {k for k, v in small.items() if v == "test"} < {k for k, v in large.items() if v == "test"}


def test_another_salt_gives_another_split() -> None:
    assert split(MANY, salt="one") != split(MANY, salt="two")


def test_places_are_fixed_for_ever() -> None:
    # printf 'split\0phantoms\0AAAA2222BBBB3333' | sha256sum -> 66d337ad5bcb77ce...: a released split stands.
    assert hash_position("phantoms", "AAAA2222BBBB3333") == pytest.approx(0x66D337AD5BCB77CE / 2**64, abs=1e-15)


def test_zero_fractions_put_everyone_in_train() -> None:
    assert set(split(MANY, validation_fraction=0.0, test_fraction=0.0).values()) == {"train"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_fraction": 12}, r"split\.validation_fraction: expected 0\.\.1, got 12"),
        ({"test_fraction": -0.1}, r"split\.test_fraction: expected 0\.\.1, got -0\.1"),
        ({"test_fraction": float("nan")}, r"split\.test_fraction"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "nothing to train on"),
    ],
)
def test_fractions_that_make_no_split_are_refused_with_their_key(options: dict[str, object], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        split(MANY, **options)


def test_a_table_gets_its_splits_in_place_or_as_a_new_column() -> None:
    rows = table([("P1", "site-a"), ("P2", "site-a"), ("P3", "site-b")])
    splits = {"P1": "train", "P2": "test"}
    assert with_splits(rows, splits)["split"].to_pylist() == ["train", "test", None]
    again = with_splits(with_splits(rows, {}), splits)
    assert again.column_names == ["patient_key", "site", "split"]
    assert again["split"].to_pylist() == ["train", "test", None]


def test_no_patients_give_no_splits() -> None:
    assert split([]) == {}
