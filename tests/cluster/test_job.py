"""Opening a stage: once a process, and never with the text of an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from cluster.job import Done, Job, StageBroken, describe, forget_opened, open_work
from cluster.units import Item
from curate.errors import Misconfigured
from curate.identity import Json
from tests.support.cluster_jobs import SECRET, open_broken, open_refusing

opened: list[Mapping[str, Json]] = []


def open_counted(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    opened.append(config)
    return lambda item: Done(record={"key": item.key})


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    opened.clear()
    forget_opened()
    yield
    forget_opened()


def test_a_stage_is_opened_once_for_all_its_items() -> None:
    job = Job("s", 1, open_counted, {"a": 1})
    works = {open_work(job), open_work(job), open_work(Job("s", 1, open_counted, {"a": 1}))}
    assert len(works) == 1
    assert opened == [{"a": 1}]


@pytest.mark.parametrize(
    "other",
    [Job("s", 1, open_counted, {"a": 2}), Job("s", 2, open_counted, {"a": 1}), Job("t", 1, open_counted, {"a": 1})],
)
def test_another_stage_version_or_config_is_opened_anew(other: Job) -> None:
    first = open_work(Job("s", 1, open_counted, {"a": 1}))
    assert open_work(other) is not first
    assert len(opened) == 2


def test_only_the_last_stage_is_kept_open() -> None:
    first, second = Job("s", 1, open_counted), Job("t", 1, open_counted)
    for job in (first, second, first):
        open_work(job)
    assert len(opened) == 3


def test_a_forgotten_stage_is_opened_again() -> None:
    job = Job("s", 1, open_counted)
    open_work(job)
    forget_opened()
    open_work(job)
    assert len(opened) == 2


def test_the_identity_does_not_depend_on_the_order_of_the_config() -> None:
    forth = Job("s", 1, open_counted, {"a": 1, "b": 2})
    back = Job("s", 1, open_counted, {"b": 2, "a": 1})
    assert forth.identity == back.identity


def test_what_travels_by_name_must_have_one() -> None:
    def inner(config: Mapping[str, Json]) -> Callable[[Item], Done]:
        return open_counted(config)

    for unnamed in (inner, lambda config: open_counted(config)):
        with pytest.raises(Misconfigured, match="module-level function"):
            Job("s", 1, unnamed)


def test_a_stage_that_cannot_be_opened_says_where_and_not_why() -> None:
    with pytest.raises(StageBroken) as caught:
        open_work(Job("s", 1, open_broken))
    assert "stage s cannot be opened: RuntimeError at tests.support.cluster_jobs:" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_configuration_keeps_its_message() -> None:
    with pytest.raises(Misconfigured, match=r"deid\.key: expected 32 bytes"):
        open_work(Job("s", 1, open_refusing))


def test_an_error_is_placed_at_the_deepest_line_of_our_own_code() -> None:
    with pytest.raises(TypeError) as caught:
        assert Job("s", 1, open_counted, {"a": object()}).identity  # type: ignore[dict-item]
    assert describe(caught.value, Job("s", 1, open_counted)).startswith("TypeError at curate.identity:")


def test_an_error_without_a_trace_is_named_by_its_type() -> None:
    assert describe(ValueError(SECRET), Job("s", 1, open_counted)) == "ValueError"
