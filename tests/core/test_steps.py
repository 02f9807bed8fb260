import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.growth import TIMES, growth
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.steps import final_answer, split_steps

FINAL_TITLES = [
    "## Final Answer",
    "##Final Answer",
    "### Final Answer",
    "# Final Answer",
    "## **Final Answer**",
    "### **Final Answer:**",
    "## __Final Answer__.",
    "## FINAL ANSWER:",
    "## final_answer",
    "##  Final  Answer ##",
    "## Final Answers",
    "## The Final Answer",
    "## Step 4: Final Answer",
    "## 4. **Final Answer**",
    "  ## Final Answer",
    "> ## Final Answer",
    "**## Final Answer**",
    "## \u2705 Final Answer",
    "\uff03\uff03 Final Answer\uff1a",
    "## Final\u00a0Answer",
]
NOT_FINAL_TITLES = ["## Final Calculation", "## Answer", "## Finally, the answer", "## Final"]

titles_and_signs = ["## Sum\n", "## Final Answer\n", "##", "#", "```", "~~~~", "$$", "\\[", "\\]"]
other_text = ["\\begin{align*}", "\\end{align*}", "\n", "\r\n", "\u2028", " ", "text", "\ud83d"]
fragments = st.sampled_from(titles_and_signs + other_text)
texts = st.lists(fragments, max_size=30).map("".join)


def titles(text: str) -> list[str]:
    """The titles of a trace."""
    return [step.title for step in split_steps(text)]


def kinds(text: str) -> list[bool]:
    """Which steps of a trace are final."""
    return [step.is_final for step in split_steps(text)]


@given(texts)
def test_the_texts_of_all_steps_put_together_are_the_trace(text: str) -> None:
    """Splitting loses, adds and moves no character."""
    try:
        steps = split_steps(text)
    except TraceFormatError:
        return
    assert "".join(step.text for step in steps) == text


@given(st.text())
def test_any_text_is_split_or_refused_by_name(text: str) -> None:
    """No text makes the splitter fail in an unnamed way."""
    try:
        steps = split_steps(text)
    except TraceFormatError:
        steps = ()
    assert "".join(step.text for step in steps) in {text, ""}


def test_every_line_that_begins_with_two_hashes_opens_a_step() -> None:
    """More hashes and a missing blank are accepted, one hash or an indent is not."""
    text = "## A\n1\n### B\n2\n##C\n3\n# D\n ## E\ntext ## F\n######\n"
    assert titles(text) == ["A", "B", "C", ""]


def test_a_title_is_given_without_its_markup() -> None:
    """Titles are read by people, in details and tables."""
    assert titles("## 1. **Setup** of x_1:\n### **Sum.** ###\n") == ["1. Setup of x_1", "Sum"]


def test_the_preamble_belongs_to_the_first_step() -> None:
    """Fault of the reference code: text before the first step was dropped."""
    first, second = split_steps("Let us see.\n\n## Setup\nx\n## Final Answer\n4")
    assert first.text == "Let us see.\n\n## Setup\nx\n"
    assert (first.title, second.text) == ("Setup", "## Final Answer\n4")


@pytest.mark.parametrize("title", FINAL_TITLES)
def test_a_final_title_in_any_markup_is_final(title: str) -> None:
    """Fault of the reference code: only a bare `## Final Answer` was kept back."""
    assert kinds(f"## Sum\n2 + 2\n{title}\n4\n") == [False, True]


@pytest.mark.parametrize("title", NOT_FINAL_TITLES)
def test_other_titles_are_not_final(title: str) -> None:
    """Only a title that is or begins with "final answer" is kept back."""
    assert kinds(f"{title}\n2 + 2 = 4\n") == [False]


def test_a_step_without_a_blank_after_the_hashes_is_not_merged() -> None:
    """Fault of the reference code: `##Final Answer` was merged into the step before."""
    assert titles("## Sum\n2 + 2\n##Final Answer\n4") == ["Sum", "Final Answer"]


@pytest.mark.parametrize(
    "line", ["## Final Answer: 42", "## Final Answer 42", "## Final Answer Verification"]
)
def test_a_title_that_begins_with_final_answer_is_final(line: str) -> None:
    """An answer on the title line cannot show, at the price of a rare title kept back."""
    assert kinds(f"## Sum\nx\n{line}\ny") == [False, True]


@pytest.mark.parametrize(
    ("final", "answer"),
    [
        ("## Final Answer\n42\n", "42"),
        ("## **Final Answer:** 42", "42"),
        ("### Final Answer = -42", "-42"),
        ("## Final Answer - 42", "42"),
        ("## Final Answer\n\n\\boxed{42}\n\nDone.", "\\boxed{42}\n\nDone."),
        ("## Final Answer\n", ""),
        ("Preamble\n## Final Answer\n42", "42"),
    ],
)
def test_the_final_answer_is_what_the_final_step_says(final: str, answer: str) -> None:
    """The title is left out, what stands beside it is not."""
    assert final_answer(split_steps(final)) == answer


