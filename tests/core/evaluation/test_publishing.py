"""Laws of results: whole or absent, the same for the same answers, and read back as they were."""

from dataclasses import replace
from pathlib import Path

import pytest

from weak2wise_core.config import BenchmarkKind
from weak2wise_core.errors import InputFileError, StoreError, UsageError
from weak2wise_core.evaluation.assembling import results_of
from weak2wise_core.evaluation.benchmarks import Benchmark, Problem
from weak2wise_core.evaluation.comparing import check_comparable, compare
from weak2wise_core.evaluation.publishing import (
    PublishedEvaluation,
    holds_results,
    publish_evaluation,
    read_evaluation,
)
from weak2wise_core.evaluation.records import Evaluation, StockResult
from weak2wise_core.records import EvaluatedSample, FinishReason, Verdict

pytest.importorskip("scipy", reason="needs the extra eval")

SETTINGS = {
    "samples": 1,
    "temperature": 0.6,
    "top_p": 0.95,
    "max_tokens": 100,
    "prompt_suffix": "",
    "resamples": 500,
}


def sample(item: int, *, right: bool, draw: int = 0) -> EvaluatedSample:
    """An answer."""
    return EvaluatedSample(
        benchmark="math",
        item=f"q{item}",
        draw=draw,
        gold=str(item),
        verdict=Verdict.CORRECT if right else Verdict.INCORRECT,
        answer=str(item) if right else None,
        cut=not right,
        finish_reason=FinishReason.STOP,
        prompt_tokens=3,
        completion_tokens=10,
        reply="a | b\n",
        error="",
    )


def evaluation(right: str, *, name: str = "model", samples: int = 1) -> Evaluation:
    """An evaluation with one verdict a character; 1 is right."""
    rows = tuple(
        sample(number, right=digit == "1", draw=draw)
        for number, digit in enumerate(right)
        for draw in range(samples)
    )
    return Evaluation(
        name=name,
        model={"model": name},
        settings=SETTINGS | {"samples": samples},
        benchmarks=results_of(rows, kinds={"math": BenchmarkKind.MATH}),
        samples=rows,
        stock=(StockResult(task="aime24", metrics={"exact_match,none": 0.25}, questions=4),),
        majorities={"math": 0.5} if samples > 1 else {},
        returned={"m-1": len(rows)},
    )


def published(found: Evaluation, root: Path, *, against: Evaluation | None = None) -> Path:
    """The folder of results."""
    comparisons = compare(found, against) if against else ()
    made = publish_evaluation(found, root=root, against=against, comparisons=comparisons)
    return made.folder


@pytest.mark.parametrize("samples", [1, 3])
def test_results_are_read_back_as_they_were(tmp_path: Path, samples: int) -> None:
    """Also by the name's folder, which points to the latest version."""
    found = evaluation("1100", samples=samples)
    folder = published(found, tmp_path)
    assert read_evaluation(folder) == found
    assert read_evaluation(tmp_path / "model") == found
    assert holds_results(folder)
    assert holds_results(tmp_path / "model")
    assert not holds_results(tmp_path)


def test_the_same_answers_give_the_same_version(tmp_path: Path) -> None:
    """Another answer is another version; both are kept, and the latest is found."""
    first, again = (published(evaluation("1100"), tmp_path) for _ in range(2))
    other = published(evaluation("1101"), tmp_path)
    assert first == again != other
    assert (tmp_path / "model" / "latest").resolve() == other
    assert sorted(path.name for path in other.iterdir()) == [
        "results.json",
        "results.md",
        "samples.parquet",
    ]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_results_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    """A file in the way is named, and no half of a folder is there."""
    (tmp_path / "model").write_text("in the way")
    with pytest.raises(StoreError):
        published(evaluation("11"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_damaged_results_are_refused(tmp_path: Path) -> None:
    """Other bytes than were written are no results."""
    folder = published(evaluation("1100"), tmp_path)
    data = (folder / "samples.parquet").read_bytes()
    (folder / "samples.parquet").write_bytes(data[:-1])
    with pytest.raises(InputFileError, match="not the file that was written"):
        read_evaluation(folder)
    (folder / "results.json").write_text("{}")
    with pytest.raises(InputFileError, match="no results"):
        read_evaluation(folder)


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    """Accuracy with its interval, how answers ended, and stock tasks under their own heading."""
    made = publish_evaluation(evaluation("1100"), root=tmp_path)
    assert (made.folder / "results.md").read_text() == made.page
    assert "| math | 4 | 1 | 50.0% | 15.0 to 85.0 | 2 | 0 | 0 | 0 | 10 |" in made.page
    assert "Wilson's" in made.page
    stock = made.page.partition("## Stock tasks")[2]
    assert "call right answers of reasoning models wrong" in stock
    assert "| aime24 (stock) | 4 | exact_match,none | 0.25 |" in stock
    assert "aime24" not in made.page.partition("## Stock tasks")[0]


def page(made: PublishedEvaluation) -> str:
    """The part of the page about the comparison."""
    return made.page.partition("## Against")[2]


def test_a_comparison_is_question_by_question(tmp_path: Path) -> None:
    """Only questions on which the models disagree count: six won and none lost."""
    first, second = evaluation("11111111000"), evaluation("11000000000", name="base")
    (found,) = compare(first, second)
    assert (found.better, found.worse, found.questions) == (6, 0, 11)
    assert found.significance.p_value == pytest.approx(2 / 2**6)
    assert found.difference.value == pytest.approx(6 / 11)
    assert found.difference.low < 6 / 11 < found.difference.high
    made = publish_evaluation(first, root=tmp_path, against=second, comparisons=[found])
    assert "base, question by question" in page(made)
    assert "| math | 72.7% | 18.2% | +54.5 (" in page(made)
    assert "exact McNemar" in page(made)
    assert "asked differently" not in page(made)


def test_a_comparison_of_unlike_questioning_says_so(tmp_path: Path) -> None:
    """One was asked three times: no McNemar test, and a word about the difference."""
    first, second = evaluation("1100", samples=3), evaluation("1000", name="base")
    made = publish_evaluation(
        first, root=tmp_path, against=second, comparisons=compare(first, second)
    )
    assert "permutation test" in page(made)
    assert "asked differently: samples 3 here, 1 there" in page(made)


def test_other_questions_cannot_be_compared() -> None:
    """Another number of questions, another answer to one, or another benchmark."""
    first = evaluation("110")
    with pytest.raises(UsageError, match=r"different questions; 1 ids .* q3"):
        compare(first, evaluation("1100"))
    changed = (*first.samples[:2], replace(first.samples[2], gold="7"))
    with pytest.raises(UsageError, match="the answer of question 'q2' was '7'"):
        compare(first, replace(first, samples=changed))
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(first, replace(first, benchmarks=()))


def test_questions_are_compared_before_they_are_asked() -> None:
    """Earlier results of other questions are found out before a model is loaded."""
    earlier = evaluation("110")

    def benchmark(*golds: str) -> list[Benchmark]:
        problems = (
            Problem(id=f"q{number}", question="?", gold=gold) for number, gold in enumerate(golds)
        )
        return [Benchmark(name="math", kind=BenchmarkKind.MATH, problems=tuple(problems))]

    check_comparable(benchmark("0", "1", "2"), earlier)
    for golds in (("0", "1"), ("0", "1", "3")):
        with pytest.raises(UsageError, match="on the same file"):
            check_comparable(benchmark(*golds), earlier)
