"""Judge replies -> `Verdict`, and the majority of votes (section 3.2, appendix A).

Pure: who asks the judge, and how often, is `weak2wise_core.stages.judge`.
"""

import re
from collections.abc import Sequence

from weak2wise_core.records import Verdict

_WRAPPINGS = " \t*_`~\"'#>()[].“”‘’«»"  # noqa: RUF001 - typographic quotes are what models write
_BOXED = re.compile(r"\\(?:boxed|text|mathrm|textbf)\{(.*)\}")
_VERDICTS = {"yes": Verdict.CORRECT, "no": Verdict.INCORRECT}


def read_verdict(reply: str) -> Verdict:
    r"""The vote in a judge's reply.

    Args:
        reply: The visible text of the reply, without thinking.

    Returns:
        What the last line with a word says, stripped of markup, quotes and full stops and without
        regard to case; UNJUDGED when that is neither yes nor no: an invalid vote, which is not a
        vote against the attempt.

    Source: appendix A asks for a last line with only Yes or No.
    Departure: the reference code accepts nothing but a bare `Yes`, so that `Yes.` and `**Yes**`
    count as wrong answers.

    Example:
        >>> read_verdict("The values agree.\n\n**Yes.**\n").value
        'correct'
        >>> read_verdict("Yes, but only in part").value
        'unjudged'
    """
    lines = [line for line in reply.splitlines() if line.strip(_WRAPPINGS + "-=")]
    if not lines:
        return Verdict.UNJUDGED
    word = lines[-1].strip(_WRAPPINGS + "$")
    while match := _BOXED.fullmatch(word):
        word = match.group(1).strip(_WRAPPINGS)
    return _VERDICTS.get(word.casefold(), Verdict.UNJUDGED)


def settled(votes: Sequence[Verdict], *, of: int) -> Verdict | None:
    """The outcome of a ballot, as soon as it is certain.

    Args:
        votes: Votes cast so far; UNJUDGED is an invalid vote, which supports neither side.
        of: How many votes the ballot has, an odd number.

    Returns:
        The verdict that more than half of all votes support; UNJUDGED when neither side can reach
        that any more; None when a further vote can still decide.
    """
    needed = of // 2 + 1
    left = of - len(votes)
    counts = {side: sum(vote is side for vote in votes) for side in _VERDICTS.values()}
    for side, count in counts.items():
        if count >= needed:
            return side
    if all(count + left < needed for count in counts.values()):
        return Verdict.UNJUDGED
    return None
