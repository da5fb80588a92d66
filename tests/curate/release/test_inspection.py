from pathlib import Path

import pytest

from curate.deid.leaks import LeakScanner
from curate.release import Kind, ReleaseSummary
from curate.release.inspection import ABOUT, Inspector
from curate.release.leakage import LeakCheck
from tests.support.release_store import Made


def test_each_kind_of_file_leaves_what_later_checks_need(built_cervical: ReleaseSummary, made_cervical: Made) -> None:
    inspector = Inspector(built_cervical.path, LeakCheck(LeakScanner(made_cervical.identifiers)))
    image = sorted(built_cervical.path.glob("train_images/**/*.dcm"))[0].relative_to(built_cervical.path).as_posix()
    for path in (ABOUT, image, "manifests/slices.parquet", "train.csv", "README.md", "SHA256SUMS"):
        inspector.inspect(path)
    assert inspector.findings == []
    assert inspector.about["name"] == "six-cervical"
    assert list(inspector.instances) == [image]
    assert inspector.tables["slices"].num_rows == 12
    assert set(inspector.texts) == {"train.csv", "README.md", "SHA256SUMS"}
    assert inspector.files[image][1] == (built_cervical.path / image).stat().st_size


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.dcm", b"no image"),
        ("x.json", b"{"),
        ("manifests/x.parquet", b"no table"),
        ("release.json", b"[]"),
        ("volumes/s/r/0.zarr/0/c/0/0/0", b"no shard"),
    ],
)
def test_what_cannot_be_read_is_one_finding(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    inspector = Inspector(tmp_path, LeakCheck(None))
    inspector.inspect(name)
    assert [(finding.path, finding.kind) for finding in inspector.findings] == [(name, Kind.UNREADABLE)]
    assert name in inspector.files


@pytest.mark.parametrize("statement", [None, {}, {"profile": "unheard-of"}, "basic"])
def test_a_release_that_does_not_say_its_profile_is_a_finding(tmp_path: Path, statement: object) -> None:
    import json

    (tmp_path / ABOUT).write_text(json.dumps({"deidentification": statement}))
    inspector = Inspector(tmp_path, LeakCheck(None))
    inspector.inspect(ABOUT)
    assert [finding.kind for finding in inspector.findings] == [Kind.HEADER]


def test_a_file_that_went_away_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Inspector(tmp_path, LeakCheck(None)).inspect("gone.csv")
