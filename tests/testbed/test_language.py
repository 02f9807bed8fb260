"""The language: problems to text and back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.language import find_problem, read_problem, tell_problem
from testbed.world import LENGTHS, Problem, Share, draw_problem
from weak2wise_core.errors import OutOfWorldError
from weak2wise_core.prompts import HINT, JUDGE, SOLVE


def _problem(seed: int, length: int) -> Problem:
    return draw_problem(random.Random(seed), length=length, share=Share.PRETRAINING)


problems = st.builds(_problem, st.integers(), st.sampled_from(LENGTHS))


@given(problems)
def test_reading_undoes_telling(problem: Problem) -> None:
    """The parser gives back exactly the problem that was told."""
    assert read_problem(tell_problem(problem)) == problem


@given(problems, st.data())
def test_a_changed_question_is_another_problem_or_refused(
    problem: Problem, data: st.DataObject
) -> None:
    """No edit of one character is overlooked: it is read as what it says, or refused."""
    text = tell_problem(problem)
    place = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters(codec="utf-8"))
    edited = text[:place] + new + text[place + 1 :]
    try:
        found = read_problem(edited)
    except OutOfWorldError:
        return
    assert tell_problem(found) == edited.strip()


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    """Text that nobody told of this world raises the one error that says so."""
    with pytest.raises(OutOfWorldError):
        find_problem(text)


@given(problems, st.text())
def test_the_problem_is_found_in_every_prompt_of_the_weak_model(
    problem: Problem, hint: str
) -> None:
    """Filter, Step-Mask and a bare question lead to the same problem, whatever the hint says."""
    question = tell_problem(problem)
    solve = SOLVE.fill(question=question)
    hinted = HINT.fill(question=question, step_reasoning=hint)
    assert find_problem(question) == find_problem(solve) == find_problem(hinted) == problem


def test_the_testbed_is_no_judge() -> None:
    """A judge's prompt is refused although it quotes a question of the world."""
    question = tell_problem(_problem(1, 2))
    with pytest.raises(OutOfWorldError):
        find_problem(JUDGE.fill(question=question, attempt="> 3", answer="3"))


def test_a_refusal_names_the_question_and_what_to_use_instead() -> None:
    """One sentence: what was asked, why it is refused, which backends answer it."""
    with pytest.raises(OutOfWorldError) as refusal:
        read_problem("What is the\n\nderivative of x^2? " + "Explain. " * 50)
    message = str(refusal.value)
    assert "'What is the derivative of x^2?" in message
    assert "backend: openai" in message
    assert "backend: transformers" in message
    assert "\n" not in message
    assert len(message) < 300
