"""Laws of the reasoning gap recovered and of the tables beside it."""

from collections.abc import Sequence

import pytest

from weak2wise_core.config import BenchmarkKind
from weak2wise_core.errors import UsageError
from weak2wise_core.evaluation.arms import compare_arms
from weak2wise_core.evaluation.records import BenchmarkResult, Evaluation, ItemResult
from weak2wise_core.records import Verdict
from weak2wise_core.teaching.recovering import recoveries
from weak2wise_core.teaching.reports import Recovery, Report, recovered, shown

ITEMS = 40


def evaluation(right: int, *, items: int = ITEMS, first: int = 0) -> Evaluation:
    """A model that is right about the first so many questions."""
    return Evaluation(
        name=f"right-{right}",
        model={},
        settings={},
        benchmarks=(
            BenchmarkResult(
                name="b",
                kind=BenchmarkKind.AIME,
                items=tuple(
                    ItemResult(
                        id=f"i{number:03}",
                        verdicts=(Verdict.CORRECT if number < right else Verdict.INCORRECT,),
                    )
                    for number in range(first, first + items)
                ),
            ),
        ),
    )


def rgr(before: int, after: Sequence[int], best: int | None) -> Recovery:
    """The one value of a small run."""
    arms = {"before": [evaluation(before)], "after": [evaluation(one) for one in after]}
    arms |= {} if best is None else {"best": [evaluation(best)]}
    (found,) = recoveries(arms, before=("before",), after="after", reinforced="best", resamples=400)
    return found


def test_the_share_of_the_gap_is_what_a_hand_computes() -> None:
    """(25 - 10) / (30 - 10) with seeds that are right about 20 and 30 questions."""
    found = rgr(10, [20, 30], 30)
    assert found.value is not None
    assert found.value.value == pytest.approx(0.75)
    assert found.value.low < 0.75 < found.value.high
    assert found.undefined == ""


@pytest.mark.parametrize(("after", "value"), [(5, -0.25), (10, 0.0), (30, 1.0), (38, 1.4)])
def test_a_share_may_lie_outside_of_0_and_1(after: int, value: float) -> None:
    """A student may get worse than before, or better than reinforcement learning makes it."""
    found = rgr(10, [after], 30)
    assert found.value is not None
    assert found.value.value == pytest.approx(value)


@pytest.mark.parametrize("best", [10, 8])
def test_without_a_gain_of_reinforcement_there_is_no_value(best: int) -> None:
    """The denominator must be positive; the reason has a name and the figure."""
    found = rgr(10, [20], best)
    assert found.value is None
    assert found.undefined.startswith("no_gain_of_reinforcement (")
    assert recovered(found).startswith("undefined: no_gain")


def test_without_a_reinforced_student_there_is_no_value() -> None:
    """Its absence has a name of its own."""
    assert rgr(10, [20], None).undefined == "no_reinforced_student"


def test_a_gap_that_some_resamples_lack_is_told() -> None:
    """One question of forty is no certain gap."""
    found = rgr(10, [12], 11)
    assert found.value is not None
    assert found.without_gap > 0.1
    assert "have no gap" in recovered(found)
    assert rgr(2, [20], 38).without_gap == 0


def test_arms_are_compared_on_the_same_questions() -> None:
    """Other questions under the same name are refused, and so is a benchmark that was not asked."""
    with pytest.raises(UsageError, match="not asked the same questions"):
        compare_arms(
            {"a": [evaluation(3)], "b": [evaluation(3, first=1)]}, differences=(), resamples=10
        )
    other = Evaluation(name="n", model={}, settings={}, benchmarks=())
    with pytest.raises(UsageError, match=r"n .*was not asked b"):
        compare_arms({"a": [evaluation(3)], "b": [other]}, differences=(), resamples=10)


def test_the_table_has_means_over_seeds_and_paired_differences() -> None:
    """Only differences whose two arms are there."""
    arms = {"a": [evaluation(20), evaluation(30)], "b": [evaluation(10)]}
    (table,) = compare_arms(arms, differences=(("a", "b"), ("a", "c")), resamples=200)
    first, second = table.arms
    assert (first.accuracy.value, first.by_seed) == (25 / 40, (20 / 40, 30 / 40))
    assert second.by_seed == (0.25,)
    (difference,) = table.differences
    assert difference.difference.value == pytest.approx(15 / 40)
    assert difference.difference.low > 0


def test_a_report_says_what_was_found_and_what_others_published() -> None:
    """In words for people and in plain values; the same findings have the same version."""
    arms = {"student": [evaluation(10)], "after W2SR": [evaluation(20)]}
    report = Report(
        name="r",
        method="w2sr",
        inputs={"seeds": [0]},
        trained_on={
            "after W2SR": {
                "counts": {"train": 3, "questions": 5},
                "dropped": {"select_traces": {"loop": 2}},
                "quarantined": {},
                "version": "0" * 12,
                "folder": "/data",
            }
        },
        models={"after W2SR": ["/models"]},
        tables=compare_arms(arms, differences=(), resamples=50),
        recovery=(Recovery(benchmark="b", baseline="student", value=None, undefined="why"),),
    )
    assert "| after W2SR | 0.500 [" in report.markdown
    assert "undefined: why" in report.markdown
    assert "2 loop" in report.markdown
    assert "close to 94%" in report.markdown
    plain = report.to_plain()
    assert plain["version"] == report.version
    assert plain["recovery"][0]["undefined"] == "why"
    assert shown(report.tables[0].arms[0].accuracy).startswith("0.250 [")
