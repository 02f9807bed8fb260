"""Whether the report of a large dataset stays usable: size, time to open, to filter, to show.

A made dataset of 10,000 questions with six traces each, its report, and a headless Chromium::

    python benchmarks/report.py

*Open* is from the address to the list of questions, *filter* from a changed search, state, mark or
order to the list drawn anew, *question* from a click to its traces. Times are measured in the page
by its own clock; the median and the worst of all are given.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chromium import FLAGS, chromium
from benchmarks.report_rows import made
from weak2wise_core.dataset.auditing import audit
from weak2wise_core.dataset.manifest import summary
from weak2wise_core.dataset.reported import tables_of
from weak2wise_core.report.page import page

OPENINGS = 3
_TIMED = """change => {
  const start = performance.now();
  const node = document.getElementById(change[0]);
  node.value = change[1];
  node.dispatchEvent(new Event("input", {bubbles: true}));
  document.body.getBoundingClientRect();
  return performance.now() - start;
}"""
_CLICKED = """row => new Promise(done => {
  const start = performance.now();
  const watch = new MutationObserver(() => {
    watch.disconnect();
    document.body.getBoundingClientRect();
    done(performance.now() - start);
  });
  watch.observe(document.getElementById("question"), {childList: true});
  document.querySelectorAll("#list button")[row].click();
})"""
CHANGES = (
    ("search", "a"),
    ("search", "the"),
    ("search", "q-09"),
    ("search", ""),
    ("status", "trained on"),
    ("teacher", "teacher-a"),
    ("mark", "answer_leak"),
    ("order", "down"),
    ("mark", ""),
    ("order", "long"),
    ("teacher", ""),
    ("status", ""),
)


def main() -> None:
    """Make the dataset and its report, open it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=1_500, help="of a middling trace")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chromium() is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        found = write(path, questions=chosen.questions, characters=chosen.characters)
        found |= measure(path)
    print(json.dumps(found, indent=2)) if chosen.json else show(found)


def write(path: Path, *, questions: int, characters: int) -> dict[str, Any]:
    """Write the report; its size and the seconds of CPU it took."""
    contents = made(questions, characters=characters)
    manifest = {"dataset": "made", "version": "0" * 12, "files": {}, **summary(contents)}
    tables = tables_of(contents, manifest, audit(contents))
    traces = sum(len(one.normal_reasoning) + len(one.step_reasoning) for one in contents.candidates)
    started = time.process_time()
    path.write_text(page(tables), encoding="utf-8")
    return {
        "questions": questions,
        "traces": len(contents.candidates),
        "characters of traces": traces,
        "written in CPU s": round(time.process_time() - started, 2),
        "MB": round(path.stat().st_size / 1e6, 1),
    }


def measure(path: Path) -> dict[str, Any]:
    """What it takes to use a report, in a browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        found = timed(browser, path)
        browser.close()
    return found


def timed(browser: Any, path: Path) -> dict[str, Any]:
    """Milliseconds to open, to filter and to show a question: the median and the worst."""
    openings = [_open(browser, path)[1] for _ in range(OPENINGS - 1)]
    window, last = _open(browser, path)
    filters = [window.evaluate(_TIMED, list(change)) for change in CHANGES]
    questions = [window.evaluate(_CLICKED, row) for row in range(0, 50, 7)]
    named = {"open": [*openings, last], "filter": filters, "question": questions}
    return {
        f"{what}, {which}": round(pick(times), 1)
        for what, times in named.items()
        for which, pick in _PICKS.items()
    }


def _open(browser: Any, path: Path) -> tuple[Any, float]:
    """A fresh window with the report, and the milliseconds until its list was there."""
    window = browser.new_context().new_page()
    window.set_default_timeout(120_000)
    started = time.perf_counter()
    window.goto(path.as_uri())
    window.wait_for_selector("html[data-ready]")
    return window, 1000 * (time.perf_counter() - started)


_PICKS: dict[str, Callable[[list[float]], float]] = {"ms": statistics.median, "worst ms": max}


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "found", title="The report of a large dataset")
    for name, value in found.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
