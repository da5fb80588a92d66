import pytest

from curate.release.contents import select
from curate.release.counts import Counts, count
from tests.support.release_store import Made


def counts_of(made: Made, task: str) -> Counts:
    contents = select(made.manifests, made.store, task=task, include_volumes=True)
    return count(contents.tables, task=task, image_bytes=11, volume_bytes=22)


def test_patients_studies_series_volumes_and_images_are_counted_a_split(made_lumbar: Made) -> None:
    counts = counts_of(made_lumbar, "lumbar")
    assert counts.splits["train"] == {"patients": 4, "studies": 4, "series": 12, "volumes": 12, "images": 24}
    assert counts.splits["test"] == {"patients": 1, "studies": 1, "series": 3, "volumes": 3, "images": 6}
    assert counts.total("images") == 6 * 3 * 2
    assert counts.sites == {
        "site-a": {"train": 4, "validation": 0, "test": 0},
        "site-b": {"train": 0, "validation": 1, "test": 1},
    }


def test_labels_of_the_hidden_split_are_not_counted(made_cervical: Made) -> None:
    counts = counts_of(made_cervical, "cervical")
    assert set(counts.labels) == {"train", "validation"}
    assert counts.labels["train"]["patient_overall"] == {"negative": 2, "positive": 2}
    assert counts.annotations == {"train": 4, "validation": 1}


def test_what_was_left_out_is_counted_by_reason(made_cervical: Made) -> None:
    assert counts_of(made_cervical, "cervical").excluded == {"": 1, "localizer": 1}


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_bytes_are_as_given_and_everything_is_plain_json(request: pytest.FixtureRequest, task: str) -> None:
    stated = counts_of(request.getfixturevalue(f"made_{task}"), task).as_json()
    assert (stated["image_bytes"], stated["volume_bytes"]) == (11, 22)
    assert set(stated) == {"splits", "sites", "labels", "annotations", "excluded", "image_bytes", "volume_bytes"}
