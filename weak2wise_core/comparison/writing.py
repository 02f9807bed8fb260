"""Writing a comparison: a folder that is whole or absent."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from weak2wise_core.comparison.drawing import draw
from weak2wise_core.comparison.results import (
    DIFFERENCE_HEAD,
    ComparisonResult,
    agreement_table,
    all_benchmarks,
    difference_table,
    selector_head,
    selector_table,
)
from weak2wise_core.comparison.tables import PoolTables
from weak2wise_core.records import TraceMeasure
from weak2wise_core.stores.files import atomic_folder
from weak2wise_core.stores.parquet import to_bytes

RESULT = "comparison.json"
MEASURES = "measures.parquet"


def write_comparison(
    result: ComparisonResult, *, measures: Sequence[TraceMeasure], folder: Path
) -> None:
    """Write everything that a comparison found; a folder that is there already is left alone.

    Args:
        result: Tables and accuracies.
        measures: What the weak model's reading gave for every candidate.
        folder: Where it belongs.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
        MissingExtraError: The drawing library is not installed.
    """
    images = {
        f"selectors-{tables.pool}.{kind}": draw(tables, file_format=kind)
        for tables in result.pools
        for kind in ("svg", "png")
    }
    with atomic_folder(folder) as beside:
        (beside / MEASURES).write_bytes(to_bytes(list(measures), TraceMeasure))
        for name, image in images.items():
            (beside / name).write_bytes(image)
        (beside / "README.md").write_text(markdown(result), encoding="utf-8")
        text = json.dumps(result.to_plain(), indent=2, sort_keys=True, ensure_ascii=False)
        (beside / RESULT).write_text(text + "\n", encoding="utf-8")


def markdown(result: ComparisonResult) -> str:
    """The tables of a comparison, for people."""
    parts = [
        f"# Selectors on {result.name}",
        f"Version `{result.version}`. Every selector chose from the same scored candidates. "
        "*Tokens* and *score* (step-mask) are means over the chosen traces, whole; a column with "
        "the name of a strong model is its share of them. *Sound* and *AUC* (within a question) "
        "compare with the known quality of the traces, where it is known.",
    ]
    for tables in result.pools:
        parts += [f"## Pool {tables.pool}: {tables.questions} questions", *_pool(tables, result)]
    if result.unused:
        names = ", ".join(one.value for one in result.unused)
        parts.append(
            f"Not compared, because the weak model does not tell its probabilities: {names}."
        )
    return "\n\n".join(parts) + "\n"


def _pool(tables: PoolTables, result: ComparisonResult) -> Iterator[str]:
    trained = result.trained
    head = selector_head(tables, trained=trained is not None)
    for benchmark in all_benchmarks(trained):
        if benchmark:
            yield f"Accuracy on {benchmark} after training, {tables.pool}:"
        yield _table([head, *selector_table(tables, trained=trained, benchmark=benchmark)])
        if trained is not None:
            lines = difference_table(tables, trained=trained, benchmark=benchmark)
            yield _table([DIFFERENCE_HEAD, *lines])
    yield "How often two selectors choose the same trace, in % of the questions:"
    yield _table(agreement_table(tables))
    yield f"![agreement, lengths and teachers](selectors-{tables.pool}.svg)"


def _table(lines: Sequence[Sequence[str]]) -> str:
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
