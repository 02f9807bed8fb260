r"""Which answer a response states, and whether two of them state the same one.

Two methods compare responses with each other, not with a ground truth. A response that states no
answer has the answer "" here, and "" is the same as "" and as nothing else: what happens to it is
decided by who compares.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Protocol

from weak2wise_core.answers import Agreement, compare, final_answer, strip_thinking
from weak2wise_core.answers.conclusions import Form, conclude
from weak2wise_core.answers.normalising import plain, squeezed
from weak2wise_core.answers.rationals import rational
from weak2wise_core.config import AnswerSettings, AnswerStyle, Normalisation
from weak2wise_core.related.gair import normalised

MAX_LINE = 10_000

_HASHES, _STATED = "#### ", "The answer is: "
_KEYS = {
    AnswerStyle.HASHES: (_HASHES,),
    AnswerStyle.STATED: (_STATED,),
    AnswerStyle.RELEASED: (_HASHES, _STATED),
}
_ANNOUNCED = "The answer is "
_NEXT_QUESTION = "Question"
_END_OF_TEXT = "</s>"
_FIRST_NUMBER = re.compile(r"-?\d+\.?\d*")
_LAST_NUMBER = re.compile(r"(?:(?<![\w.)\]])-)?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")


def stated_answer(response: str, *, style: AnswerStyle) -> str:
    r"""The final answer of a response, as it is written there.

    Args:
        response: A whole response; thinking in `<think>` tags is left out.
        style: Where to look. `hashes`, `stated` and `released` read the last line only, and of what
            a base model goes on to write only what stands before its next "Question"; where their
            key is missing, the first number after "The answer is" counts, as in the released code.

    Returns:
        The answer, or "" where none is stated in this style.

    Example:
        >>> stated_answer("7 + 5 = 12\n#### 12", style=AnswerStyle.HASHES)
        '12'
    """
    visible = strip_thinking(response)
    if visible is None:
        return ""
    if style in _KEYS:
        return _after_key(visible, _KEYS[style])
    if style is AnswerStyle.BOXED:
        conclusion = conclude(visible)
        boxed = conclusion is not None and conclusion.form is Form.BOXED
        return conclusion.statement if conclusion is not None and boxed else ""
    if style is AnswerStyle.LAST_NUMBER:
        numbers = _LAST_NUMBER.findall(visible[-MAX_LINE:])
        return numbers[-1].rstrip(",") if numbers else ""
    return final_answer(visible, lenient=False) or ""


def _after_key(text: str, keys: Sequence[str]) -> str:
    line = text.partition(_NEXT_QUESTION)[0].strip().rpartition("\n")[2][:MAX_LINE]
    keyed = next((found for key in keys if (found := line.partition(key)[2])), "")
    found = keyed or _announced_number(line)
    return found[: -len(_END_OF_TEXT)] if _END_OF_TEXT in found else found


def _announced_number(line: str) -> str:
    number = _FIRST_NUMBER.search(line.partition(_ANNOUNCED)[2].replace(",", ""))
    return number.group().removesuffix(".") if number else ""


class AnswerRule(Protocol):
    """How answers are read and compared."""

    def read(self, response: str) -> str:
        """The answer of a response, in the form that `same` compares; "" where it states none."""
        ...

    def same(self, one: str, other: str) -> bool:
        """Whether two answers are the same, whichever comes first; not always transitive."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GairRule:
    """Answers are the same where their normal forms are the same text."""

    style: AnswerStyle

    def read(self, response: str) -> str:
        """The normal form of the answer that is stated."""
        return normalised(stated_answer(response, style=self.style))

    def same(self, one: str, other: str) -> bool:
        """The same text."""
        return one == other


@dataclass(frozen=True, slots=True, kw_only=True)
class OurRule:
    """Answers are the same where the rules of this project are certain of it."""

    style: AnswerStyle

    def read(self, response: str) -> str:
        """The answer without its dress."""
        return plain(stated_answer(response, style=self.style))

    def same(self, one: str, other: str) -> bool:
        """The same text or the same value, in whatever notation, and whichever is the truth."""
        return one == other or (
            compare(one, other) is Agreement.AGREE and compare(other, one) is Agreement.AGREE
        )


def answer_rule(settings: AnswerSettings) -> AnswerRule:
    """The rule that a recipe names."""
    kind = GairRule if settings.normalise is Normalisation.GAIR else OurRule
    return kind(style=settings.style)


def same_number(one: str, other: str) -> bool:
    """Whether two answers are the same text, or numbers of the same value.

    Example:
        >>> same_number("0.5", "0.50"), same_number("1/2", "0.5"), same_number("5", "6")
        (True, True, False)
    """
    if one == other:
        return True
    values = [_number(text) for text in (one, other)]
    return None not in values and values[0] == values[1]


def _number(text: str) -> Fraction | None:
    bare = squeezed(plain(text)).strip("¤%")
    return rational(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", bare))


@dataclass(frozen=True)
class Vote:
    """What several responses to one question answer.

    By value answers need not be the same because both are the same as a third: 20% is 20 and is
    0.2, which differ; 5 is 5 m and is 5 cm. So the spellings are taken one after another, the most
    frequent first and equally frequent ones in alphabetical order, and each joins the fullest
    of the groups in which it is the same as every spelling there, or founds one. No group holds
    answers that differ, what could be either counts with the answer that was given more often so
    far, and the order of the responses decides nothing.
    """

    answers: tuple[str, ...]
    """The answer of each response, as `AnswerRule.read` gives it."""
    rule: AnswerRule

    @cached_property
    def spelled(self) -> tuple[tuple[str, ...], ...]:
        """The spellings of each different answer, the most frequent answer first.

        Equally frequent answers in the alphabetical order of their first spellings.
        """
        counted = Counter(self.answers)
        groups: list[list[str]] = []
        for answer in sorted(counted, key=lambda one: (-counted[one], one)):
            fitting = [group for group in groups if self._fits(answer, group)]
            like = max(fitting, key=lambda group: sum(counted[one] for one in group), default=None)
            if like is None:
                groups.append([answer])
            else:
                like.append(answer)
        groups.sort(key=lambda group: (-sum(counted[one] for one in group), group[0]))
        return tuple(map(tuple, groups))

    @cached_property
    def groups(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Each different answer with the places where it is given, the most frequent first."""
        return tuple(
            (group[0], tuple(place for place, one in enumerate(self.answers) if one in group))
            for group in self.spelled
        )

    def is_winner(self, answer: str) -> bool:
        """Whether another response gives the most frequent answer too.

        Where a response gave it in that spelling, it counts as there.
        """
        if answer in self.answers:
            return answer in self.spelled[0]
        return self._fits(answer, self.spelled[0])

    def _fits(self, answer: str, group: Sequence[str]) -> bool:
        return all(self.rule.same(known, answer) for known in group)

    @property
    def winner(self) -> str:
        """The most frequent answer."""
        return self.groups[0][0]

    @property
    def confidence(self) -> Fraction:
        """Its share of all responses, those without an answer included."""
        return Fraction(len(self.groups[0][1]), len(self.answers))

    def split(self) -> tuple[Sequence[int], Sequence[int]]:
        """The places of the responses that give the most frequent answer, and of the others."""
        others = [place for _, places in self.groups[1:] for place in places]
        return self.groups[0][1], sorted(others)
