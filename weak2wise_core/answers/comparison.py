"""What rules can say about two answers, lists and equations included."""

import re
from collections.abc import Sequence
from dataclasses import replace

from weak2wise_core.answers.agreement import Agreement, compare_single
from weak2wise_core.answers.enumerations import Enumeration, enumeration
from weak2wise_core.answers.normalising import plain, squeezed
from weak2wise_core.answers.quantities import quantity

MAX_CHARS = 1_000
MAX_DRESSED = 10_000
MAX_NESTING = 6

AGREE, DISAGREE, UNDECIDED = Agreement.AGREE, Agreement.DISAGREE, Agreement.UNDECIDED

_RELATION = re.compile(r"\\(?:le|ge|ne|equiv|sim|subset|to|mid)(?![A-Za-z])|[<>]")
_MEMBER = re.compile(r"\\in(?![A-Za-z])")
_APPROXIMATELY = re.compile(r"\\approx(?![A-Za-z])")
_INDEX = re.compile(r"_(?:\{[^{}]*\}|\w)|(?<=[A-Za-z}'])\([^()]*\)")
_NAME = re.compile(r"[\\A-Za-z'(){},|/ ]*[A-Za-z][\\A-Za-z'(){},|/ ]*")
_OPERATOR = re.compile(r"[-+*^]|\\(?:cdot|times|div|sqrt|sum|int)(?![A-Za-z])")
_LITERAL = re.compile(r"\(?[A-J]\)?|\d+_\{?\d+\}?|\d+ ?: ?\d+")
_INTERVALS = frozenset({"()", "[]", "[)", "(]"})


def compare(gold: str, answer: str) -> Agreement:
    r"""Whether an answer says the same as the ground truth.

    Notation does not matter (LaTeX, thousands separators, `0.5` for `1/2`, `x = 5` for `5`), nor
    does a unit that only one of the two states. Different units, rounded values, and lists of
    numbers in another order are undecided.

    Args:
        gold: The ground-truth answer, without its reasoning.
        answer: The answer of an attempt, without its reasoning; see `final_answer`.

    Returns:
        AGREE or DISAGREE where that is certain, else UNDECIDED.

    Example:
        >>> [compare(*pair).value for pair in ((r"\frac{1}{2}", ".5"), ("7", "8"), ("5 m", "5 cm"))]
        ['agree', 'disagree', 'undecided']
    """
    if max(len(gold), len(answer)) > MAX_DRESSED:
        return AGREE if gold.strip() == answer.strip() else UNDECIDED
    gold, answer = plain(gold), plain(answer)
    if not gold or not answer:
        return UNDECIDED
    if squeezed(gold) == squeezed(answer):
        return AGREE
    if max(len(gold), len(answer)) > MAX_CHARS:
        return UNDECIDED
    return _compared(gold, answer, 0)


def is_literal(text: str) -> bool:
    """Whether rules have the last word on an answer: numbers and choices, and lists of them."""
    text = plain(text[:MAX_DRESSED])
    if len(text) > MAX_CHARS:
        return True
    parts = enumeration(text)
    items = parts.items if parts else (named(text)[1],)
    return all(quantity(item) is not None or _LITERAL.fullmatch(item) for item in items)


def _compared(gold: str, answer: str, depth: int) -> Agreement:
    if squeezed(gold) == squeezed(answer):
        return AGREE
    if depth > MAX_NESTING:
        return UNDECIDED
    outcome = compare_single(gold, answer)
    if outcome is None:
        outcome = _lists(gold, answer, depth)
    if outcome is None:
        outcome = _equations(gold, answer, depth)
    return outcome or UNDECIDED


def _lists(gold: str, answer: str, depth: int) -> Agreement | None:
    ours, theirs = enumeration(gold), enumeration(answer)
    if ours is None or theirs is None:
        return _one_and_many(gold, answer, ours, theirs, depth)
    ours, theirs = _aligned(*_without_repeats(ours, theirs))
    if _impossible(ours.items, theirs.items, depth) or _impossible(theirs.items, ours.items, depth):
        return DISAGREE
    if len(ours.items) != len(theirs.items):
        return DISAGREE if ours.brackets == theirs.brackets == "()" else UNDECIDED
    pairs = [_compared(a, b, depth + 1) for a, b in zip(ours.items, theirs.items, strict=True)]
    if _in_any_order(ours, theirs):
        return AGREE if _matched(ours.items, theirs.items, depth) else UNDECIDED
    if set(pairs) == {AGREE}:
        return _same_brackets(ours, theirs)
    return DISAGREE if DISAGREE in pairs and "(" in ours.opening + theirs.opening else UNDECIDED


