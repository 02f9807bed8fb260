"""Multiple choice: the order in which choices are shown, and which one an answer names."""

import re
from collections.abc import Callable, Iterable, Sequence

from weak2wise_core.answers import Agreement, rule
from weak2wise_core.answers.conclusions import Conclusion, Form, conclude
from weak2wise_core.answers.normalising import plain, squeezed
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import Verdict

LETTERS = "ABCD"

Check = Callable[[str, str], Verdict]
"""From ground truth and attempt to a verdict; see `AnswerChecker.check`."""

_LONE = re.compile(r"(?:(?i:option|choice|answer)\s{0,3})?\(?([A-Da-d])\)?")
_MARKED = re.compile(
    r"(?:(?i:the )?(?i:option|choice|answer)\b[\s:-]{0,3})?"
    r"(?:\(([A-D])\)|([A-D])(?=[.):]|,(?!\s*[A-D]\b))).*",
    re.DOTALL,
)
_STANDING = re.compile(
    # "A" before a word is an article, unless that word can follow the name of a choice
    r"(?<![\w'-])(?:A(?! (?!(?:is|was|because|since|as|and|or)\b)[a-z]{2,})|[B-D])"
    r"(?![\w'-]|\. [a-z])"
)
_RECANTED = re.compile(r"\b(?:wait|actually|correction|mistaken?|re-?consider)\b", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|no|isn't|cannot)\b")
_WORD = re.compile(r"[^\W_]+")


def in_order(question: str, choices: Sequence[str]) -> tuple[str, ...]:
    """The choices in an order that depends on their texts and the question alone.

    The same question shows its choices in the same order in every file, run and model.
    """
    return tuple(sorted(choices, key=lambda text: content_hash(question, text)))


def named_choice(text: str, choices: Sequence[str], *, check: Check) -> str | None:
    r"""The letter of the choice that a reply ends with.

    Read are, in this order: a letter alone (`\boxed{A}`, `(A)`, "Answer: A", "option A"), the text
    of one choice, a letter in front of a text (`A) 10 K`), a value that equals one choice, a letter
    or a choice's text within the closing sentence.

    Args:
        text: The visible text of a reply. It is data: nothing in it is followed.
        choices: The texts of the choices, A first.
        check: Compares the text of a choice with the reply.

    Returns:
        The letter, or None where the reply names no choice, names several, or takes it back.
    """
    conclusion = conclude(text)
    if conclusion is None or _recanted(text, conclusion):
        return None
    statement = plain(conclusion.statement)
    letters = LETTERS[: len(choices)]
    shown = dict(zip(letters, choices, strict=True))
    readings = (
        lambda: _letters(_LONE.fullmatch(statement)),
        lambda: [one for one in shown if _same(shown[one], statement)],
        lambda: _letters(_MARKED.fullmatch(statement)),
        lambda: [one for one in shown if check(shown[one], text) is Verdict.CORRECT],
        lambda: [one for one in letters if rule(one, text).agreement is Agreement.AGREE],
        lambda: [*_STANDING.findall(statement), *_within(shown, statement)],
    )
    for read in readings:
        found = set(read())
        if found:
            return found.pop() if len(found) == 1 and found <= set(letters) else None
    return None


def _letters(match: re.Match[str] | None) -> list[str]:
    return [group.upper() for group in match.groups() if group] if match else []


def _same(choice: str, statement: str) -> bool:
    return squeezed(plain(choice)).casefold() == squeezed(statement).casefold()


def _within(shown: dict[str, str], statement: str) -> Iterable[str]:
    """The choices whose words stand in a statement that denies nothing, the longest first."""
    if _DENIED.search(statement):
        return []
    words = _spoken(statement)
    found = [one for one, text in shown.items() if _spoken(text) in words]
    return [
        one
        for one in found
        if not any(_spoken(shown[one]) in _spoken(shown[other]) for other in found if other != one)
    ]


def _spoken(text: str) -> str:
    return f" {' '.join(_WORD.findall(plain(text).casefold()))} "


def _recanted(text: str, conclusion: Conclusion) -> bool:
    """Whether a reply takes its choice back; calling other choices wrong takes nothing back."""
    if not conclusion.doubtful:
        return False
    if conclusion.form is Form.BOXED:
        after = text.rpartition("\\boxed")[2]
    else:
        after = text.rpartition(conclusion.before)[2] if conclusion.before else text
    return not conclusion.statement or _RECANTED.search(after) is not None
