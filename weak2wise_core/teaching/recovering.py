"""The reasoning gap recovered, from the evaluations of a run.

RGR = (student after W2SR - student before) / (student after reinforcement learning - student
before), on the same questions, with an interval from a bootstrap over seeds and questions.

Source: arXiv 2505.20072, section 4.
"""

from collections.abc import Mapping, Sequence

from weak2wise_core.bootstrap import Recovered
from weak2wise_core.evaluation.arms import bootstraps
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.teaching.reports import Recovery

NO_GAIN = "no_gain_of_reinforcement"
NO_REINFORCED = "no_reinforced_student"


def recoveries(
    arms: Mapping[str, Sequence[Evaluation]],
    *,
    before: Sequence[str],
    after: str,
    reinforced: str,
    resamples: int,
) -> tuple[Recovery, ...]:
    """RGR on every benchmark, against every baseline of the student.

    Args:
        arms: For each arm its evaluations, one a training seed.
        before: The baselines.
        after: The arm of the trained student.
        reinforced: The arm of the student after reinforcement learning; where it is absent no
            value is defined.
        resamples: Of the bootstrap.
    """
    if reinforced not in arms:
        return tuple(
            Recovery(benchmark=one.name, baseline=name, value=None, undefined=NO_REINFORCED)
            for one in arms[after][0].benchmarks
            for name in before
        )
    return tuple(
        _recovery(
            drawn.recovered(after, before=name, best=reinforced), benchmark=benchmark, name=name
        )
        for benchmark, drawn in bootstraps(arms, resamples=resamples).items()
        for name in before
    )


def _recovery(found: Recovered, *, benchmark: str, name: str) -> Recovery:
    return Recovery(
        benchmark=benchmark,
        baseline=name,
        value=found.value,
        undefined="" if found.value is not None else f"{NO_GAIN} ({found.gap:+.3f})",
        without_gap=found.without_gap,
    )