def _one_and_many(
    gold: str, answer: str, ours: Enumeration | None, theirs: Enumeration | None, depth: int
) -> Agreement | None:
    """A set of one part is that part; a list of different numbers is never one number."""
    many = ours or theirs
    if many is None:
        return None
    if len(many.items) == 1:
        one = many.items[0]
        return _compared(one if ours else gold, answer if ours else one, depth + 1)
    single = quantity(answer if ours else gold)
    values = [quantity(named(item)[1]) for item in many.items]
    parts = {value.value for value in values if value is not None and not value.unit}
    if single is None or len(parts) < 2 or len(parts) < len(set(many.items)):
        return None
    return DISAGREE


def _without_repeats(ours: Enumeration, theirs: Enumeration) -> tuple[Enumeration, Enumeration]:
    """A point listed twice is one point; a number listed twice may be a double root."""
    if not _in_any_order(ours, theirs):
        return ours, theirs
    once = [
        tuple({squeezed(item): item for item in each.items}.values()) for each in (ours, theirs)
    ]
    return replace(ours, items=once[0]), replace(theirs, items=once[1])


def _aligned(ours: Enumeration, theirs: Enumeration) -> tuple[Enumeration, Enumeration]:
    """The other list in our order, where both name their parts: `y = 2, x = 1`."""
    names = [named(item)[0] for item in ours.items]
    other = {named(item)[0]: item for item in theirs.items}
    if "" in other or len(set(names)) < len(names) or set(names) != set(other):
        return ours, theirs
    return ours, replace(theirs, items=tuple(other[name] for name in names))


def _impossible(ours: Sequence[str], theirs: Sequence[str], depth: int) -> bool:
    """Some part of the one certainly differs from every part of the other."""
    return any(all(_compared(a, b, depth + 1) is DISAGREE for b in theirs) for a in ours)


def _in_any_order(ours: Enumeration, theirs: Enumeration) -> bool:
    """Order is free in sets and in lists of points; a list of numbers may be a ranking."""
    if not {ours.brackets, theirs.brackets} <= {"", "\\{\\}"}:
        return False
    points = all(enumeration(item) is not None for item in ours.items + theirs.items)
    return points or ours.is_set or theirs.is_set


def _matched(ours: Sequence[str], theirs: Sequence[str], depth: int) -> bool:
    left = list(theirs)
    for item in ours:
        partner = next(
            (other for other in left if _compared(item, other, depth + 1) is AGREE), None
        )
        if partner is None:
            return False
        left.remove(partner)
    return True


def _same_brackets(ours: Enumeration, theirs: Enumeration) -> Agreement:
    """Equal parts in equal order; what the brackets say may still differ."""
    ours_are, theirs_are = ours.brackets, theirs.brackets
    if ours_are == theirs_are or {ours_are, theirs_are} <= {"", "\\{\\}"}:
        return AGREE
    two = len(ours.items) == 2
    if {ours_are, theirs_are} <= {"", "()", "[]"} and (
        not two or (ours_are, theirs_are) == ("()", "")
    ):
        return AGREE
    half_open = not {"[)", "(]"}.isdisjoint({ours_are, theirs_are})
    return DISAGREE if half_open and {ours_are, theirs_are} <= _INTERVALS else UNDECIDED


def _equations(gold: str, answer: str, depth: int) -> Agreement | None:
    """`x = 5` states 5; `2x + z = 1` does not state 1."""
    (our_name, ours), (their_name, theirs) = named(gold), named(answer)
    if our_name and their_name and _function(our_name) != _function(their_name):
        return UNDECIDED
    if (ours, theirs) != (gold, answer):
        return _compared(ours, theirs, depth + 1)
    if any(
        "=" in a and _OPERATOR.search(a.split("=")[0]) and quantity(b)
        for a, b in ((gold, answer), (answer, gold))
    ):
        return DISAGREE if "=" in gold else None
    return None


def named(text: str) -> tuple[str, str]:
    """What an assignment names, and the last value that it gives; no name for anything else."""
    if enumeration(text) is not None:
        return "", text
    exact, *rounded = _APPROXIMATELY.split(text)
    if rounded and not exact.strip(" ="):
        exact = rounded[0]
    elif rounded and "=" not in exact and _is_name(exact):
        return squeezed(exact), rounded[0].strip()
    if _RELATION.search(exact):
        return "", text
    left, *values = _MEMBER.split(exact, maxsplit=1) if _MEMBER.search(exact) else exact.split("=")
    if not values or not values[-1].strip():
        return "", exact.strip()
    name = squeezed(left) if _is_name(left) else ""
    if name or all(quantity(part.strip()) for part in (left, *values[:-1]) if part.strip()):
        return re.sub(r"[{}]", "", name), values[-1].strip()
    return "", text


def _function(name: str) -> str:
    """`W(n)` and `W(x)` name the same function, `f(1)` and `f(2)` different values."""
    return re.sub(r"\([A-Za-z]\)$", "", name)


def _is_name(text: str) -> bool:
    r"""A symbol, a function of one, a length, a tuple of symbols: no operator and no factor."""
    if _OPERATOR.search(text):
        return False
    return _NAME.fullmatch(_INDEX.sub("", text)) is not None
