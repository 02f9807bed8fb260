"""Laws of what the strong model is shown: the same for all, and never the question itself."""

import pytest

from weak2wise_core.config import AnswerSettings, AnswerStyle, DemonstrationSettings
from weak2wise_core.errors import UsageError
from weak2wise_core.prompts import RelatedPromptSet
from weak2wise_core.related.demonstrations import choose_demonstrations, demonstrated_prompt
from weak2wise_core.related.final_answers import answer_rule
from weak2wise_core.related.records import Response

RULE = answer_rule(AnswerSettings(style=AnswerStyle.HASHES))
WEAK = [
    Response(id=f"q{n}", prompt="p", response=f"reply {n}\n#### {n}" if n % 3 else "nothing")
    for n in range(30)
]
QUESTIONS = {one.id: f"text of {one.id}?" for one in WEAK}


def prompt(question_id: str, shown: tuple[Response, ...]) -> str:
    """The prompt of a question."""
    return demonstrated_prompt(
        question_id,
        QUESTIONS[question_id],
        shown=shown,
        questions=QUESTIONS,
        prompts=RelatedPromptSet(),
    )


@pytest.mark.parametrize("seed", range(5))
def test_only_responses_with_an_answer_are_shown(seed: int) -> None:
    """The seed decides which; the order of the rows does not."""
    settings = DemonstrationSettings(count=4, seed=seed)
    shown = choose_demonstrations(WEAK, rule=RULE, settings=settings)
    assert len(shown) == 5
    assert all(RULE.read(one.response) for one in shown)
    assert choose_demonstrations(WEAK[::-1], rule=RULE, settings=settings) == shown


def test_another_seed_shows_others() -> None:
    """A choice, not a list."""
    chosen = {
        choose_demonstrations(WEAK, rule=RULE, settings=DemonstrationSettings(seed=seed))
        for seed in range(5)
    }
    assert len(chosen) > 1


def test_a_question_is_never_shown_its_own_answer() -> None:
    """The next one takes its place, so that every prompt shows the same number."""
    shown = choose_demonstrations(WEAK, rule=RULE, settings=DemonstrationSettings(count=4))
    for one in (*shown, WEAK[0]):
        text = prompt(one.id, shown)
        assert text.count("reply ") == 4
        assert text.count(QUESTIONS[one.id]) == 1
        assert text.rindex(QUESTIONS[one.id]) > text.rindex("reply ")


def test_too_few_answers_are_an_error_that_says_where_to_look() -> None:
    """One more is needed than is shown."""
    with pytest.raises(UsageError, match=r"20 of 30 .* need 21\. Look at answers\.style"):
        choose_demonstrations(WEAK, rule=RULE, settings=DemonstrationSettings(count=20))
