"""The sieve in front of the search: it may say yes too often, never no too often."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.deid import chance
from curate.deid.chance import WINDOW, Sieve

FEW = st.sampled_from(b"ab\x00A.")  # so few letters that chance matches happen
PATTERNS = st.lists(st.lists(FEW, min_size=WINDOW, max_size=14).map(lambda p: bytes(p).lower()), min_size=1, max_size=4)


@settings(deadline=None, max_examples=400)
@given(patterns=PATTERNS, content=st.lists(FEW, max_size=120).map(bytes), at=st.integers(0, 120), upper=st.booleans())
def test_a_pattern_that_is_there_is_never_missed(patterns: list[bytes], content: bytes, at: int, upper: bool) -> None:
    planted = patterns[0].upper() if upper else patterns[0]
    whole = content[:at] + planted + content[at:]
    assert Sieve(patterns).may_hold(whole, 0, len(whole))


@settings(deadline=None, max_examples=400)
@given(patterns=PATTERNS, content=st.lists(FEW, max_size=200).map(bytes), start=st.integers(0, 20))
def test_no_is_said_only_of_bytes_without_a_pattern(patterns: list[bytes], content: bytes, start: int) -> None:
    if not Sieve(patterns).may_hold(content, start, len(content)):
        assert not any(pattern in content.lower()[start:] for pattern in patterns)


def test_pixels_of_a_scanner_are_passed_over() -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, 300_000).astype("<u2").tobytes()
    names = [f"2.25.{number}".encode() for number in range(10**8, 10**8 + 500)] + [b"19580304", b"doe^jane^maria"]
    assert not Sieve(names).may_hold(pixels, 0, len(pixels))


@pytest.mark.parametrize("place", [0, 1, 5, 992])
def test_a_pattern_is_seen_at_any_place(place: int) -> None:
    content = bytearray(1000)
    content[place : place + 8] = b"19580304"
    assert Sieve([b"19580304"]).may_hold(bytes(content), 0, 1000)


def test_only_the_bytes_asked_for_are_looked_at() -> None:
    content = bytes(50) + b"19580304" + bytes(50)
    sieve = Sieve([b"19580304"])
    assert sieve.may_hold(content, 50, 58)
    assert not sieve.may_hold(content, 51, 108)
    assert not sieve.may_hold(content, 0, 57)
    assert not sieve.may_hold(content, 90, 20)
    assert sieve.may_hold(content, -5, 10**9)  # held to what is there


def test_nothing_is_found_without_patterns_or_bytes() -> None:
    assert not Sieve([]).may_hold(b"19580304" * 9, 0, 72)
    assert not Sieve([b"19580304"]).may_hold(b"", 0, 0)


def test_a_pattern_shorter_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Sieve([b"1958030"])


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=64), start=st.integers(0, 80), stop=st.integers(0, 80))
def test_the_kernel_stays_inside_its_bytes(content: bytes, start: int, stop: int) -> None:
    sieve = Sieve([b"abcdefgh"])
    array = np.frombuffer(content, np.uint8)
    kernel = chance._may_hold.py_func  # type: ignore[attr-defined]
    found = kernel(array, start, min(stop, len(content)), sieve._shifts, sieve._pairs, chance._LOWER)
    assert found == sieve.may_hold(content, start, stop)
