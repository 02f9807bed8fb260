"""Whether a trace is sound is read off its text, and agrees with what the programs know."""

import pytest

from testbed.questions import pool_questions
from testbed.soundness import is_sound
from testbed.teachers import Quality, Teacher, quality_of, teach
from weak2wise_core.errors import OutOfWorldError

QUESTION = "Finn begins with 26 lemons. Finn lends out 3. Then the lemons double in number. How "
QUESTION += "many lemons does Finn have in the end?"


def test_the_reading_agrees_with_the_hidden_quality() -> None:
    """Good and long samples are sound, slips and skips are not; no exception in 300."""
    for question in pool_questions(count=50, seed=3):
        for teacher, draw in [(t, d) for t in Teacher for d in range(3)]:
            lesson = teach(question.question, teacher=teacher, draw=draw)
            quality = quality_of(question.question, teacher=teacher, draw=draw)
            sound = quality in (Quality.GOOD, Quality.LONG)
            assert is_sound(question.question, lesson.thinking) is sound, lesson.thinking


@pytest.mark.parametrize(
    ("thinking", "sound"),
    [
        ("26 - 3 = 23. 23 * 2 = 46. So the answer is 46.", True),
        ("26 - 3 = 22. Wait, that is wrong. 26 - 3 = 23. 23 * 2 = 46. So the answer is 46.", True),
        ("26 - 3 = 23. 23 * 2 = 46. So the answer is 46. Wait. 26 - 3 = 22.", True),
        ("26 - 3 = 23. 23 * 2 = 45. So the answer is 46.", False),
        ("23 * 2 = 46. 26 - 3 = 23. So the answer is 46.", False),
        ("26 - 3 = 23. 23 * 2 = 46. 46 + 1 = 47. So the answer is 46.", False),
        ("So the answer is 46. Wait, let me check. 26 - 3 = 23. 23 * 2 = 46.", False),
        ("", False),
    ],
)
def test_every_operation_in_its_order_and_nothing_else(thinking: str, sound: bool) -> None:
    """Retracted equations and checks after the answer do not count."""
    assert is_sound(QUESTION, thinking) is sound


def test_other_worlds_are_refused() -> None:
    """Nobody can say whether a trace about another question is sound."""
    with pytest.raises(OutOfWorldError):
        is_sound("What is 2 + 2?", "2 + 2 = 4")
