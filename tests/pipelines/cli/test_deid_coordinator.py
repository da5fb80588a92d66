"""The whole way of a coordinator: run, open the values page in a browser, mark three rows, save, run again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.support.browser import downloaded, open_page
from tests.support.deid_files import encode, make_ct
from tests.support.hospital import digests

Command = Callable[..., tuple[int, str]]
TEXTS = {  # attribute -> text, mark
    "StudyDescription": ("CT neck, protocol of 2011-05-06", "keep"),
    "SeriesDescription": ("bone, call 555-0199", "clean"),
    "ProtocolName": ("NECK_SECRET_PROTOCOL", "remove"),
}


def test_three_marks_made_in_the_browser_are_followed_by_the_next_run(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        texts = {keyword: text for keyword, (text, _) in TEXTS.items()}
        raw = encode(make_ct(SOPInstanceUID=f"1.2.826.0.1.3680043.9.7777.33.{number}", **texts))
        (tmp_path / "in" / f"{number}.dcm").write_bytes(raw)
    (tmp_path / "project.key").write_text("5e" * 32)
    (tmp_path / "project.key").chmod(0o600)
    words = ["deid", "run", tmp_path / "in", "--out", tmp_path / "out", "--key", f"file:{tmp_path / 'project.key'}"]
    code, said = command(*words, "--profile", "mira", "--workers", 1)
    assert code == 0, said
    before, first = digests(tmp_path / "out"), a_file(tmp_path / "out")
    assert first.ProtocolName == "NECK_SECRET_PROTOCOL"
    assert first.StudyDescription != "CT neck, protocol of 2011-05-06"

    with open_page(tmp_path / "out.private" / "values.html", tmp_path / "browser") as browser:
        for text, mark in TEXTS.values():
            mark_text(browser, text, mark)
        assert browser.find_element(By.ID, "n-marked").text == "3"
        Select(browser.find_element(By.ID, "marked")).select_by_value("any")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".row")) == 3
        browser.find_element(By.ID, "save").click()
        saved = downloaded(browser, tmp_path / "browser", "decisions.json")

    code, said = command(*words, "--profile", "mira", "--workers", 1, "--decisions", saved)
    assert code == 0, said
    assert "3 given, 3 of them met a text" in said
    second = a_file(tmp_path / "out")
    assert second.StudyDescription == "CT neck, protocol of 2011-05-06"
    assert second.SeriesDescription.startswith("bone")
    assert "555" not in second.SeriesDescription
    assert "ProtocolName" not in second
    assert digests(tmp_path / "out").keys() == before.keys()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["marks"] == {"given": 3, "met": 3, "kept": 3, "cleaned": 3, "removed": 3}
    assert report["check"]["passed"]
    with open_page(tmp_path / "out" / "report.html", tmp_path / "reading") as browser:
        page = browser.find_element(By.TAG_NAME, "body").text
        assert "3 marks were given; 3 of them speak of a text that some file holds. All were used." in page
        assert "Checked, and nothing was found." in page
        assert browser.get_log("browser") == []


def mark_text(browser: Chrome, text: str, mark: str) -> None:
    """Search for the text, as a person would, and press the mark in its row."""
    search = browser.find_element(By.ID, "search")
    search.clear()
    search.send_keys(text)
    (row,) = browser.find_elements(By.CSS_SELECTOR, ".row")
    row.find_element(By.CSS_SELECTOR, f"[data-mark={mark}]").click()
    search.clear()
    search.send_keys(" ")


def a_file(out: Path) -> FileDataset:
    return dcmread(sorted(out.rglob("*.dcm"))[0])
