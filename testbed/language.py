"""The language of the world: problems to text and back.

`read_problem` is the exact inverse of `tell_problem`. Whatever it cannot read is outside the
world; `find_problem` also looks into the prompts in which the method asks a weak model.
"""

import re
from string import Template

from testbed.world import Kind, Operation, Problem, is_in_world
from weak2wise_core.errors import OutOfWorldError
from weak2wise_core.prompts import HINT, SOLVE

PHRASES: dict[Kind, tuple[str, ...]] = {
    "+": (
        "$name collects $amount more",
        "$name is given $amount more",
        "$name makes $amount more",
    ),
    "-": (
        "$name lends out $amount",
        "$name misplaces $amount",
        "$name trades away $amount",
    ),
    "*": ("Then the $thing $multiply in number",),
}
MULTIPLY = {2: "double", 3: "triple"}

_OPENING = "$name begins with $start $thing"
_QUESTION = "How many $thing does $name have in the end?"
_FIELDS = {
    "name": "[A-Z][a-z]+",
    "thing": "[a-z]+",
    "start": "[1-9][0-9]?",
    "amount": "[1-9]",
    "multiply": "double|triple",
}


def tell_problem(problem: Problem) -> str:
    """The question as text."""
    opening = Template(_OPENING).substitute(
        name=problem.name, start=problem.start, thing=problem.thing
    )
    story = [tell_operation(problem, operation) for operation in problem.operations]
    question = Template(_QUESTION).substitute(name=problem.name, thing=problem.thing)
    return " ".join([*(f"{sentence}." for sentence in (opening, *story)), question])


def tell_operation(problem: Problem, operation: Operation) -> str:
    """One change of the number as a sentence without its full stop."""
    return Template(PHRASES[operation.kind][operation.wording]).substitute(
        name=problem.name,
        thing=problem.thing,
        amount=operation.amount,
        multiply=MULTIPLY.get(operation.amount, ""),
    )


def _pattern(template: str) -> re.Pattern[str]:
    def group(field: re.Match[str]) -> str:
        return f"(?P<{field[1]}>{_FIELDS[field[1]]})"

    return re.compile(re.sub(r"\\\$(\w+)", group, re.escape(template)))


_OPENING_PATTERN = _pattern(_OPENING)
_QUESTION_PATTERN = _pattern(_QUESTION)
_PROMPT_PATTERNS = [
    re.compile(
        re.escape(prompt.text)
        .replace(r"\$question", "(?P<question>.*?)")
        .replace(r"\$step_reasoning", ".*"),
        re.DOTALL,
    )
    for prompt in (HINT, SOLVE)
]
_PHRASE_PATTERNS = [
    (kind, wording, _pattern(phrase))
    for kind, phrases in PHRASES.items()
    for wording, phrase in enumerate(phrases)
]


def read_problem(text: str) -> Problem:
    """The problem that a question tells.

    Raises:
        OutOfWorldError: The text is not a question of this world.
    """
    problem = _read(text.strip())
    if problem is None or not is_in_world(problem) or tell_problem(problem) != text.strip():
        raise OutOfWorldError(_refusal(text))
    return problem


def _read(text: str) -> Problem | None:
    opening, *story, question = text.split(". ") if ". " in text else ["", ""]
    first, last = _OPENING_PATTERN.fullmatch(opening), _QUESTION_PATTERN.fullmatch(question)
    operations = [_read_operation(sentence) for sentence in story]
    if first is None or last is None or None in operations:
        return None
    return Problem(
        name=first["name"],
        thing=first["thing"],
        start=int(first["start"]),
        operations=tuple(operation for operation in operations if operation is not None),
    )


def _read_operation(sentence: str) -> Operation | None:
    for kind, wording, pattern in _PHRASE_PATTERNS:
        if found := pattern.fullmatch(sentence):
            fields = found.groupdict()
            factors = {word: factor for factor, word in MULTIPLY.items()}
            amount = factors[fields["multiply"]] if kind == "*" else int(fields["amount"])
            return Operation(kind=kind, amount=amount, wording=wording)
    return None


def find_problem(message: str) -> Problem:
    """The problem in a message: a bare question, or one inside the prompts SOLVE and HINT.

    Raises:
        OutOfWorldError: The message is none of these, or its question is not of this world.
    """
    for pattern in _PROMPT_PATTERNS:
        if found := pattern.fullmatch(message):
            return read_problem(found["question"])
    return read_problem(message)


def _refusal(text: str) -> str:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return (
        f"the testbed was asked {shown!r}, and its models know only the word problems of their "
        "own small world: for any other question name models with backend: openai or "
        "backend: transformers"
    )
