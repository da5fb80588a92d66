import json
from pathlib import Path

import pytest

from curate.release import ReleaseSummary
from curate.release.card import constant_lines, number_blocks, render_card


def card(built: ReleaseSummary) -> str:
    return (built.path / "README.md").read_text()


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_the_card_states_terms_layout_and_how_identity_was_removed(request: pytest.FixtureRequest, task: str) -> None:
    text = card(request.getfixturevalue(f"built_{task}"))
    assert text.startswith("# Six synthetic spines\n")
    for wanted in (
        "Licence: CC0-1.0",
        "edition 2026d",
        "| 113100 | Basic Application Confidentiality Profile |",
        "orientation radiological, spacing 1 x as acquired x 1 mm",
        "sha256sum -c SHA256SUMS",
        "train_images" if task == "none" else "<split>_images",
    ):
        assert wanted in text


def test_the_card_has_the_numbers_of_the_summary(built_lumbar: ReleaseSummary) -> None:
    text = card(built_lumbar)
    counts = built_lumbar.counts
    assert f"| all | 6 | 6 | 18 | 18 | {counts.total('images')} |" in text
    assert "| site-b | 0 | 1 | 1 |" in text
    assert "| no label row | 3 |" in text
    assert f"Images: {counts.image_bytes} bytes. Volumes: {counts.volume_bytes} bytes." in text


def test_labels_of_the_hidden_split_are_not_on_the_card(built_cervical: ReleaseSummary) -> None:
    text = card(built_cervical)
    assert "## Labels, train" in text
    assert "## Labels, test" not in text


def test_every_number_block_stands_in_the_card_as_it_is(built_cervical: ReleaseSummary) -> None:
    for block in number_blocks(built_cervical.counts, "cervical"):
        assert f"\n{block}\n\n" in card(built_cervical)


def test_the_files_that_the_layout_names_exist(built_cervical: ReleaseSummary) -> None:
    for name in ("train.csv", "validation.csv", "test.csv", "sample_submission.csv", "split.csv", "exclusions.csv"):
        assert f"`{name}`" in card(built_cervical)
        assert (built_cervical.path / name).is_file()


def test_a_bar_in_a_cell_does_not_end_it(built_cervical: ReleaseSummary) -> None:
    facts = json.loads((built_cervical.path / "release.json").read_text())
    facts["deidentification"]["options"] = [["1", "a|b"]]
    assert "| 1 | a\\|b |" in render_card(facts, built_cervical.counts).decode()


def test_the_loader_example_runs_and_opens_every_volume(
    built_cervical: ReleaseSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = card(built_cervical).split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(built_cervical.path)
    names: dict[str, object] = {}
    exec(code, names)
    assert len(names["samples"]) == 6  # type: ignore[arg-type]
    assert names["voxels"].shape == (2, 12, 10)  # type: ignore[attr-defined]
    assert not Path("__pycache__").exists()


def test_constant_lines_hold_nothing_of_a_release(built_cervical: ReleaseSummary) -> None:
    constant = "\n".join(constant_lines())
    for own in ("six-cervical", "CC0", "site-a", "2.25."):
        assert own not in constant
