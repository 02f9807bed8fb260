"""Results as tables: of plain values for scripts, and as markdown for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from weak2wise_core.evaluation.comparing import Comparison
from weak2wise_core.evaluation.intervals import accuracy_interval
from weak2wise_core.evaluation.records import Counts, Evaluation

_ASKED = ("samples", "temperature", "top_p", "max_tokens", "prompt_suffix")
"""Settings in which two models should not differ."""
STOCK_WARNING = (
    "Stock tasks of lm-evaluation-harness, with the graders they bring: known to call right "
    "answers of reasoning models wrong"
)


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of every benchmark, by name."""
    resamples = int(evaluation.settings["resamples"])
    rows: dict[str, Any] = {}
    for result in evaluation.benchmarks:
        samples = len(result.items[0].verdicts)
        shares = [item.accuracy for item in result.items]
        interval = accuracy_interval(shares, samples=samples, resamples=resamples)
        rows[result.name] = {
            "kind": result.kind.value,
            "questions": len(result.items),
            "samples": samples,
            "pass_at_1": interval.value,
            "low": interval.low,
            "high": interval.high,
            "interval": interval.method,
            "maj_at_k": evaluation.majorities.get(result.name),
            **_answers(Counts.of(evaluation.of(result.name))),
        }
    return rows


def _answers(counts: Counts) -> dict[str, Any]:
    return {"answers" if name == "samples" else name: n for name, n in asdict(counts).items()}


def stock_summary(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of every stock task, by name."""
    return {
        one.task: {"questions": one.questions, "metrics": dict(sorted(one.metrics.items()))}
        for one in evaluation.stock
    }


def comparison_rows(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The figures of every comparison, by benchmark."""
    return {
        one.benchmark: {
            "questions": one.questions,
            "pass_at_1": one.first,
            "against": one.second,
            "difference": one.difference.value,
            "low": one.difference.low,
            "high": one.difference.high,
            "interval": one.difference.method,
            "better": one.better,
            "worse": one.worse,
            "p_value": one.significance.p_value,
            "test": one.significance.method,
        }
        for one in comparisons
    }


def markdown(results: dict[str, Any]) -> str:
    """The results as a page of tables.

    Args:
        results: The content of a `results.json`.
    """
    blocks = [f"# {results['name']}"]
    if results["benchmarks"]:
        blocks += [
            _table(benchmark_rows(results["benchmarks"])),
            benchmark_legend(results["benchmarks"]),
        ]
    if results["comparisons"]:
        blocks += [
            f"## Against {results['against']['name']}, question by question",
            _table(comparison_lines(results["comparisons"])),
            comparison_legend(results),
        ]
    if results["stock"]:
        blocks += ["## Stock tasks", f"{STOCK_WARNING}.", _table(stock_rows(results["stock"]))]
    return "\n\n".join(blocks) + "\n"


def benchmark_rows(rows: dict[str, Any], *, brief: bool = False) -> list[list[str]]:
    """The figures of every benchmark as cells, heads first.

    Args:
        rows: What `summary` returns.
        brief: Leave out the columns in which there is nothing but zeros.
    """
    cells = [
        {
            "benchmark": name,
            "questions": str(row["questions"]),
            "k": str(row["samples"]),
            "pass@1": percent(row["pass_at_1"]),
            "95% interval": span(row),
            "maj@k": percent(row["maj_at_k"]),
            **{head: str(row[key] or (0 if not brief else "")) for key, head in _ENDINGS.items()},
            "tokens": str(round(row["completion_tokens"] / row["answers"])),
        }
        for name, row in rows.items()
    ]
    heads = [head for head in cells[0] if any(row[head] for row in cells)]
    return [heads, *([row[head] for head in heads] for row in cells)]


_ENDINGS = {
    "cut": "thinking cut",
    "length": "at the limit",
    "unjudged": "unjudged",
    "refused": "refused",
}


def benchmark_legend(rows: dict[str, Any]) -> str:
    """What counts as right, and how intervals were found."""
    methods = sorted({row["interval"] for row in rows.values()})
    return (
        "Answers whose thinking was cut, that no rule could judge, or whose request the server "
        f"refused do not count as right. Interval: {_named(methods, INTERVALS)}. "
        "Tokens: of a reply, on average."
    )


INTERVALS = {
    "wilson": "Wilson's",
    "bootstrap": "percentile bootstrap over questions",
    "newcombe": "Newcombe's for pairs",
}


def comparison_lines(rows: dict[str, Any]) -> list[list[str]]:
    """The figures of every comparison as cells, heads first."""
    heads = ["benchmark", "pass@1", "against", "difference (95%)", "better/worse", "p"]
    body = [
        [
            name,
            percent(row["pass_at_1"]),
            percent(row["against"]),
            f"{points(row['difference'])} ({points(row['low'])} to {points(row['high'])})",
            f"{row['better']}/{row['worse']}",
            f"{row['p_value']:.2g}",
        ]
        for name, row in rows.items()
    ]
    return _cells(heads, body)


def comparison_legend(results: dict[str, Any]) -> str:
    """How the figures of comparisons were found, and what the two models were not asked alike."""
    rows = results["comparisons"].values()
    tests, methods = (sorted({row[key] for row in rows}) for key in ("test", "interval"))
    legend = (
        "Difference in percentage points; better/worse: questions on which the model is right more "
        f"often or less often. Interval: {_named(methods, INTERVALS)}; "
        f"p: {_named(tests, TESTS)}, two-sided."
    )
    ours, theirs = results["settings"], results["against"]["settings"]
    unlike = [
        f"{key} {ours[key]!r} here, {theirs[key]!r} there"
        for key in _ASKED
        if ours[key] != theirs[key]
    ]
    return f"{legend} The two were asked differently: {', '.join(unlike)}." if unlike else legend


def _named(found: Sequence[str], names: Mapping[str, str]) -> str:
    return " or ".join(names[one] for one in found)


TESTS = {
    "mcnemar": "exact McNemar test",
    "permutation": "permutation test, question by question",
}


def stock_rows(rows: dict[str, Any]) -> list[list[str]]:
    """The figures of every stock task as cells, heads first."""
    body = [
        [f"{name} (stock)", row["questions"], metric, f"{value:.4g}"]
        for name, row in rows.items()
        for metric, value in row["metrics"].items()
    ]
    return _cells(["task", "questions", "metric", "value"], body)


def _cells(heads: Sequence[str], body: Sequence[Sequence[object]]) -> list[list[str]]:
    return [list(heads), *([str(cell) for cell in row] for row in body)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    heads, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *body))


def percent(value: float | None) -> str:
    """A share in per cent, such as `41.7%`."""
    return "" if value is None else f"{100 * value:.1f}%"


def points(value: float) -> str:
    """A difference in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def span(row: dict[str, Any]) -> str:
    """The interval of a row, in per cent."""
    return f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
