"""Look, blank, look again: on every frame, until nothing is found or the object is put aside."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.sequence import Sequence

from curate.deid.pixels.blank import frames_of, words_of
from curate.deid.pixels.regions import Box
from curate.deid.pixels.risk import assess_risk
from curate.deid.pixels.text_search import MOST_ROUNDS, Blanked, TextSearch
from curate.errors import Quarantined
from curate.reasons import Reason
from tests.support.deid_files import encode, item
from tests.support.pixel_files import ScriptedFinder, header_of, make_image

FLAGGED = {"Modality": "US"}
ONE, TWO = Box(0, 0, 4, 8), Box(10, 4, 12, 20)


def search(pixels: np.ndarray, finder: object, **changes: object) -> tuple[bool, np.ndarray, TextSearch]:
    header = header_of(encode(make_image(pixels, **(FLAGGED | changes))))
    looking = TextSearch(header, assess_risk(header), finder)  # type: ignore[arg-type]
    words = words_of(pixels.tobytes(), header.pixels, little=True)
    is_changed = looking.clean(frames_of(words, header.pixels, is_planar=False), header.pixels)
    return is_changed, words.reshape(pixels.shape), looking


def grain(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(10, 200, shape, np.uint8)


def test_boxes_of_one_frame_are_blanked_on_all() -> None:
    pixels = grain(3, 20, 30)
    is_changed, after, looking = search(pixels, ScriptedFinder([[], [ONE, TWO]]))
    assert is_changed
    for frame in range(3):
        for box in (ONE, TWO):
            assert (after[frame, box.top : box.bottom, box.left : box.right] == pixels[frame].min()).all()
    assert np.array_equal(after[:, 4:10], pixels[:, 4:10])
    assert looking.blanked == [Blanked("text", *ONE), Blanked("text", *TWO)]
    assert looking.counts == {"pixels: frames searched for text": 3, "pixels: boxes blanked (text)": 2}


def test_nothing_found_changes_nothing() -> None:
    pixels = grain(20, 30)
    finder = ScriptedFinder()
    is_changed, after, looking = search(pixels, finder)
    assert not is_changed
    assert np.array_equal(after, pixels)
    assert looking.blanked == []
    assert len(finder.seen) == 1


def test_equal_frames_are_looked_at_once() -> None:
    finder = ScriptedFinder()
    search(np.stack([grain(20, 30)] * 5), finder)
    assert len(finder.seen) == 1


def test_frames_with_text_are_looked_at_again() -> None:
    finder = ScriptedFinder([[ONE], [TWO]])
    _, after, looking = search(grain(20, 30), finder)
    assert len(finder.seen) == 3
    assert [blanked.top for blanked in looking.blanked] == [0, 10]
    assert (after[10:12, 4:20] == after.min()).all()


def test_text_that_does_not_go_puts_the_object_aside() -> None:
    with pytest.raises(Quarantined) as caught:
        search(grain(20, 30), ScriptedFinder([[ONE]] * (MOST_ROUNDS + 1)))
    assert caught.value.reason is Reason.BURNED_IN_ANNOTATION


def test_a_screen_is_blanked_on_suspicion_and_an_ordinary_picture_on_letters() -> None:
    screen, picture = ScriptedFinder([[ONE]]), ScriptedFinder([[ONE]])
    search(grain(20, 30), screen)
    search(grain(20, 30), picture, Modality="MR", ImageType=["DERIVED", "SECONDARY"])
    assert screen.strictness == [False, True]
    assert picture.strictness == [True, True]


def test_a_header_that_says_burned_in_is_believed_when_nothing_is_found() -> None:
    with pytest.raises(Quarantined) as caught:
        search(grain(20, 30), ScriptedFinder(), BurnedInAnnotation="YES")
    assert caught.value.reason is Reason.BURNED_IN_ANNOTATION
    is_changed, _, _ = search(grain(20, 30), ScriptedFinder([[ONE]]), BurnedInAnnotation="YES")
    assert is_changed


def test_what_lies_outside_ultrasound_regions_is_blanked_unseen() -> None:
    region = item(RegionLocationMinX0=5, RegionLocationMinY0=6, RegionLocationMaxX1=24, RegionLocationMaxY1=17)
    pixels = grain(20, 30)
    finder = ScriptedFinder()
    is_changed, after, looking = search(pixels, finder, SequenceOfUltrasoundRegions=Sequence([region]))
    assert is_changed
    assert np.array_equal(after[6:18, 5:25], pixels[6:18, 5:25])
    rest = np.ones((20, 30), bool)
    rest[6:18, 5:25] = False
    assert (after[rest] == pixels.min()).all()
    assert {blanked.cause for blanked in looking.blanked} == {"outside_ultrasound_regions"}
    assert finder.seen[0][0].max() == 0  # the finder sees the banner gone


def test_regions_over_black_change_nothing() -> None:
    pixels = np.zeros((20, 30), np.uint8)
    pixels[6:18, 5:25] = grain(12, 20)
    region = item(RegionLocationMinX0=5, RegionLocationMinY0=6, RegionLocationMaxX1=24, RegionLocationMaxY1=17)
    is_changed, after, looking = search(pixels, ScriptedFinder(), SequenceOfUltrasoundRegions=Sequence([region]))
    assert not is_changed
    assert np.array_equal(after, pixels)
    assert looking.blanked == []
