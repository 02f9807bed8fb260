"""What selectors from other papers make of a trace, as functions of single tokens.

Every function takes what the weak model says of the tokens of a text when it reads it: natural
logarithms of their probabilities, and their ranks (1: the most probable token). Nothing here knows
a model. The papers choose among whole responses; a response here is the one that would be trained
on, `<think> trace </think> answer`.
"""

from collections.abc import Callable, Sequence
from statistics import fmean


def mean_log_probability(log_probabilities: Sequence[float]) -> float | None:
    """How natural the response is for the model: the mean over its tokens; higher is preferred.

    Args:
        log_probabilities: Of the response, given the question.

    Returns:
        At most 0; None for an empty text.

    Source: Zhang, Dai, Peng 2025, "The Best Instruction-Tuning Data are Those That Fit" (GRAPE,
    arXiv:2502.04194): the probability of a response under the target model, normalised by length.
    """
    return fmean(log_probabilities) if log_probabilities else None


def local_naturalness(steps: Sequence[Sequence[float]]) -> float | None:
    """How natural each step is after the few before it; higher is preferred.

    Args:
        steps: The log-probabilities of each step's tokens, given the question and a window of the
            steps before; empty steps count for nothing.

    Returns:
        The mean over steps of the mean over a step's tokens: a long step weighs as much as a short
        one. At most 0; None without a step.

    Source: Just, Ko, Jia 2025, local naturalness, later local average log-probability
    (arXiv:2510.03988). Our reading: a step is a sentence, the question stays in view, and the
    window's width is `selection.window`.
    """
    means = [fmean(step) for step in steps if step]
    return fmean(means) if means else None


def rank_surprisal_ratio(
    log_probabilities: Sequence[float], ranks: Sequence[int], *, cap: int
) -> float | None:
    """Mean rank over mean surprisal; lower is preferred: tokens improbable, but among the first.

    Args:
        log_probabilities: Of the response, given the question.
        ranks: Of the same tokens, from 1.
        cap: Ranks beyond it count as it.

    Returns:
        At least 0; None for an empty text, or one that does not surprise at all.

    Source: Yang et al. 2026, "Which Reasoning Trajectories Teach Students to Reason Better?"
    (arXiv:2601.14249): RSR = sum of min(rank, cap) / sum of surprisal, the cap 100 in their code.

    Example:
        >>> rank_surprisal_ratio([-0.5, -1.5], [1, 900], cap=100)
        50.5
    """
    surprisal = -sum(log_probabilities)
    return sum(min(rank, cap) for rank in ranks) / surprisal if surprisal > 0 else None


def solution_likelihood(log_probabilities: Sequence[float], *, least_weight: float) -> float | None:
    """How surely the model arrives at the answer after reading the trace; higher is preferred.

    Args:
        log_probabilities: Of the answer's tokens, given question and trace.
        least_weight: Weight of the least likely token beside the mean.

    Returns:
        The mean plus `least_weight` times the minimum. At most 0; None for an empty answer.

    Source: Cetin, Zhao, Tang 2025, "Reinforcement Learning Teachers of Test Time Scaling"
    (arXiv:2506.08388): the reward's student term joins mean and minimum of the solution's
    log-probabilities. Our reading: the solution is the ground-truth answer alone, and the reward's
    divergence term, which needs the teacher's own probabilities, is left out.
    """
    if not log_probabilities:
        return None
    return fmean(log_probabilities) + least_weight * min(log_probabilities)


class BinaryCut:
    """The search for the shortest beginning of a trace that is still enough for the model.

    It halves: where the first half of what is left is enough, the end is cut; where it is not, the
    search goes back behind it. Like every bisection it finds the shortest one only where more of
    the trace never hurts; otherwise it finds one that is enough, and whose next shorter candidate
    was not.

    Source: Wang et al. 2025, "Efficient Long CoT Reasoning in Small Language Models"
    (arXiv:2505.18440): binary cutting, each cut checked by the small model itself. Our reading: the
    paper prunes one trace; as a selector we prefer the candidate whose cut is the shortest, cut
    between sentences. A beginning is enough when the model, told that the thinking ends there and
    made to open a box, would greedily fill in the ground-truth answer. That needs no generation:
    every token of the answer has rank 1.
    """

    def __init__(self, parts: int) -> None:
        """Begin with the whole trace.

        Args:
            parts: How many parts the trace has; with none there is nothing to find.
        """
        self._low, self._high = 0, parts
        self._enough: int | None = None
        self._over = parts < 1

    @property
    def asks(self) -> int | None:
        """How many leading parts to try next; None when the search is over."""
        if self._over:
            return None
        return self._high if self._enough is None else (self._low + self._high) // 2

    @property
    def found(self) -> int | None:
        """The fewest leading parts that were enough; None where not even the whole trace was."""
        return self._enough

    def answer(self, *, enough: bool) -> None:
        """Say whether the parts that `asks` named were enough.

        Raises:
            ValueError: The search is over.
        """
        tried = self.asks
        if tried is None:
            raise ValueError("the search is over; nothing was asked")
        if enough:
            self._enough = self._high = tried
        elif self._enough is not None:
            self._low = tried
        self._over = self._enough is None or self._high - self._low <= 1


def cut(parts: int, *, enough: Callable[[int], bool]) -> int | None:
    """The result of a `BinaryCut` whose questions are answered at once.

    Example:
        >>> cut(10, enough=lambda kept: kept >= 7), cut(10, enough=lambda kept: False)
        (7, None)
    """
    search = BinaryCut(parts)
    while (kept := search.asks) is not None:
        search.answer(enough=enough(kept))
    return search.found
