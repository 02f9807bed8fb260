"""Whether the steps of a candidate and its thinking tell the same story, as far as numbers show.

Step-Mask scores the steps and trains on the thinking, on the paper's assumption that both share one
logical path. A teacher that is a language model writes them one after the other and can err in one
of them alone. Where steps and thinking disagree, the score says little about what is trained on.

Departure: ours; the paper takes the shared path for granted.
"""

import re
from fractions import Fraction

from weak2wise_core.errors import TraceFormatError
from weak2wise_core.steps import split_steps

_STEP_NUMBER = re.compile(r"\bstep\s+\d+", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")


def agreement(step_reasoning: str, normal_reasoning: str) -> Fraction:
    r"""Share of the different numbers in the steps that the thinking states, too.

    The final answer is left out, for both traces were told it, and so is the steps' own numbering.

    Args:
        step_reasoning: The visible steps.
        normal_reasoning: The thinking.

    Returns:
        In [0, 1]; 1 where the steps hold no number, so that nothing can disagree.

    Example:
        >>> agreement("## Add\n17 + 5 = 22\n\n## Final Answer\n22", "17 + 5 = 23. So 23.")
        Fraction(2, 3)
    """
    told = _numbers(_without_answer(step_reasoning))
    if not told:
        return Fraction(1)
    return Fraction(len(told & _numbers(normal_reasoning)), len(told))


def _without_answer(step_reasoning: str) -> str:
    try:
        steps = split_steps(step_reasoning)
    except TraceFormatError:
        return step_reasoning
    return "".join(step.text for step in steps if not step.is_final)


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in _NUMBER.findall(_STEP_NUMBER.sub("", text))}
