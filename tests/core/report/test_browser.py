"""Laws of the page in a real browser: it works by hand, shows the rule's masks, and runs nothing.

Needs a Chromium on this machine (Debian: apt-get install chromium); without one it is skipped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chromium import FLAGS, chromium
from benchmarks.report import timed, write
from benchmarks.report_rows import made
from tests.core.report.hostile import hostile
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.masking import mask_trace
from weak2wise_core.records import CandidateTrace, TraceMeasure
from weak2wise_core.steps import split_steps
from weak2wise_core.stores.parquet import read

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine: apt-get install chromium"
)
LEVELS = 6
UNMASKED = """() => {
  const hint = document.querySelector(".hint").cloneNode(true);
  for (const gone of hint.querySelectorAll(".gone")) gone.remove();
  return hint.textContent;
}"""


class Opened:
    """One page in the browser, with everything that it complained about."""

    def __init__(self, context: Any, path: Path, fragment: str = "") -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", self._refuse)
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]")

    def _refuse(self, dialog: Any) -> None:
        self.said.append("dialog")
        dialog.dismiss()

    def choose(self, row: int) -> None:
        """Open one question of the list."""
        before = self.page.locator("#list button").nth(row)
        before.click()
        name = before.locator(".head span").first.text_content()
        self.page.wait_for_function(
            "name => document.querySelector('#question h3')?.textContent === name", arg=name
        )

    def scores(self) -> list[str]:
        """The scores that the list shows."""
        shown = self.page.locator("#list .head:first-child span:last-child").all_text_contents()
        return [str(one) for one in shown]

    def found(self) -> str:
        """How many rows the list says it has."""
        return str(self.page.locator("#found").text_content())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A window of its own, as wide as a desk's."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


def report(contents: Contents, folder: Path) -> Path:
    """The report of a dataset that is published there."""
    return publish(contents, root=folder).folder / "report.html"


def test_a_person_can_search_filter_and_open_a_question(
    context: Any, published: DatasetFolder
) -> None:
    """Search, state, teacher, mark, score and order; nothing is said on the console."""
    opened = Opened(context, published.folder / "report.html")
    page, counts = opened.page, published.manifest["counts"]
    assert opened.found() == f"{counts['rows']} of {counts['rows']} rows"
    page.fill("#search", "Q-00042")
    assert opened.found() == f"1 of {counts['rows']} rows"
    page.click("button[type=reset]")
    page.locator("#list li").nth(49).wait_for()
    page.select_option("#status", "trained on")
    assert opened.found().startswith(f"{counts['train']} of")
    page.select_option("#teacher", "teacher-b")
    golden = published.manifest["golden"]["by_strong_model"]["teacher-b"]
    assert opened.found().startswith(f"{golden} of")
    page.select_option("#mark", "truncated")
    page.select_option("#order", "down")
    assert opened.scores() == sorted(opened.scores(), reverse=True)
    page.fill("#least", "0.9")
    assert all(float(one) >= 0.9 for one in opened.scores())
    page.click("button[type=reset]")
    page.locator("#list li").nth(49).wait_for()
    page.click("#after")
    assert page.locator("#place").text_content() == "51 to 100"
    opened.choose(3)
    assert page.locator("#question").evaluate("node => node === document.activeElement")
    assert "#q=" in page.url
    assert opened.said == []
    assert len(opened.asked) == 1


def test_every_mask_level_shows_what_the_rule_shows(context: Any, published: DatasetFolder) -> None:
    """For each trace of a question and each level, the part that is not struck out is the hint."""
    rows = read(published.file("candidates.parquet"), CandidateTrace)
    name = next(one.question_id for one in rows if one.refusal is None)
    opened = Opened(context, published.folder / "report.html", f"#q={name}")
    page = opened.page
    page.wait_for_selector(".card")
    own = [one for one in rows if one.question_id == name and one.refusal is None]
    for one in own:
        page.click(f".card:has-text('{one.strong_model}, draw {one.draw}')")
        for level in range(LEVELS):
            page.check(f"input[name=level][value='{level}']")
            steps = split_steps(one.step_reasoning)
            hint = mask_trace(steps, level=level, granularity=LEVELS)
            assert page.evaluate(UNMASKED).rstrip() == hint
    assert page.locator(".golden .kept").count() <= 1
    assert opened.said == []


def test_what_selectors_read_is_shown_as_in_the_table(
    context: Any, published: DatasetFolder
) -> None:
    """For each trace of a question every measure, rounded, and whole in its tooltip."""
    measures = read(published.file("measures.parquet"), TraceMeasure)
    name = next(one.question_id for one in measures if one.value is None)
    opened = Opened(context, published.folder / "report.html", f"#q={name}")
    page = opened.page
    page.wait_for_selector(".card .measure")
    traces = {(one.strong_model, one.draw) for one in measures if one.question_id == name}
    for model, draw in traces:
        page.click(f".card:has-text('{model}, draw {draw}')")
        shown = {}
        for chip in page.locator(".measures .chip").all():
            selector, _, value = chip.get_attribute("title").partition(": ")
            shown[selector] = None if value.startswith("undefined") else float(value)
            rounded = "undefined" if shown[selector] is None else f"{shown[selector]:.4g}"
            better = "lower" if selector == "rank_surprisal" else "higher"
            words = selector.replace("_", " ")
            assert chip.text_content() == f"{words} {rounded} ({better} is preferred)"
        own = [one for one in measures if (one.question_id, one.strong_model, one.draw)
               == (name, model, draw)]  # fmt: skip
        assert shown == {one.selector: one.value for one in own}
    assert page.locator(".card .measure").count() == 2 * len(traces)
    assert opened.said == []


def test_the_theme_can_be_changed_and_is_kept(context: Any, published: DatasetFolder) -> None:
    """One button, both ways; the page is opened again as it was left."""
    opened = Opened(context, published.folder / "report.html")
    page = opened.page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    assert page.locator("#theme").text_content() == "Light colours"
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert opened.said == []


def test_keys_alone_are_enough(context: Any, published: DatasetFolder) -> None:
    """A slash goes to the search; tab and enter open a question; arrows change the mask."""
    opened = Opened(context, published.folder / "report.html")
    page = opened.page
    page.keyboard.press("/")
    page.keyboard.type("q-00005")
    page.locator("#list button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    page.locator("input[name=level]:checked").focus()
    before = page.locator("input[name=level]:checked").get_attribute("value")
    page.keyboard.press("ArrowLeft")
    assert page.locator("input[name=level]:checked").get_attribute("value") != before
    assert opened.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(browser: Any, published: DatasetFolder, scheme: str) -> None:
    """Every text against what lies behind it: 4.5 to 1, or 3 to 1 where it is large (WCAG AA)."""
    context = browser.new_context(color_scheme=scheme)
    opened = Opened(context, published.folder / "report.html")
    opened.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    opened.choose(1)
    weak = opened.page.evaluate(Path(__file__).with_name("contrast.js").read_text())
    context.close()
    assert weak == []


def test_a_phone_needs_no_scrolling_sideways(browser: Any, published: DatasetFolder) -> None:
    """The page is as wide as the screen, with a question open."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    opened = Opened(context, published.folder / "report.html")
    opened.choose(1)
    width = opened.page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert width == 360


