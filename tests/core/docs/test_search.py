"""Laws of the search of the built pages: it works from a folder as from a server.

Needs a Chromium on this machine (Debian: apt-get install chromium); without one it is skipped.
"""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chromium import FLAGS, chromium

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine: apt-get install chromium"
    ),
]


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """The address of the pages on a server of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("place", ["folder", "server"])
def test_a_word_is_found_and_its_page_opened(
    request: pytest.FixtureRequest, site: Path, place: str
) -> None:
    """A setting is typed, its page is the first result and opens; no other host is asked."""
    base = site.as_uri() if place == "folder" else request.getfixturevalue("served")
    said: list[str] = []
    asked: list[str] = []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{base}/index.html")
        page.click("input.md-search__input")
        page.keyboard.type("max_quarantine_fraction")  # with keys: the search listens to them
        result = page.locator(".md-search-result__link").first
        result.wait_for()
        assert page.locator("input.md-search__input").is_visible()
        result.click()
        page.wait_for_url("**/recipe.html*")
        assert "max_quarantine_fraction" in page.locator("article").inner_text()
        browser.close()
    assert said == []
    assert all(address.startswith((base, "about:", "data:")) for address in asked), asked
