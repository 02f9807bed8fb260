"""Results of a model, for the reasoning gap recovered: a folder of `evaluate`, or a plain table.

A plain table has a row for every answer: `{"id", "correct"}` and, where there are several,
`benchmark`. Several rows of one question are its samples.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from weak2wise_core.config import BenchmarkKind, W2SRRecipe
from weak2wise_core.errors import InputFileError
from weak2wise_core.evaluation.benchmarks import load_benchmarks
from weak2wise_core.evaluation.comparing import check_ids
from weak2wise_core.evaluation.publishing import RESULTS, holds_results, read_evaluation
from weak2wise_core.evaluation.records import BenchmarkResult, Evaluation, ItemResult
from weak2wise_core.questions import BadRowError
from weak2wise_core.records import Verdict
from weak2wise_core.related.reading import read_any, row_id

BENCHMARK = "items"
"""The benchmark of a plain table that names none."""

_FIELDS = ("correct", "verdict", "result")
_VERDICTS: Mapping[object, Verdict] = {
    True: Verdict.CORRECT,
    False: Verdict.INCORRECT,
    "true": Verdict.CORRECT,
    "false": Verdict.INCORRECT,
    "1": Verdict.CORRECT,
    "0": Verdict.INCORRECT,
    **{verdict.value: verdict for verdict in Verdict},
}


def read_results(path: Path, *, benchmark: str = BENCHMARK) -> Evaluation:
    """Read what one model did.

    Args:
        path: A folder of `weak2wise evaluate`, its `results.json`, or a table (.jsonl, .json,
            .parquet, .csv).
        benchmark: The benchmark of rows that name none.

    Raises:
        InputFileError: There are no results, or a row is none: it is named, because a question
            that is left out would change every figure.
    """
    if path.is_dir() or path.name == RESULTS:
        folder = path if path.is_dir() else path.parent
        if path.is_dir() or holds_results(folder):
            return read_evaluation(folder)
    verdicts: dict[str, dict[str, list[Verdict]]] = {}
    for name, item, verdict in _answers(path, benchmark):
        verdicts.setdefault(name, {}).setdefault(item, []).append(verdict)
    if not verdicts:
        raise InputFileError(f"file {path} is empty; it needs one answer a row")
    return Evaluation(
        name=path.stem,
        model={},
        settings={},
        benchmarks=tuple(_benchmark(name, items) for name, items in verdicts.items()),
    )


def reinforced_results(recipe: W2SRRecipe) -> Evaluation | None:
    """The student after reinforcement learning, as a recipe's results know it; None without.

    Rows of a table that name no benchmark are answers to the recipe's first one.

    Raises:
        InputFileError: There are no results, or a row is none.
        UsageError: They are about other questions than the recipe's benchmarks.
    """
    if (path := recipe.recovery.reinforced_results) is None:
        return None
    asked = recipe.evaluation.benchmarks
    here = tuple(one for one in asked if one.path is not None)
    found = read_results(path, benchmark=asked[0].name or asked[0].kind.value)
    known = {one.name: {item.id for item in one.items} for one in found.benchmarks}
    for one in load_benchmarks(recipe.evaluation.model_copy(update={"benchmarks": here})):
        questions = {problem.id for problem in one.problems}
        check_ids(questions, known.get(one.name, set()), benchmark=one.name)
    return found


def _benchmark(name: str, items: Mapping[str, list[Verdict]]) -> BenchmarkResult:
    return BenchmarkResult(
        name=name,
        kind=BenchmarkKind.MATH,  # only verdicts are read, of whatever kind the answers were
        items=tuple(ItemResult(id=item, verdicts=tuple(found)) for item, found in items.items()),
    )


def _answers(path: Path, benchmark: str) -> Iterator[tuple[str, str, Verdict]]:
    for number, row in enumerate(read_any(path), start=1):
        try:
            if isinstance(row, BadRowError):
                raise row
            yield str(row.get("benchmark") or benchmark), str(row_id(row)), _verdict(row)
        except BadRowError as bad:
            raise InputFileError(f"file {path}, row {number}: {bad}") from bad


def _verdict(row: Mapping[str, object]) -> Verdict:
    field = next((name for name in _FIELDS if row.get(name) is not None), _FIELDS[0])
    value = row.get(field)
    known = value.strip().lower() if isinstance(value, str) else value
    if isinstance(known, bool | str | int | float) and known in _VERDICTS:
        return _VERDICTS[known]  # 1 and 0 equal True and False
    raise BadRowError(
        "no_verdict",
        f"field '{field}' is {value!r}; true, false, 1, 0, correct, incorrect or unjudged was "
        "expected",
    )
