"""How many calls a ballot still needs, when some of its votes are known.

Votes are asked as `weak2wise_core.stages.judge.Judge` asks them: as many at once as could settle
the ballot, then one by one, and an invalid one once more. Where a judge insists, a ballot that
comes to nothing is followed by a second one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from weak2wise_core.judging import settled
from weak2wise_core.planning.needs import Bounds
from weak2wise_core.records import Verdict
from weak2wise_core.stages.judge import draws_of

_SIDES = (Verdict.CORRECT, Verdict.INCORRECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVote:
    """What the reply store knows of one vote; None where it has no reply."""

    first: Verdict | None
    again: Verdict | None
    """The reply to asking once more, which counts only where the first is invalid."""

    def ways(self) -> "Iterator[_Way]":
        """Every way in which this vote can end."""
        if self.first in _SIDES:
            yield _Way(self.first)
            return
        if self.first is None:
            yield from (_Way(side, calls=1) for side in _SIDES)
        paid = int(self.first is None)
        if self.again is not None:
            yield _Way(self.again, calls=paid)
            return
        for verdict in (*_SIDES, Verdict.UNJUDGED):
            yield _Way(verdict, calls=paid + 1, reasks=1)


@dataclass(frozen=True, slots=True)
class _Way:
    verdict: Verdict | None
    calls: int = 0
    reasks: int = 0


def ballot_bounds(votes: Sequence[KnownVote]) -> Bounds:
    """The calls that a ballot still needs.

    Args:
        votes: What is known of every vote, in the order in which they are cast; an odd number.

    Returns:
        The fewest and the most calls; nothing where the ballot is settled by known votes.
    """
    return _bounds(votes, second=Bounds())


def second_ballot_bounds(votes: Sequence[KnownVote], anew: Sequence[KnownVote]) -> Bounds:
    """The calls that a judge that insists may need beside those of the first ballot.

    Args:
        votes: The first ballot, as above.
        anew: The second, likewise.

    Returns:
        What both ballots need, less what the first alone does.
    """
    first, both = ballot_bounds(votes), _bounds(votes, second=ballot_bounds(anew))
    most = both.most - first.most
    plain = both.most - both.reasks - (first.most - first.reasks)
    return Bounds(least=both.least - first.least, most=most, reasks=max(most - plain, 0))


def _bounds(votes: Sequence[KnownVote], *, second: Bounds) -> Bounds:
    needed = len(votes) // 2 + 1

    @cache
    def rest(cast: int, yes: int, no: int) -> Bounds:
        so_far = [Verdict.CORRECT] * yes + [Verdict.INCORRECT] * no
        so_far += [Verdict.UNJUDGED] * (cast - len(so_far))
        if cast >= needed and (verdict := settled(so_far, of=len(votes))) is not None:
            return _all_again(second) if verdict is Verdict.UNJUDGED else Bounds()
        return _either(
            Bounds(least=way.calls, most=way.calls, reasks=way.reasks)
            + rest(
                cast + 1,
                yes + (way.verdict is Verdict.CORRECT),
                no + (way.verdict is Verdict.INCORRECT),
            )
            for way in votes[cast].ways()
        )

    return rest(0, 0, 0)


def _either(ways: Iterator[Bounds]) -> Bounds:
    """What holds in every case: the fewest, the most, and the re-asks of the longest case.

    Votes that are certain to be asked again count as any other.
    """
    found = list(ways)
    least, most = min(one.least for one in found), max(one.most for one in found)
    plain = max(least, *(one.most - one.reasks for one in found))
    return Bounds(least=least, most=most, reasks=most - plain)


def _all_again(second: Bounds) -> Bounds:
    return Bounds(least=second.least, most=second.most, reasks=second.most)


def open_ballot(votes: int, *, insists: bool) -> Bounds:
    """The calls of a ballot on an attempt that is not known, which may need no vote at all.

    Args:
        votes: How many votes the ballot has.
        insists: Whether one that comes to nothing is held a second time.
    """
    most = draws_of(votes) * (1 + insists)
    return Bounds(least=0, most=most, reasks=most - votes)
