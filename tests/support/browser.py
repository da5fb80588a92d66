"""A headless Chromium for tests of pages: a new empty profile, no network, downloads into a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 120  # seconds on a machine that is busy

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1360,1500",
)


def find_program(name: str) -> str:
    """Fails the test, and does not skip it: a page that nobody opened is not tested."""
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: apt-get install chromium chromium-driver (Debian packages)"
    return found


@contextmanager
def open_page(page: Path, folder: Path) -> Iterator[Chrome]:
    """``folder``: a new one, for the browser's profile and, under ``downloads``, what it saves."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    options = ChromeOptions()
    options.binary_location = find_program("chromium")
    for argument in (*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.unhandled_prompt_behavior = "accept"  # leaving a page with marks that were not saved
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=ChromeService(executable_path=find_program("chromedriver")))
    try:
        browser.get(page.as_uri())
        yield browser
    finally:
        browser.quit()


def downloaded(browser: Chrome, folder: Path, name: str) -> Path:
    """A file that the page in a browser of ``open_page(..., folder)`` saved, once it is there."""
    path = folder / "downloads" / name
    WebDriverWait(browser, PATIENCE).until(lambda _: path.exists(), f"{name} was not saved")
    return path
