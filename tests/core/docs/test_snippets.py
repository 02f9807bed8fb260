"""Laws of the code, recipes and numbers in the pages: they are what the program makes of them."""

import doctest
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.core.docs.pages import DOCS, PAGES, blocks, page
from weak2wise_core.config import Reading, Recipe, StepMaskSettings
from weak2wise_core.masking import mask_trace
from weak2wise_core.records import MaskOutcomes, Verdict
from weak2wise_core.scoring import exact_bounds, level_weights, s_avg, s_ew
from weak2wise_core.steps import split_steps

LEVELS = 6
SCORES = re.compile(r"^\| (\w) \| `(\w+)` \| (\S+) \| (\S+) \| (\S+) \|$", re.MULTILINE)
ANSWERS = re.compile(r"^\| (\w) \|((?: [01] \|){6}) (\S+) \|$", re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_says_what_the_page_says(
    path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every session is run from the root of the checkout, with the output that is shown."""
    monkeypatch.chdir(repository)
    text = path.read_text(encoding="utf-8")
    found = doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0)
    assert len(found.examples) == text.count("\n>>> ")
    assert doctest.DocTestRunner().run(found).failed == 0


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Sections of a recipe, replaced value by value."""
    return under | {
        name: merged(under[name], value)
        if isinstance(value, dict) and isinstance(under.get(name), dict)
        else value
        for name, value in over.items()
    }


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_recipes_are_valid(block: Any) -> None:
    """Whoever copies a recipe, or a section into the first recipe, has a valid one."""
    (whole,) = (
        content
        for one in blocks("yaml")
        if "dataset" in (content := yaml.safe_load(one.body))
    )  # fmt: skip
    assert Recipe.model_validate(merged(whole, yaml.safe_load(block.body))).dataset == "mine"


def test_the_example_is_shown_as_it_is_masked() -> None:
    """Each level of the page, in order, is what the weak model would be shown."""
    trace = (DOCS / "examples" / "fence.txt").read_text(encoding="utf-8")
    shown = [block.body.rstrip("\n") for block in blocks("text") if block.page == "step-mask.md"]
    steps = split_steps(trace)
    assert shown == [mask_trace(steps, level=i, granularity=LEVELS) for i in range(LEVELS)]


def outcomes() -> dict[str, tuple[Verdict, ...]]:
    """The invented outcomes of the page, with the mean that stands beside them checked."""
    found = {}
    for name, bits, mean in ANSWERS.findall(page("step-mask.md")):
        verdicts = [Verdict.INCORRECT, Verdict.CORRECT]
        found[name] = tuple(verdicts[int(bit)] for bit in re.findall(r"[01]", bits))
        assert s_avg(found[name]) == Fraction(mean)
    return found


def test_the_example_is_scored_as_the_page_says() -> None:
    """Every trace in every reading: s_ew, the score, and the score rounded to four places."""
    rows, known = SCORES.findall(page("step-mask.md")), outcomes()
    assert {(name, reading) for name, reading, *_ in rows} == {
        (name, reading.value) for name in ("A", "B") for reading in Reading
    }
    for name, reading, weighted, score, rounded in rows:
        settings = StepMaskSettings(reading=Reading(reading))
        exact = exact_bounds(masked(known[name]), settings=settings)[0]
        assert s_ew(known[name], reading=settings.reading) == Fraction(weighted)
        assert exact == Fraction(score)
        assert f"{float(exact):.4f}" == rounded


def masked(verdicts: tuple[Verdict, ...]) -> MaskOutcomes:
    """A candidate with these outcomes."""
    return MaskOutcomes(
        question_id="fence", strong_model="invented", draw=0, outcomes=verdicts,
        asked=(True,) * LEVELS, attempts=("",) * LEVELS, normal_tokens=1, spent=(),
    )  # fmt: skip


def test_the_reading_decides_who_wins() -> None:
    """B in the default reading, A in the two others, as the page says."""
    best = {}
    for reading in Reading:
        settings = StepMaskSettings(reading=reading)
        scores = {
            name: exact_bounds(masked(verdicts), settings=settings)[0]
            for name, verdicts in outcomes().items()
        }
        best[reading] = max(scores, key=scores.__getitem__)
    assert best == {
        Reading.UNIT_RANGE: "B",
        Reading.AS_PRINTED: "A",
        Reading.REFERENCE_CODE: "A",
    }


def test_the_readings_have_the_weights_of_the_page() -> None:
    """The formulas of the table, evaluated, are the weights of the library."""
    n, others, lightest = LEVELS, "2^-(n-i)", "2^-(n-1)"
    formulas: dict[str, Callable[[int], Fraction]] = {
        others: lambda i: Fraction(1, 2 ** (n - i)),
        f"{others} / (n-1)": lambda i: Fraction(1, 2 ** (n - i) * (n - 1)),
        lightest: lambda _: Fraction(1, 2 ** (n - 1)),
        f"{lightest} / (n-1)": lambda _: Fraction(1, 2 ** (n - 1) * (n - 1)),
    }
    row = re.compile(r"^\| `(\w+)`[^|]*\| `(2[^`|]+)` \| `(2[^`|]+)` \|$", re.MULTILINE)
    rows = row.findall(page("step-mask.md"))
    assert [name for name, *_ in rows] == [reading.value for reading in Reading]
    for name, heavier, first in rows:
        weights, whole = level_weights(n, beta=Fraction(0), reading=Reading(name))
        expected = [formulas[first](0), *(formulas[heavier](i) for i in range(1, n))]
        assert [Fraction(weight, whole) for weight in weights] == expected
