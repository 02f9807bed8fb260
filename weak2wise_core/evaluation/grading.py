"""What is right: our graders for the three kinds of benchmark.

Stock graders mis-score reasoning models: they call `033`, `33.0` and "The answer is 33." wrong for
33, miss a letter in a box, and read numbers out of thoughts that never ended. Here the answer is
what follows the thinking, rules and algebra compare it (`weak2wise_core.equivalence`), and what
they are not certain of is UNJUDGED, which is shown and not counted as right.
"""

import re
from dataclasses import dataclass
from itertools import permutations

from weak2wise_core.answers import final_answer, strip_thinking
from weak2wise_core.answers.conclusions import conclude
from weak2wise_core.answers.enumerations import enumeration
from weak2wise_core.answers.normalising import plain
from weak2wise_core.config import BenchmarkKind
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.evaluation.benchmarks import Problem
from weak2wise_core.evaluation.choices import named_choice
from weak2wise_core.llm.replies import CLOSING_TAG
from weak2wise_core.records import ChatReply, FinishReason, Verdict

MAX_ROOTS = 6

_COLUMN = re.compile(
    r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[clr|]{0,5}\})?([^&]{1,400}?)\\end\{\1\}"
)
_LETTERED = re.compile(r"\(?[A-J][.)]\s+(?=\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What is known about one reply."""

    verdict: Verdict
    answer: str | None
    """What was read as the answer."""


WRONG = Grade(verdict=Verdict.INCORRECT, answer=None)


def visible_text(reply: ChatReply, *, thinks: bool) -> str | None:
    """What a reply says after its thinking.

    Args:
        reply: The reply, its thinking taken apart where the server or its tags show it.
        thinks: The model showed thinking in other replies, so that one which was stopped at its
            limit without a closing tag is unfinished thinking, tags or not.

    Returns:
        The text after the last `</think>`, or None where the thinking never ended.
    """
    content = strip_thinking(reply.content)
    if content is None or (reply.reasoning is not None and not content.strip()):
        return None
    stopped = reply.finish_reason is FinishReason.LENGTH
    silent = reply.reasoning is None and CLOSING_TAG not in reply.content
    return None if thinks and stopped and silent else content


class Grader:
    """Grades visible texts; any thread may use it."""

    def __init__(self, checker: AnswerChecker) -> None:
        self._checker = checker

    def grade(self, text: str | None, *, problem: Problem, kind: BenchmarkKind) -> Grade:
        """Grade one answer.

        Args:
            text: The visible text of a reply; None where its thinking never ended.
            problem: The question with its ground truth.
            kind: How answers are read.
        """
        if text is None:
            return WRONG
        if kind is BenchmarkKind.GPQA:
            return self._choice(text, problem)
        verdict = self._checker.check(problem.gold, text)
        answer = final_answer(text)
        if verdict is Verdict.UNJUDGED:
            verdict = self._once_more(text, problem.gold)
        return Grade(verdict=verdict, answer=answer)

    def _choice(self, text: str, problem: Problem) -> Grade:
        letter = named_choice(text, problem.choices, check=self._checker.check)
        if letter is not None:
            right = letter == problem.gold
            return Grade(verdict=Verdict.CORRECT if right else Verdict.INCORRECT, answer=letter)
        silent = conclude(text) is None
        return Grade(
            verdict=Verdict.INCORRECT if silent else Verdict.UNJUDGED, answer=final_answer(text)
        )

    def _once_more(self, text: str, gold: str) -> Verdict:
        """Decide what benchmarks settle by their conventions, where the rules alone could not.

        A benchmark's bare list of roots has no order, its column vector is a tuple, and its
        `m + n = 33` states 33. A ranking would be another matter, which rules cannot exclude.
        """
        conclusion = conclude(text)
        if conclusion is None or conclusion.doubtful or not conclusion.exact:
            return Verdict.UNJUDGED
        ours, theirs = _conventional(gold), _conventional(conclusion.statement)
        verdict = Verdict.UNJUDGED
        if (ours, theirs) != (gold, conclusion.statement):  # else algebra has tried, maybe for long
            verdict = self._checker.check(ours, _boxed(theirs))
        if verdict is Verdict.UNJUDGED and self._same_roots(ours, theirs):
            return Verdict.CORRECT
        return verdict

    def _same_roots(self, gold: str, answer: str) -> bool:
        ours, theirs = enumeration(plain(gold)), enumeration(plain(answer))
        if ours is None or theirs is None or ours.brackets + theirs.brackets:
            return False
        if len(ours.items) != len(theirs.items) or len(ours.items) > MAX_ROOTS:
            return False
        right = [[self._equal(one, other) for other in theirs.items] for one in ours.items]
        return any(
            all(right[row][column] for row, column in enumerate(order))
            for order in permutations(range(len(ours.items)))
        )

    def _equal(self, gold: str, answer: str) -> bool:
        return self._checker.check(gold, _boxed(answer)) is Verdict.CORRECT


def _conventional(answer: str) -> str:
    r"""An answer as benchmarks write it.

    Example:
        >>> _conventional(r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"), _conventional("m + n = 33")
        ('(1, 2)', '33')
    """
    text = _LETTERED.sub("", _COLUMN.sub(_tuple, answer), count=1)
    sum_of_names, equals, value = text.rpartition("=")
    return value.strip() if equals and re.fullmatch(r"[A-Za-z\s+]+", sum_of_names) else text.strip()


def _tuple(match: re.Match[str]) -> str:
    rows = [row.strip() for row in re.split(r"\\\\|\\cr", match.group(2)) if row.strip()]
    return f"({', '.join(rows)})"


def _boxed(answer: str) -> str:
    return f"\\boxed{{{answer}}}"
