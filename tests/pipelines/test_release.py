"""A run becomes a release that proves itself, and whose numbers are those of the manifests."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from curate.errors import Misconfigured
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_TARGETS
from curate.release import Kind, ReleaseSummary
from curate.scoring import score_cervical, score_lumbar
from curate.volumes import open_volume
from pipelines.join import NAMES, join, read_manifests
from pipelines.known import read_identifiers
from pipelines.release import release, verify
from pipelines.spec import read_spec
from pipelines.workspace import open_workspace, spec_digest
from tests.support.curated import Curated, copy_archive, curate


@pytest.fixture(scope="module")
def frozen_cervical(cervical: Curated) -> ReleaseSummary:
    return release(cervical.spec, cervical.workspace)


@pytest.fixture(scope="module")
def frozen_lumbar(lumbar: Curated) -> ReleaseSummary:
    return release(lumbar.spec, lumbar.workspace)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_release_of_either_task_has_nothing_wrong(
    frozen_cervical: ReleaseSummary, frozen_lumbar: ReleaseSummary
) -> None:
    for frozen in (frozen_cervical, frozen_lumbar):
        findings, known = verify(frozen.path, private=None, digest=frozen.digest)
        assert findings == []
        assert known is not None
        assert known > 100
        assert verify(frozen.private_path, private=None)[0] == []


def test_every_sample_is_in_one_split_and_in_one_table(frozen_cervical: ReleaseSummary, cervical: Curated) -> None:
    path = frozen_cervical.path
    samples = {row["study_key"]: row for row in cervical.manifest("samples").to_pylist()}
    split = {row["study_key"]: row["split"] for row in rows(path / "split.csv")}
    assert split == {key: row["split"] for key, row in samples.items()}
    train = {row["StudyInstanceUID"] for row in rows(path / "train.csv")}
    assert train == {key for key, name in split.items() if name == "train"}


def test_label_tables_carry_the_labels_of_the_archive(frozen_lumbar: ReleaseSummary, lumbar: Curated) -> None:
    source = {lumbar.workspace.pseudonyms.uid(row["study_id"]): row for row in rows(lumbar.folder / "labels/train.csv")}
    released = rows(frozen_lumbar.path / "train.csv")
    assert released
    for row in released:
        assert {name: row[name] for name in LUMBAR_TARGETS} == {
            name: source[row["study_id"]][name] for name in LUMBAR_TARGETS
        }


def test_the_answer_key_scores_a_submission(
    frozen_cervical: ReleaseSummary, frozen_lumbar: ReleaseSummary, cervical: Curated
) -> None:
    for frozen, score in ((frozen_cervical, score_cervical), (frozen_lumbar, score_lumbar)):
        sample = pd.read_csv(frozen.path / "sample_submission.csv")
        solution = pd.read_csv(frozen.private_path / "solution.csv")
        if len(solution):
            assert score(solution, sample).score > 0


def test_released_volumes_are_the_volumes_of_the_store(frozen_cervical: ReleaseSummary, cervical: Curated) -> None:
    released = {
        row["series_key"]: row for row in pq.read_table(frozen_cervical.path / "manifests/volumes.parquet").to_pylist()
    }
    for key, row in cervical.by_series("volumes").items():
        if key in released:
            ours = open_volume(Path(cervical.workspace.store.url, row["uri"]))
            theirs = open_volume(Path(frozen_cervical.path, released[key]["uri"]))
            assert (ours.read() == theirs.read()).all()
            assert ours.grid == theirs.grid


def test_a_changed_extra_or_missing_file_is_found(frozen_cervical: ReleaseSummary, tmp_path: Path) -> None:
    copy = shutil.copytree(frozen_cervical.path, tmp_path / "copy")
    images = sorted(copy.rglob("*.dcm"))
    images[0].unlink()
    (copy / "extra.txt").write_text("x")
    card = copy / "README.md"
    card.chmod(0o644)
    card.write_text(card.read_text().replace("studies", "studees", 1))
    kinds = {finding.kind for finding in verify(copy, private=None)[0]}
    assert {Kind.MISSING, Kind.EXTRA, Kind.CHANGED} <= kinds


def test_an_identifier_in_a_release_is_found_by_the_private_zone(
    frozen_cervical: ReleaseSummary, cervical: Curated, tmp_path: Path
) -> None:
    copy = shutil.copytree(frozen_cervical.path, tmp_path / "copy")
    name = next(one.value for one in read_identifiers(cervical.workspace.private) if one.kind == "patient_id")
    (copy / "notes.txt").write_text(f"call {name}")
    findings, known = verify(copy, private=Path(cervical.workspace.private.url))
    assert known
    assert Kind.LEAK in {finding.kind for finding in findings}
    assert not [finding for finding in findings if name in str(finding)]
    without, unknown = verify(copy, private=None)
    assert unknown is None
    assert Kind.LEAK not in {finding.kind for finding in without}


def test_a_private_zone_that_is_not_there_is_refused(frozen_cervical: ReleaseSummary, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no private zone"):
        verify(frozen_cervical.path, private=tmp_path / "none")


def test_a_frozen_version_stays_as_it_is(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    curated = curate(folder)
    first = release(curated.spec, curated.workspace)
    again = release(curated.spec, curated.workspace)
    assert (again.digest, again.was_frozen) == (first.digest, True)
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace('title = "', 'title = "New '))
    changed = read_spec(spec)
    with pytest.raises(Misconfigured, match="raise the version"):
        release(changed, open_workspace(changed))
    spec.write_text(spec.read_text().replace('version = "1.0.0"', 'version = "1.1.0"'))
    changed = read_spec(spec)
    assert release(changed, open_workspace(changed)).digest != first.digest


def test_the_same_archive_and_key_give_the_same_release(
    frozen_cervical: ReleaseSummary, cervical: Curated, tmp_path: Path
) -> None:
    curated = curate(copy_archive(cervical.folder, tmp_path / "elsewhere"))
    assert release(curated.spec, curated.workspace).digest == frozen_cervical.digest


def test_the_digest_of_a_spec_tells_what_decides_a_result_from_what_does_not(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    spec = folder / "spec.toml"
    text = spec.read_text()

    def digest(content: str) -> str:
        spec.write_text(content)
        read = read_spec(spec)
        return spec_digest(read, open_workspace(read))

    same = digest(text)
    assert digest(f"{text}\n[runtime]\nunit_megabytes = 7\n") == same
    assert digest(text.replace("spacing_mm = [1.5", "spacing_mm = [1.6")) != same
    assert digest(text.replace('salt = "phantoms"', 'salt = "other"')) != same
    assert same == spec_digest(cervical.spec, cervical.workspace)


def test_manifests_are_read_back_as_they_were_joined(curated: Curated) -> None:
    manifests = read_manifests(curated.spec, curated.workspace)
    assert set(manifests) == set(NAMES)
    for name in NAMES:
        assert manifests[name].equals(curated.manifest(name)), name


def test_joining_again_changes_nothing(cervical: Curated) -> None:
    folder = Path(cervical.workspace.store.url, "manifests")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    joined = join(cervical.spec, cervical.workspace, "volumes", 1)
    assert joined.endings.total() == cervical.balance.series
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_samples_hold_every_target(cervical: Curated, lumbar: Curated) -> None:
    assert set(CERVICAL_TARGETS) <= set(cervical.manifest("samples").column_names)
    assert set(LUMBAR_TARGETS) <= set(lumbar.manifest("samples").column_names)
    for curated in (cervical, lumbar):
        done = {row["study_key"] for row in curated.manifest("series").to_pylist() if row["status"] == "done"}
        assert set(curated.manifest("samples")["study_key"].to_pylist()) <= done