def test_the_last_of_several_final_steps_gives_the_answer() -> None:
    """A model that answers twice means the second answer."""
    steps = split_steps("## Final Answer\n41\n## Check\nno\n## Final Answer\n42")
    assert final_answer(steps) == "42"


def test_a_trace_without_a_final_step_has_no_final_answer() -> None:
    """Absent is not empty."""
    assert final_answer(split_steps("## Sum\n42")) is None


@pytest.mark.parametrize(
    "code",
    [
        "```python\n## comment\n```",
        "~~~\n## comment\n~~~",
        "````\n```\n## comment\n````",
        "   ```\n## comment\n   ``````",
        "~~~ a`b\n## comment\n```\n## comment\n~~~  ",
        "```\n## comment\n``` not a closing fence\n```",
    ],
)
def test_hashes_in_fenced_code_open_no_step(code: str) -> None:
    """Fault of the reference code: a comment in code became a step."""
    assert titles(f"## Code\n{code}\n## Next\nx") == ["Code", "Next"]


@pytest.mark.parametrize("line", ["``` a`b", "``", "    ```", "text ```"])
def test_what_is_no_fence_by_commonmark_hides_no_step(line: str) -> None:
    """Inline code, a wide indent and a fence in mid-line open no code block."""
    assert titles(f"## Code\n{line}\n## Next\n{line}\n") == ["Code", "Next"]


@pytest.mark.parametrize(
    "math",
    [
        "$$\n## x\n$$",
        "\\[\n## x\n\\]",
        "so $$ a\n## x\nb $$ holds",
        "\\begin{align*}\n## x \\\\[2pt]\n\\end{align*}",
        "\\begin{equation}\n## x\n\\end{equation}",
        "$$\\begin{gather}\n\\]\n## x\n\\end{gather}$$",
    ],
)
def test_hashes_in_display_math_open_no_step(math: str) -> None:
    """A line inside display math is part of its formula."""
    assert titles(f"## Math\n{math}\n## Next\nx") == ["Math", "Next"]


@pytest.mark.parametrize(
    "text",
    [
        "## A\n$$ never closed\n## B\nx",
        "## A\n$$ stray\n\n## B\nother $$\n",
        "## A\n$$x$$ and $$y$$\n## B\nx $$z$$",
        "## A\n\\$\\$\n## B\n\\$\\$",
        "## A with $$x$$\n## B\n",
        "## A\n\\begin{cases}\n## B\n\\end{cases}",
        "## A\nx \\\\[2pt]\n## B\n\\]",
        "## A\n$$\n```\n$$\n```\n## B\n$$",
    ],
)
def test_math_that_is_not_open_hides_no_step(text: str) -> None:
    """Stray, escaped, inline or unclosed signs of math swallow no step."""
    assert [title[0] for title in titles(text)] == ["A", "B"]


def test_an_unclosed_fence_runs_to_the_end() -> None:
    """Without a closing fence the rest is code, as in CommonMark."""
    assert titles("## A\n```python\n## comment\nx = 1\n") == ["A"]


@pytest.mark.parametrize("opening", ["```python", "~~~", "$$", "\\[", "\\begin{align}"])
def test_what_is_never_closed_swallows_no_final_answer(opening: str) -> None:
    """A forgotten closing fence must not show the answer as part of the step before."""
    assert kinds(f"## A\n{opening}\nx\n## Final Answer\n42\n") == [False, True]


@pytest.mark.parametrize("math", ["$$\n## Final Answer\n42\n$$", "\\[\n## Final Answer\n42\n\\]"])
def test_display_math_swallows_no_final_answer(math: str) -> None:
    """Two stray signs of math around the final title do not make it a formula."""
    assert kinds(f"## A\n{math}\n") == [False, True]


def test_a_final_title_in_a_closed_fence_is_code() -> None:
    """Closed code is the one place where the words open no step; such a trace has no answer."""
    assert kinds("## A\n```\n## Final Answer\n42\n```\nx") == [False]


def test_steps_after_the_final_answer_are_steps() -> None:
    """A verification after the answer does not become part of the answer."""
    assert kinds("## A\nx\n## Final Answer\n4\n## Check\ny") == [False, True, False]


@pytest.mark.parametrize("text", ["", "no steps at all", "# Only one hash\n", "```\n## x\n```"])
def test_a_trace_without_steps_is_refused_with_what_to_do(text: str) -> None:
    """The error says what is missing, in which text, and what to do."""
    with pytest.raises(TraceFormatError, match=r"no line starts with '##'.*Generate"):
        split_steps(text)


@pytest.mark.parametrize("piece", ["#", "# ", "`", "#_"])
def test_no_line_makes_splitting_slow(piece: str) -> None:
    """Time grows with the length of a trace, not with its square."""

    def split(size: int) -> None:
        split_steps(f"## A\n{piece * size}\n" + "```\n" * (size // 100))

    assert growth(split, 20_000) < 3 * TIMES
