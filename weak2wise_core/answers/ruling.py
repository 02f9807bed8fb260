"""The answer of a whole attempt, and whether it is the right one."""

import re
from dataclasses import dataclass

from weak2wise_core.answers.agreement import Agreement
from weak2wise_core.answers.comparison import compare, is_literal, named
from weak2wise_core.answers.conclusions import Conclusion, Form, conclude
from weak2wise_core.answers.normalising import plain
from weak2wise_core.answers.prose import Pick, formulas, last_formula, pick_choice, pick_number
from weak2wise_core.answers.quantities import quantity, without_unit

AGREE, DISAGREE, UNDECIDED = Agreement.AGREE, Agreement.DISAGREE, Agreement.UNDECIDED

MAX_GOLD = 20_000

_EXPLICIT = re.compile(r"\\(?:boxed|fbox)\s{0,5}\{|^####|\banswer\b", re.IGNORECASE | re.MULTILINE)
_OPEN_BOX = re.compile(r"\\boxed\s{0,5}\{((?:[^{}\\]|\\.|\{[^{}]{0,200}\}){1,500})$", re.DOTALL)
_LETTER = re.compile(r"\(?[A-J]\)?")
_WORDS = re.compile(r"(?<![\\\w])[^\W\d_]{3,}")
_COMMANDS = re.compile(r"\\(?:begin|end)\{[a-z*]{1,12}\}|\\[A-Za-z]+")
_NAMES = (
    "and sin cos tan cot sec csc log exp arcsin arccos arctan sinh cosh tanh min max gcd lcm mod"
)
_FUNCTIONS = frozenset(_NAMES.split())
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)°")
_SIGNS = re.compile(r"[-+*^!]|\\(?:cdot|times|div)")
_SYMBOLS = re.compile(
    r"\\(?!frac|times|div|cdot|approx|%|\$)[A-Za-z]+|(?<![A-Za-z])[a-zA-Z](?![A-Za-z])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What rules say about an attempt."""

    agreement: Agreement
    algebra: tuple[str, str] | None = None
    """Where rules are undecided: gold and answer, if algebra could still decide."""


def final_answer(text: str, *, lenient: bool = True) -> str | None:
    r"""The answer that a text ends with.

    Looked for are, in this order: the last balanced `\boxed{}`, with those that it is listed with;
    the field "answer" of a JSON object; what follows "The answer is", "Answer:", "A:", "####" or a
    heading "Final Answer"; the last sentence that holds a value.

    Args:
        text: An attempt, a trace or an answer; thinking in `<think>` tags is left out.
        lenient: Also read the last sentence. False wants the answer to be stated as one.

    Returns:
        The answer as it is written, or None where the text states none.

    Example:
        >>> final_answer("So she has 16 - 7 = 9 eggs left. The answer is **9**.")
        '9'
    """
    conclusion = conclude(text)
    if conclusion is None or (conclusion.form is Form.CLOSING and not lenient):
        return None
    if conclusion.exact:
        return conclusion.statement or None
    return _meant(conclusion) or plain(conclusion.statement) or None


def _meant(conclusion: Conclusion) -> str | None:
    statement = conclusion.statement
    formula = last_formula(statement)
    if _is_bare(statement) or (formula is not None and _is_expression(formula)):
        return formula or statement.strip(" .*`")
    pick = pick_number(statement, before=conclusion.before)
    return pick.value if pick else pick_choice(statement) or formula


def rule(gold: str, attempt: str) -> Ruling:
    """Whether an attempt reaches the ground truth, as far as rules can tell.

    Args:
        gold: The ground truth: an answer, or a solution that ends with one.
        attempt: A whole attempt, or a bare answer. It is data: nothing in it is followed.

    Returns:
        AGREE or DISAGREE where that is certain. An attempt that states no answer disagrees; one
        that states several, or takes its answer back, is undecided.
    """
    gold = gold_answer(gold)
    conclusion = conclude(attempt)
    if not plain(gold):
        return Ruling(agreement=UNDECIDED)
    if conclusion is None:
        return Ruling(agreement=DISAGREE)
    if conclusion.doubtful:
        return Ruling(agreement=UNDECIDED)
    ruling = _ruled(gold, conclusion)
    if conclusion.later is None:
        return ruling
    return _once_more(ruling, _ruled(gold, conclusion.later), final=conclusion.later.final)


def _once_more(boxed: Ruling, later: Ruling, *, final: bool) -> Ruling:
    """A box and an announcement after it: a contradiction is certain only if called final."""
    if UNDECIDED in {boxed.agreement, later.agreement} or boxed == later:
        return boxed
    return later if final and later.agreement is AGREE else Ruling(agreement=UNDECIDED)


def gold_answer(gold: str) -> str:
    """The answer of a ground truth, which may be a whole solution that ends with it."""
    gold = gold[-MAX_GOLD:]
    if _EXPLICIT.search(gold) is None:
        return gold
    conclusion = conclude(gold)
    if conclusion is not None and conclusion.exact and conclusion.statement:
        return conclusion.statement
    cut = _OPEN_BOX.search(gold)
    return cut.group(1) if cut else (final_answer(gold, lenient=False) or gold)


def _ruled(gold: str, conclusion: Conclusion) -> Ruling:
    if conclusion.exact:
        return _on_value(gold, conclusion.statement, parts=conclusion.parts)
    statement = conclusion.statement
    if compare(gold, statement) is AGREE:
        return Ruling(agreement=AGREE)
    if _LETTER.fullmatch(plain(gold)):
        return Ruling(agreement=compare(gold, pick_choice(statement) or ""))
    formula = last_formula(statement)
    wanted = quantity(plain(gold))
    if wanted is None or _is_bare(statement) or (formula and _is_expression(formula)):
        return _on_value(gold, formula or statement, parts=tuple(formulas(statement)))
    pick = pick_number(statement, before=conclusion.before, with_unit=bool(wanted.unit))
    return _on_pick(gold, pick)


def _on_value(gold: str, answer: str, *, parts: tuple[str, ...] = ()) -> Ruling:
    agreement = compare(gold, answer)
    if agreement is not AGREE and any(compare(gold, part) is AGREE for part in parts):
        return Ruling(agreement=UNDECIDED)
    if agreement is not UNDECIDED or (is_literal(gold) and is_literal(answer)):
        return Ruling(agreement=agreement)
    (ours, our_unit), (theirs, their_unit) = (without_unit(plain(text)) for text in (gold, answer))
    if our_unit != their_unit and ((our_unit and their_unit) or "\\pi" in ours + theirs):
        return Ruling(agreement=UNDECIDED)  # metres against feet, degrees against radians
    if our_unit != their_unit and compare(ours, theirs) is AGREE:
        return Ruling(agreement=AGREE)
    pair = (_formula(ours), _formula(theirs))
    return Ruling(agreement=UNDECIDED, algebra=pair if all(pair) else None)


def _formula(text: str) -> str:
    """The text as algebra may read it; empty if it has words: algebra multiplies letters."""
    words = _WORDS.findall(_COMMANDS.sub(" ", text))
    if not {word.lower() for word in words} <= _FUNCTIONS:
        return ""
    text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text).replace("¤", "")
    return "" if "°" in text else text


def _on_pick(gold: str, pick: Pick | None) -> Ruling:
    if pick is None:
        return Ruling(agreement=UNDECIDED)
    outcomes = [compare(gold, value) for value in (pick.value, *pick.others)]
    if outcomes[0] is AGREE and pick.certain:
        return Ruling(agreement=AGREE)
    if set(outcomes) == {DISAGREE} and pick.evaluated:
        return Ruling(agreement=DISAGREE)
    return Ruling(agreement=UNDECIDED)


def _is_bare(statement: str) -> bool:
    """A statement without words is the answer itself."""
    return _WORDS.search(statement) is None


def _is_expression(formula: str) -> bool:
    r"""A formula to be read whole: `x + 1`, `2\pi`, `9 + 1`; not `7`, `P = 3`, `5 + 6 = 11`."""
    value = named(plain(formula))[1]
    if quantity(value) is not None:
        return _SIGNS.search(value.lstrip("+-")) is not None
    return _SYMBOLS.search(value) is not None
