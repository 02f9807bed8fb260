"""Whether a trace about a question of this world is sound, read off its text.

The hidden quality of a program's sample is known (`teachers.quality_of`); what a language model
wrote has none. This reading serves both: a sound trace does every operation of the question in its
order, with the right result each time, before it states the answer. Of the programs' samples, the
good and the long ones are sound, slips and skips are not.
"""

import re

from testbed.language import read_problem
from testbed.world import Problem

_ANSWERS = "So the answer is"
_EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)\.?(?P<taken_back>\s*Wait, that is wrong)?")


def is_sound(question: str, thinking: str) -> bool:
    """Whether the thinking goes the right way.

    Args:
        question: The question as text.
        thinking: A Normal-Reasoning trace. An equation that it takes back at once does not count,
            and neither does what follows the answer: a check.

    Raises:
        OutOfWorldError: The question is not of this world.
    """
    way, _, _ = thinking.partition(_ANSWERS)
    told = [
        " ".join(found.groups()[:4]) for found in _EQUATION.finditer(way) if not found["taken_back"]
    ]
    return told == _equations(read_problem(question))


def _equations(problem: Problem) -> list[str]:
    steps = zip(problem.operations, problem.values[:-1], problem.values[1:], strict=True)
    return [f"{before} {one.kind} {one.amount} {after}" for one, before, after in steps]
