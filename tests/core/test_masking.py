import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.masking import TO_BE_CONTINUED, mask_step, mask_trace
from weak2wise_core.steps import Step, split_steps

SENTINEL = "SECRET-8472"
MARKER = " (to be continued...)"
FINAL_TITLES = ["## Final Answer", "## **Final Answer**", "### Final Answer", "##Final Answer"]

granularities = st.integers(2, 12)
characters = ["a", "1", " ", "\n", "\U0001f600", "e\u0301", "\ud83d", "$", "\u2028", "\r"]
words = st.lists(st.sampled_from(characters), max_size=60).map("".join)
bodies = words.map(lambda body: f"## T\n{body}")


@st.composite
def traces(draw: st.DrawFn) -> str:
    """A trace of some steps with unique sentinels in and beside its final title."""
    before = "\n".join(draw(st.lists(bodies, min_size=1, max_size=4)))
    title = draw(st.sampled_from(FINAL_TITLES))
    after = draw(st.sampled_from(["", "\n## Check\nagain"]))
    return f"{draw(words)}\n{before}\n{title}: {SENTINEL}\n{draw(words)}{SENTINEL}{after}"


def plain(text: str) -> Step:
    """A step that is not final."""
    return Step(title="T", text=text, is_final=False)


@given(traces(), granularities)
def test_the_final_answer_is_shown_at_no_level(trace: str, granularity: int) -> None:
    """Neither the title nor the body of the final step ever reaches the weak model."""
    steps = split_steps(trace)
    for level in range(granularity):
        hint = mask_trace(steps, level=level, granularity=granularity)
        assert "SECRET" not in hint
        assert "final" not in hint.casefold()


@pytest.mark.parametrize("title", FINAL_TITLES)
def test_no_form_of_the_final_title_leaks_the_answer(title: str) -> None:
    """Fault of the reference code: bold and deeper final titles showed the answer."""
    steps = split_steps(f"## Sum\n2 + 2\n\n{title}\n4\n")
    assert mask_trace(steps, level=0, granularity=6) == f"## Sum\n2 + 2\n\n{TO_BE_CONTINUED}"


@given(words, granularities, st.data())
def test_a_heavier_mask_shows_a_prefix_of_a_lighter_one(
    step: str, granularity: int, data: st.DataObject
) -> None:
    """Raising the mask level never reveals a character that was hidden."""
    lighter, heavier = sorted(
        data.draw(st.lists(st.integers(0, granularity - 1), min_size=2, max_size=2))
    )
    shown = [
        mask_step(step, level=level, granularity=granularity).rstrip().removesuffix(MARKER)
        for level in (lighter, heavier)
    ]
    assert shown[0].startswith(shown[1])


@given(words, granularities, st.data())
def test_exactly_the_last_characters_are_hidden(
    step: str, granularity: int, data: st.DataObject
) -> None:
    """Level i hides ceil(i * l / n) code points and nothing else changes."""
    level = data.draw(st.integers(1, granularity - 1))
    written = step.rstrip()
    kept = len(written) * (granularity - level) // granularity
    marker = MARKER if written else ""
    expected = written[:kept] + marker + step[len(written) :]
    assert mask_step(step, level=level, granularity=granularity) == expected


@given(traces(), granularities)
def test_the_lightest_level_shows_everything_else(trace: str, granularity: int) -> None:
    """At level 0 every step but the final one stands as it was written."""
    steps = split_steps(trace)
    expected = "".join(
        TO_BE_CONTINUED + step.text[len(step.text.rstrip()) :] if step.is_final else step.text
        for step in steps
    )
    assert mask_trace(steps, level=0, granularity=granularity) == expected.rstrip()


def test_lengths_are_rounded_in_whole_numbers() -> None:
    """9/11 of 77 characters is 63, where floats say 64."""
    assert math.ceil(9 / 11 * 77) == 64
    masked = mask_step("x" * 77, level=9, granularity=11)
    assert masked == "x" * 14 + MARKER


def test_title_and_body_are_masked_together() -> None:
    """A heavy mask hides the end of the title too."""
    assert mask_step("## Total\n1234", level=5, granularity=6) == "##" + MARKER


def test_the_preamble_is_masked_with_the_first_step() -> None:
    """Text before the first step is neither dropped nor always shown."""
    steps = split_steps("Preamble.\n## A\nx\n## Final Answer\n4")
    assert mask_trace(steps, level=0, granularity=2).startswith("Preamble.\n## A\nx\n")
    assert mask_trace(steps, level=1, granularity=2) == f"Preamble{MARKER}\n{TO_BE_CONTINUED}"


def test_white_space_between_steps_is_not_masked() -> None:
    """Blank lines carry nothing to hide, so they do not count towards the length of a step."""
    assert mask_step("## A\nbcd\n\n\n", level=1, granularity=2) == f"## A{MARKER}\n\n\n"


def test_combining_characters_count_as_code_points() -> None:
    """An emoji is one character, an e with a combining accent two."""
    assert mask_step("\U0001f600e\u0301x", level=1, granularity=2) == "\U0001f600e" + MARKER


@pytest.mark.parametrize("level", [-1, 6, 7])
def test_a_level_that_does_not_exist_is_an_error(level: int) -> None:
    """Levels run from 0 to n - 1; a mask that hides everything is not one of them."""
    with pytest.raises(ValueError, match=r"not in 0\.\.5"):
        mask_step("text", level=level, granularity=6)


def test_every_final_step_is_left_out() -> None:
    """A trace that answers twice shows neither answer."""
    steps = split_steps("## A\nx\n## Final Answer\n41\n## B\ny\n### **Final Answer**\n42\n")
    hint = mask_trace(steps, level=0, granularity=6)
    assert hint == f"## A\nx\n{TO_BE_CONTINUED}\n## B\ny\n{TO_BE_CONTINUED}"


def test_a_trace_without_a_final_step_is_masked_all_the_same() -> None:
    """Nothing is invented in place of a step that does not exist."""
    assert mask_trace([plain("## A\nbcd\n")], level=0, granularity=6) == "## A\nbcd"
