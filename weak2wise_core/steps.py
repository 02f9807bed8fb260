r"""A Step-Reasoning trace <-> its `##` steps.

A step opens at a line whose first characters are `##`; further `#` and a missing blank are
accepted, as in `### Step` and `##Final Answer`. Text before the first step belongs to that step.

The final step must never be shown to the weak model, so what is doubtful is final. Its title,
without markup, is or begins with "final answer": `## **Final Answer**`, `### Final Answer:` and
`## Final Answer: 42`, but also `# Final Answer` and `## Step 4: The final answers`.

What stands in code or display math opens no step, with three limits:

- A fence that is never closed runs to the end of the trace, but a final title inside it opens the
  final step all the same.
- So does a final title inside display math.
- Display math holds no blank line (TeX would stop there), so that a stray `$$` swallows no step.

Source: paper section 3.3, figure 4.
Departure: the reference code splits at every `##`. It leaks the answer under
`## **Final Answer**` and `### Final Answer`, merges `##Final Answer` into the step before, opens
steps at comments in code, and drops the text before the first step.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from weak2wise_core.errors import TraceFormatError

# A "#" somewhere in the markup, then the words. Possessive: no input makes this slow.
_FINAL_TITLE = re.compile(
    r"(?=[^\w#\uff03]*+[#\uff03])[\W_]*+(?:step[\W_]*+)?(?:\d++[\W_]*+)?(?:the[\W_]++)?"
    r"final[\W_]*+answers?",
    re.IGNORECASE,
)
# A dash before a blank sets off the answer; a dash before a digit is its sign.
_AROUND_ANSWER = re.compile(r"(?:[\s#*_:.=\uff1a]|[-\u2013\u2014](?=\s))+")
_MARKUP = " \t\r\n#*_:."
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_MATH = re.compile(
    r"(?<!\\)\$\$|(?<!\\)\\[\[\]]|\\(?:begin|end)\{(?:equation|align|alignat|flalign|gather|"
    r"multline|eqnarray|displaymath)\*?\}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a Step-Reasoning trace."""

    title: str
    """The title without markup, such as `Final Answer`; may be empty."""
    text: str
    """Title line and body as written; of the first step also the text before it."""
    is_final: bool
    """Whether it states the final answer and must be shown at no mask level."""


class _Guard(Enum):
    """Which titles open a step at a line."""

    NONE = "any title"
    LOOSE = "only a final title: unclosed fence, display math"
    FIRM = "no title: closed fence"


def split_steps(step_reasoning: str) -> tuple[Step, ...]:
    r"""Split a Step-Reasoning trace into its steps.

    Args:
        step_reasoning: The visible reply of a strong model.

    Returns:
        At least one step; their texts put together are `step_reasoning`, character by character.

    Raises:
        TraceFormatError: No line opens a step.

    Example:
        >>> [step.title for step in split_steps("So:\n## **Sum**\n2 + 2\n##Final Answer\n4")]
        ['Sum', 'Final Answer']
    """
    lines = step_reasoning.splitlines(keepends=True)
    guards = _guards(lines)
    openings = [n for n, line in enumerate(lines) if _opens_step(line, guards[n])]
    if not openings:
        raise TraceFormatError(
            f"no line starts with '##' in a trace of {len(step_reasoning)} characters that begins "
            f"{step_reasoning[:60]!r}. Generate this candidate again or leave it out."
        )
    starts = [0, *openings[1:]]
    ends = [*openings[1:], len(lines)]
    return tuple(
        Step(
            title=lines[opening].replace("**", "").strip(_MARKUP),
            text="".join(lines[start:end]),
            is_final=_FINAL_TITLE.match(lines[opening]) is not None,
        )
        for opening, start, end in zip(openings, starts, ends, strict=True)
    )


def final_answer(steps: Sequence[Step]) -> str | None:
    r"""What the last final step says, without its title.

    Returns:
        The text, an answer on the title line included; empty when there is only a title; None
        when no step is final.

    Example:
        >>> final_answer(split_steps("## Sum\n2 + 2\n## Final Answer: 4"))
        '4'
    """
    text = next((step.text for step in reversed(steps) if step.is_final), None)
    if text is None:
        return None
    lines = text.splitlines(keepends=True)
    titles = ((n, _FINAL_TITLE.match(line)) for n, line in enumerate(lines))
    number, title = next((n, match) for n, match in titles if match)
    on_title_line = lines[number][title.end() :]
    around = _AROUND_ANSWER.match(on_title_line)
    beside = on_title_line[around.end() :] if around else on_title_line
    return (beside + "".join(lines[number + 1 :])).strip()


def _opens_step(line: str, guard: _Guard) -> bool:
    if guard is _Guard.NONE and line.startswith("##"):
        return True
    return guard is not _Guard.FIRM and _FINAL_TITLE.match(line) is not None


def _guards(lines: Sequence[str]) -> list[_Guard]:
    guards = [_Guard.NONE] * len(lines)
    _guard_fences(lines, guards)
    _guard_math(lines, guards)
    return guards


def _guard_fences(lines: Sequence[str], guards: list[_Guard]) -> None:
    """Mark fenced code by CommonMark's rules: a fence closes with as many marks or more."""
    number = 0
    while number < len(lines):
        opener = _FENCE.match(lines[number])
        if opener is None:
            number += 1
            continue
        end = _end_of_fence(lines, number + 1, opener["fence"])
        guard = _Guard.FIRM if end < len(lines) else _Guard.LOOSE
        guards[number : end + 1] = [guard] * len(guards[number : end + 1])
        number = end + 1


def _end_of_fence(lines: Sequence[str], start: int, fence: str) -> int:
    closing = re.compile(rf" {{0,3}}{fence}{fence[0]}*\s*$")
    return next((n for n in range(start, len(lines)) if closing.match(lines[n])), len(lines))


def _guard_math(lines: Sequence[str], guards: list[_Guard]) -> None:
    """Mark the lines that begin inside display math which is closed in the same paragraph."""
    start, closing = 0, None
    for number, line in enumerate(lines):
        if guards[number] is not _Guard.NONE or not line.strip():
            closing = None
            continue
        for token in _MATH.findall(line):
            if closing is None:
                start, closing = number, _closing_of(token)
            elif token == closing:
                guards[start + 1 : number + 1] = [_Guard.LOOSE] * (number - start)
                closing = None


def _closing_of(token: str) -> str | None:
    """What ends display math that this token opens; None for a token that only closes."""
    if token.startswith(r"\begin"):
        return token.replace("begin", "end")
    return {"$$": "$$", r"\[": r"\]"}.get(token)
