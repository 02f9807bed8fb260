"""Laws of the page: one file, the same for the same dataset, and nothing in it that runs."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report_rows import made
from tests.core.report.hostile import HOSTILE, hostile
from weak2wise_core.dataset.auditing import audit
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.manifest import summary
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset
from weak2wise_core.dataset.reported import tables_of
from weak2wise_core.dataset.reporting import report_of
from weak2wise_core.errors import InputFileError
from weak2wise_core.report.page import page as page_of
from weak2wise_core.report.page import policy


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        self.found.append((tag, dict(attrs)))


def written(contents: Contents, **run: Any) -> str:
    """The page of a dataset that is not published."""
    manifest = {"dataset": "made", "version": "0" * 12, "files": {}, **summary(contents)}
    return page_of(tables_of(contents, manifest, audit(contents)), **run)


def test_the_same_dataset_gives_the_same_page(published: DatasetFolder, page: str) -> None:
    """From what a build holds or from the files of its dataset, byte for byte."""
    assert report_of(published) == page


def test_a_page_asks_nothing_of_a_network(page: str) -> None:
    """No element names an address, no style loads one."""
    for tag, attributes in Elements(page).found:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base"}
        for name, value in attributes.items():
            assert name not in {"src", "srcset", "action", "data", "style"}, (tag, name)
            assert not name.startswith("on"), (tag, name)
            if name in {"href", "xlink:href"}:
                assert value is not None
                assert value.startswith("#")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_policy_allows_its_own_script_and_style_only(page: str) -> None:
    """The hashes are those of what stands in the page; nothing may connect."""
    (content,) = [
        str(attributes["content"])
        for tag, attributes in Elements(page).found
        if tag == "meta" and "http-equiv" in attributes
    ]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert (len(scripts), len(styles)) == (1, 1)
    assert content == policy(style=styles[0], script=scripts[0])
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in content
    assert "default-src 'none'" in content
    assert "unsafe" not in content


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    """Figures keep their ids apart; labels and links lead somewhere."""
    elements = Elements(page).found
    ids = Counter(str(attributes["id"]) for _, attributes in elements if "id" in attributes)
    assert [one for one, count in ids.items() if count > 1] == []
    targets = {
        str(value)[1:]
        for _, attributes in elements
        for name, value in attributes.items()
        if name in {"href", "xlink:href"}
    }
    assert targets <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)


def test_every_figure_says_what_it_shows(page: str) -> None:
    """Each drawing has a text for those who do not see it, and its numbers as a table."""
    drawn = [one for _, one in Elements(page).found if one.get("role") == "img"]
    assert len(drawn) == 7
    assert all(len(str(one["aria-label"])) > 30 for one in drawn)
    assert page.count("<svg") == 7


def test_colours_of_figures_follow_the_theme(page: str) -> None:
    """No drawing has a colour of its own."""
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert not re.findall(r"#[0-9a-f]{6}\b", "".join(drawings))
    assert "var(--first)" in drawings[0]


def test_hostile_texts_are_texts(tmp_path: Path) -> None:
    """Markup in questions, traces, names and reasons ends no element and starts none."""
    plain = {tag for tag, _ in Elements(written(made(6))).found}
    text = written(hostile(6))
    found = Elements(text).found
    assert {tag for tag, _ in found} <= plain
    assert sum(tag == "script" for tag, _ in found) == 5
    assert all(not name.startswith("on") for _, attributes in found for name in attributes)
    for one in HOSTILE:
        assert one not in text.replace(HOSTILE[-1], ""), one
    assert "[U+202E]" in text
    assert "\u202e" not in text


def test_a_page_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts are cut until a page fits, and the page says so."""
    from weak2wise_core.report import explorer

    contents = made(30, characters=3_000)
    whole = written(contents)
    assert 'id="cut-notice"' not in whole
    monkeypatch.setattr(explorer, "MOST_CHARACTERS", 100_000)
    cut = written(contents)
    assert 'id="cut-notice"' in cut
    assert len(cut) < len(whole) / 2
    monkeypatch.setattr(explorer, "MOST_QUESTIONS", 12)
    assert "the first 12 rows; 21 more" in " ".join(written(contents).split())


def test_a_run_is_shown_only_when_it_is_given(page: str, published: DatasetFolder) -> None:
    """Times and what the store saved are facts of a run, and no part of a dataset."""
    asked = {"stage": "filter_qa", "model": "weak", "calls": 7, "stored": 3, "usd": 0.5}
    run = {
        "calls": 7,
        "stored": 3,
        "usd": 0.5,
        "seconds": 12.25,
        "accounts": [asked | {"seconds": 61.5}],
        "stages": [{"stage": "filter_qa", "questions": 9, "cached": 2, "seconds": 11.5}],
    }
    text = report_of(published, run=run)
    assert "it took 12.2 s" in text
    assert '<td class="n">61.5</td>' in text
    assert "The run</h3>" not in page


def test_a_dataset_without_audits_is_refused(tmp_path: Path) -> None:
    """A dataset of an earlier version is built again, which costs nothing."""
    folder = publish(made(4), root=tmp_path).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["audits.parquet"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputFileError, match="without audits"):
        report_of(open_dataset(folder))


def test_an_empty_dataset_has_a_page() -> None:
    """No golden trace, no vote, no candidate: every figure and table still stands."""
    whole = made(5)
    empty = replace(
        whole, attempts=(), candidates=(), outcomes=(), golden=(), train=(), questions=()
    )
    assert "Where the questions went" in written(empty)
