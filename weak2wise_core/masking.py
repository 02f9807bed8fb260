"""Step-Mask (equation 3): what the weak model sees of a Step-Reasoning trace.

At mask level i of n every step loses its last ceil(i * l / n) of l characters; the marker
` (to be continued...)` stands in their place. The final step is shown at no level.
"""

from collections.abc import Sequence

from weak2wise_core.steps import Step

TO_BE_CONTINUED = "(to be continued...)"


def mask_step(text: str, *, level: int, granularity: int) -> str:
    r"""Hide the end of one step.

    Args:
        text: Title line and body of a step that is not the final one. Its length l is counted in
            Unicode code points without the white space at its end, which stays where it is: blank
            lines between steps carry nothing that could be hidden.
        level: i, from 0 (all is shown) to `granularity` - 1.
        granularity: n, the number of mask levels.

    Returns:
        The first l - ceil(i * l / n) characters, then the marker if any were hidden, then the
        white space.

    Raises:
        ValueError: There is no such level.

    Source: paper section 3.4, equation 3; the marker is the paper's.
    Departure: whole-number arithmetic. In floats 9 / 11 * 77 rounds up to 64 instead of 63.

    Example:
        >>> mask_step("## Sum\n2 + 2 = 4\n", level=3, granularity=6)
        '## Sum\n2 (to be continued...)\n'
    """
    shown = shown_length(text, level=level, granularity=granularity)
    if shown == len(text):
        return text
    return f"{text[:shown]} {TO_BE_CONTINUED}{text[len(text.rstrip()) :]}"


def shown_length(text: str, *, level: int, granularity: int) -> int:
    """How many code points of a step are shown at one mask level; the whole text if none is hidden.

    Args:
        text: As for `mask_step`.
        level: i, from 0 to `granularity` - 1.
        granularity: n, the number of mask levels.

    Raises:
        ValueError: There is no such level.
    """
    if not 0 <= level < granularity:
        raise ValueError(f"mask level {level} is not in 0..{granularity - 1}")
    written = len(text.rstrip())
    hidden = -(-level * written // granularity)
    return written - hidden if hidden else len(text)


def mask_trace(steps: Sequence[Step], *, level: int, granularity: int) -> str:
    r"""The hint for one mask level: every step masked, the final one left out.

    Args:
        steps: All steps of a trace. Where none is final nothing is left out; such a trace is
            refused before it becomes a hint.
        level: i, from 0 to `granularity` - 1.
        granularity: n, the number of mask levels.

    Returns:
        The masked steps one after the other, spaced as written. A line `(to be continued...)`
        stands for a final step, of which neither title nor body is shown.

    Raises:
        ValueError: There is no such level.

    Source: paper section 3.4, equation 3.
    Departure: text before the first step is masked with it; the reference code drops it.

    Example:
        >>> from weak2wise_core.steps import split_steps
        >>> mask_trace(split_steps("## Sum\n2 + 2\n\n## Final Answer\n4"), level=0, granularity=6)
        '## Sum\n2 + 2\n\n(to be continued...)'
    """
    shown = [
        TO_BE_CONTINUED + _space_after(step.text)
        if step.is_final
        else mask_step(step.text, level=level, granularity=granularity)
        for step in steps
    ]
    return "".join(shown).rstrip()


def _space_after(text: str) -> str:
    return text[len(text.rstrip()) :]
