"""What must hold between files is found broken when it is."""

from __future__ import annotations

from dataclasses import replace

from curate.deid.verification.findings import Rule
from curate.deid.verification.judge import Judgement
from curate.deid.verification.pair import Checked
from curate.deid.verification.relations import check_relations

CODES = frozenset({"113100", "113107"})


def checked(name: str, number: int, **changes: object) -> tuple[str, Checked]:
    judgement = Judgement(
        uids={(f"1.{number}", f"2.25.{number}"), ("1.500", "2.25.500")},
        patients={("\0MRN1", "KEY1")},
        days={-7},
        seconds={0},
    )
    for field in tuple(changes):
        if hasattr(judgement, field):
            setattr(judgement, field, changes.pop(field))
    one = Checked(name, (), CODES, f"2.25.{number}", "2.25.500", "KEY1", f"1.{number}", judgement)
    return "archive", replace(one, **changes)  # type: ignore[arg-type]


def rules(*files: tuple[str, Checked], instances: frozenset[str] = frozenset({"1.1", "1.2"})) -> list[Rule]:
    return sorted({finding.rule for finding in check_relations(files, instances)})


def test_consistent_files_pass() -> None:
    assert rules(checked("a", 1), checked("b", 2)) == []


def test_one_uid_that_became_two_and_two_that_became_one() -> None:
    assert Rule.UID_MAP in rules(checked("a", 1), checked("b", 2, uids={("1.1", "2.25.9")}))
    assert Rule.UID_MAP in rules(checked("a", 1), checked("b", 2, uids={("1.2", "2.25.1")}))


def test_patients_merged_or_split() -> None:
    assert rules(checked("a", 1), checked("b", 2, patients={("\0MRN2", "KEY1")})) == [Rule.PATIENT]
    assert rules(checked("a", 1), checked("b", 2, patients={("\0MRN1", "KEY2")})) == [Rule.PATIENT]
    assert rules(checked("a", 1), checked("b", 2, patients={("\x000MRN1", "KEY1")})) == []


def test_an_archive_of_another_site_may_use_the_same_number() -> None:
    other = ("other", checked("b", 2, patients={("\0MRN1", "KEY2")})[1])
    assert rules(checked("a", 1), other) == []


def test_a_second_offset_breaks_intervals() -> None:
    assert rules(checked("a", 1), checked("b", 2, days={-8, -20})) == [Rule.DATE]
    assert rules(checked("a", 1, days={0}), checked("b", 2, days={0})) == [Rule.DATE]
    assert rules(checked("a", 1), checked("b", 2, patient="KEY2", days={-20})) == []


def test_where_hours_move_a_date_may_move_by_this_day_or_the_next() -> None:
    night = [checked("a", 1, days={-7}, seconds={7200}), checked("b", 2, days={-6}, seconds={7200})]
    assert rules(*night) == []


def test_a_reference_resolves_as_before() -> None:
    dangling = checked("b", 2, uids={("1.1", "2.25.77")})
    assert Rule.REFERENCE in rules(checked("a", 1), dangling)
    appeared = checked("b", 2, uids={("1.99", "2.25.1")})
    assert Rule.REFERENCE in rules(checked("a", 1), appeared)


def test_an_instance_twice() -> None:
    assert Rule.REPEATED in rules(checked("a", 1), checked("b", 1))
