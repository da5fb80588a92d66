"""The values page, read and used in a real browser as a privacy officer would."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.review.decisions import read_decisions
from curate.deid.review.review_page import render_page
from curate.deid.review.values import ValueCollector, Values
from tests.support.browser import PATIENCE, downloaded, find_program, open_page
from tests.support.deid_files import KEY, PATIENT_ID, PATIENT_NAME, encode, make_ct

MIRA = load_profile("mira")
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp;{data}"
FILES = [
    encode(make_ct(SeriesDescription="SAG T2", StudyDescription="CT spine for Quixotova")),
    encode(make_ct(SeriesDescription="AX T1", StudyDescription="CT neck", Manufacturer="Otherworks")),
    encode(make_ct(SeriesDescription=HOSTILE[:64], ImageComments=HOSTILE, StationName="WUNDERLICH_CT")),
    encode(make_ct(SeriesDescription="Wirbelsäule, Übersicht\\2", ProtocolName='a "quoted", text')),
]


def values_of(files: list[bytes], unread: dict[str, int] | None = None) -> Values:
    collector = ValueCollector(MIRA)
    for raw in files:
        collector.add(raw)
    return Values(collector.table(), len(files), unread or {})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "values.html"
    path.write_bytes(render_page(values_of(FILES, {"not_dicom": 2}), MIRA))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chromium") / "browser"


@pytest.fixture(scope="module")
def opened(page: Path, folder: Path) -> Iterator[Chrome]:
    with open_page(page, folder) as browser:
        yield browser


@pytest.fixture
def browser(opened: Chrome, page: Path, folder: Path) -> Chrome:
    for old in (folder / "downloads").iterdir():
        old.unlink()
    opened.get(page.as_uri())
    opened.get_log("browser")
    return opened


def shown_texts(browser: Chrome) -> list[str]:
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".text")]


def row_of(browser: Chrome, text: str) -> WebElement:
    rows = browser.find_elements(By.CSS_SELECTOR, ".row")
    return next(row for row in rows if row.find_element(By.CSS_SELECTOR, ".text").text == text)


def mark(browser: Chrome, text: str, decision: str) -> None:
    row_of(browser, text).find_element(By.CSS_SELECTOR, f"[data-mark={decision}]").click()


def test_three_marked_rows_are_saved_and_change_the_run(browser: Chrome, folder: Path) -> None:
    mark(browser, "SAG T2", "remove")
    mark(browser, "CT neck", "keep")
    mark(browser, 'a "quoted", text', "clean")
    assert browser.find_element(By.ID, "n-marked").text == "3"
    browser.find_element(By.ID, "save").click()
    decisions = read_decisions(downloaded(browser, folder, "decisions.json"))
    assert len(decisions) == 3
    assert decisions.action("(0008,103e)", "LO", "SAG T2") == "remove"
    assert decisions.action("(0008,1030)", "LO", "CT neck") == "keep"
    assert decisions.action("(0018,1030)", "LO", 'a "quoted", text') == "clean"

    def run(raw: bytes) -> object:
        return dcmread(BytesIO(deidentify_bytes(raw, MIRA, Keyed(KEY), decisions=decisions).content))

    assert "SeriesDescription" not in run(FILES[0])  # type: ignore[operator]
    assert run(FILES[1]).SeriesDescription == "AX T1"  # type: ignore[attr-defined]


def test_both_saved_files_say_the_same_and_load_back(browser: Chrome, folder: Path) -> None:
    for text in ("SAG T2", 'a "quoted", text', "Wirbelsäule, Übersicht\\2"):
        mark(browser, text, "remove")
    browser.find_element(By.ID, "save").click()
    browser.find_element(By.ID, "save-csv").click()
    as_json, as_csv = downloaded(browser, folder, "decisions.json"), downloaded(browser, folder, "decisions.csv")
    assert read_decisions(as_csv) == read_decisions(as_json)
    browser.get(browser.current_url)
    assert browser.find_element(By.ID, "n-marked").text == "0"
    browser.find_element(By.ID, "load").send_keys(str(as_json))
    WebDriverWait(browser, PATIENCE).until(lambda _: browser.find_element(By.ID, "n-marked").text == "3")
    assert browser.find_element(By.ID, "n-marked").text == "3"
    pressed = row_of(browser, "SAG T2").find_element(By.CSS_SELECTOR, "[data-mark=remove]")
    assert pressed.get_attribute("aria-pressed") == "true"


def test_filters_narrow_the_list_and_marks_go_to_what_is_shown(browser: Chrome) -> None:
    everything = len(shown_texts(browser))
    search = browser.find_element(By.ID, "search")
    search.send_keys("series description")
    assert sorted(shown_texts(browser)) == sorted(["SAG T2", "AX T1", HOSTILE[:64], "Wirbelsäule, Übersicht\\2"])
    search.send_keys(" ax")
    assert shown_texts(browser) == ["AX T1"]
    browser.find_element(By.ID, "all-remove").click()
    search.clear()
    search.send_keys(" " + Keys.BACKSPACE)
    assert len(shown_texts(browser)) == everything
    Select(browser.find_element(By.ID, "marked")).select_by_value("remove")
    assert shown_texts(browser) == ["AX T1"]
    Select(browser.find_element(By.ID, "marked")).select_by_value("")
    Select(browser.find_element(By.ID, "equipment")).select_by_visible_text("CT, Otherworks, Model 9, v3")
    assert "AX T1" in shown_texts(browser)
    assert "SAG T2" not in shown_texts(browser)


def test_the_keyboard_is_enough(browser: Chrome) -> None:
    row_of(browser, "SAG T2").send_keys("r")
    pressed = row_of(browser, "SAG T2").find_element(By.CSS_SELECTOR, "[data-mark=remove]")
    assert pressed.get_attribute("aria-pressed") == "true"
    first = browser.find_elements(By.CSS_SELECTOR, ".row")[0]
    first.send_keys(Keys.ARROW_DOWN)
    assert browser.switch_to.active_element.get_attribute("data-row") == (
        browser.find_elements(By.CSS_SELECTOR, ".row")[1].get_attribute("data-row")
    )


def test_text_of_the_archive_never_becomes_markup_and_nothing_is_loaded(browser: Chrome) -> None:
    assert HOSTILE in shown_texts(browser)
    assert browser.title == "Values to review"
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []  # no script fault, no policy broken
    for attempt in ("fetch('https://example.org')", "import('data:text/javascript,1')"):
        script = f"const done = arguments[0]; {attempt}.then(() => done('open'), () => done('shut'))"
        assert browser.execute_async_script(script) == "shut"
    browser.execute_script("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    time.sleep(0.2)
    assert browser.title == "Values to review"


def test_a_text_that_names_somebody_of_its_file_cannot_be_kept_and_shows_what_cleaning_leaves(browser: Chrome) -> None:
    row = row_of(browser, "CT spine for Quixotova")
    assert not row.find_element(By.CSS_SELECTOR, "[data-mark=keep]").is_enabled()
    assert row.find_element(By.CSS_SELECTOR, ".becomes").text.startswith("becomes: CT spine")
    first = browser.find_elements(By.CSS_SELECTOR, ".row")[0]
    assert "WUNDERLICH_CT" in first.text
    assert "first" in str(first.get_attribute("class"))


def test_hundreds_of_texts_are_drawn_as_they_are_asked_for(tmp_path: Path) -> None:
    collector = ValueCollector(MIRA)
    for number in range(450):
        collector.add(encode(make_ct(SeriesDescription=f"text {number}")))
    path = tmp_path / "many.html"
    path.write_bytes(render_page(Values(collector.table(), 450, {}), MIRA))
    with open_page(path, tmp_path / "browser") as browser:
        assert len(browser.find_elements(By.CSS_SELECTOR, ".row")) == 200
        browser.execute_script("document.getElementById('more').click()")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".row")) == 400
        browser.find_element(By.ID, "search").send_keys("text 449")
        assert shown_texts(browser) == ["text 449"]


def test_without_a_browser_these_tests_fail_and_name_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match="apt-get install chromium chromium-driver"):
        find_program("chromium")


def test_the_page_says_how_to_run_again(page: Path) -> None:
    assert "--decisions decisions.json" in page.read_text()


def test_the_page_says_what_was_read_and_what_was_not(page: Path) -> None:
    text = page.read_text()
    assert "Read: 4 files." in text
    assert "The file is not DICOM." in text
    assert "Clean Descriptors Option" in text


def test_names_and_ids_of_patients_stand_in_the_page_only_where_a_listed_text_holds_them(page: Path) -> None:
    text = page.read_text()
    assert PATIENT_NAME not in text
    assert PATIENT_ID not in text


def test_the_page_has_one_script_one_style_and_a_policy_that_names_them(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", text)
    assert len(re.findall(r"<script(?! type=.application/json)", text)) == 1
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_equal_values_give_equal_pages() -> None:
    assert render_page(values_of(FILES), MIRA) == render_page(values_of(FILES[::-1]), MIRA)


def test_an_archive_without_texts_gives_a_page_all_the_same() -> None:
    text = render_page(Values(values_of([]).table, 0, {}), MIRA).decode()
    assert "Read: 0 files." in text
    data = re.search(r'id="data">(.*?)</script>', text)
    assert data is not None
    assert json.loads(data[1])["rows"] == []