def test_a_hostile_dataset_stays_inert(context: Any, tmp_path: Path) -> None:
    """Scripts, handlers, addresses and direction marks are seen as text, in every place."""
    opened = Opened(context, report(hostile(3), tmp_path))
    page = opened.page
    elements = page.evaluate("document.querySelectorAll('iframe, img, a[href^=javascript]').length")
    for row in range(page.locator("#list button").count()):
        opened.choose(row)
        for card in page.locator(".card").all():
            card.click()
            for level in page.locator("input[name=level]").all():
                level.check()
    assert elements == page.evaluate(
        "document.querySelectorAll('iframe, img, a[href^=javascript], script[src]').length"
    )
    assert page.evaluate("window.pwned") is None
    assert opened.said == []
    assert len(opened.asked) == 1
    opened.choose(0)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    shown = page.locator("body").inner_text()
    assert "<script>window.pwned=1</script>" in shown
    assert r"$\frac{a}{b} < \sqrt{2}$" in shown
    assert "[U+202E]" in shown
    assert "\u202e" not in shown


def test_a_report_of_many_questions_is_usable(context: Any, tmp_path: Path) -> None:
    """Hundreds of questions in pieces: the last can be found and opened."""
    opened = Opened(context, report(made(400, seed=8, characters=60), tmp_path))
    page = opened.page
    assert opened.found() == "403 of 403 rows"
    page.fill("#search", "q-00399")
    opened.choose(0)
    assert page.locator("#question h3").first.text_content() == "q-00399"
    assert opened.said == []


def test_the_benchmark_measures_what_it_names(browser: Any, tmp_path: Path) -> None:
    """It writes a report, opens it, filters and shows a question; each takes some time."""
    path = tmp_path / "report.html"
    found = write(path, questions=60, characters=50) | timed(browser, path)
    assert found["questions"] == 60
    assert all(found[f"{what}, ms"] > 0 for what in ("open", "filter", "question"))
