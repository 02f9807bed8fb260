"""Writing an ablation: a folder that is whole or absent."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from weak2wise_core.ablation.comparing import ItemVerdict
from weak2wise_core.ablation.drawing import draw
from weak2wise_core.ablation.preparing import PreparedPool
from weak2wise_core.ablation.results import (
    ARM_HEAD,
    DIFFERENCE_HEAD,
    AblationResult,
    arm_table,
    benchmarks,
    difference_table,
    disorder_lines,
)
from weak2wise_core.stores.files import atomic_folder

RESULT = "ablation.json"
VERDICTS = "verdicts.parquet"
CHOICES = "choices.parquet"

_TEXT, _WHOLE = pa.string(), pa.int64()
_VERDICTS: Final = pa.schema(
    [
        pa.field("pool", _TEXT, nullable=False),
        pa.field("arm", _TEXT, nullable=False),
        pa.field("seed", _WHOLE),
        pa.field("benchmark", _TEXT, nullable=False),
        pa.field("item", _TEXT, nullable=False),
        pa.field("verdicts", pa.list_(_TEXT), nullable=False),
    ],
    metadata={"weak2wise.table": "ablation_verdicts", "weak2wise.version": "1"},
)
_CHOICES: Final = pa.schema(
    [
        pa.field("pool", _TEXT, nullable=False),
        pa.field("arm", _TEXT, nullable=False),
        pa.field("seed", _WHOLE, nullable=False),
        pa.field("question_id", _TEXT, nullable=False),
        pa.field("strong_model", _TEXT, nullable=False),
        pa.field("draw", _WHOLE, nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("truncation", _TEXT, nullable=False),
        pa.field("tokens", _WHOLE, nullable=False),
    ],
    metadata={"weak2wise.table": "ablation_choices", "weak2wise.version": "1"},
)


def write_ablation(
    result: AblationResult,
    *,
    pools: Sequence[PreparedPool],
    verdicts: Sequence[ItemVerdict],
    folder: Path,
) -> None:
    """Write everything that an ablation found; a folder that is there already is left alone.

    Args:
        result: Accuracies and differences.
        pools: What every arm trained on.
        verdicts: Every answer of every model.
        folder: Where it belongs.

    Raises:
        StoreError: The folder cannot be written; nothing is left behind.
        MissingExtraError: The drawing library is not installed.
    """
    figures = dict(_figures(result))
    with atomic_folder(folder) as beside:
        _write_table(beside / VERDICTS, (_verdict_row(one) for one in verdicts), _VERDICTS)
        _write_table(beside / CHOICES, _choice_rows(pools), _CHOICES)
        for name, image in figures.items():
            (beside / name).write_bytes(image)
        (beside / "README.md").write_text(markdown(result), encoding="utf-8")
        text = json.dumps(result.to_plain(), indent=2, sort_keys=True, ensure_ascii=False)
        (beside / RESULT).write_text(text + "\n", encoding="utf-8")


def markdown(result: AblationResult) -> str:
    """The tables of an ablation, for people."""
    parts = [
        f"# Ablation of {result.name}",
        f"Version `{result.version}`. Every arm of a pool trained the same model on the same "
        "questions with other traces; *tokens* and *score* are means over its training rows. "
        "Intervals hold 95% of the resamples over training seeds and test questions.",
    ]
    for benchmark in benchmarks(result):
        parts += [
            f"## {benchmark}",
            _table(ARM_HEAD, arm_table(result, benchmark=benchmark)),
            _table(DIFFERENCE_HEAD, difference_table(result, benchmark=benchmark)),
            *(f"- {line}" for line in disorder_lines(result, benchmark=benchmark)),
            f"![accuracy of every arm](accuracy-{benchmark}.svg)",
        ]
    parts += ["## Questions left out of every arm", _left_out(result)]
    return "\n\n".join(parts) + "\n"


def _left_out(result: AblationResult) -> str:
    rows = [
        (pool.name, reason, str(count))
        for pool in result.pools
        for reason, count in sorted(pool.left_out.items())
    ]
    return _table(("pool", "reason", "questions"), rows) if rows else "None."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figures(result: AblationResult) -> Iterator[tuple[str, bytes]]:
    for benchmark in benchmarks(result):
        found = [one for one in result.comparisons if one.benchmark == benchmark]
        yield f"accuracy-{benchmark}.svg", draw(found, file_format="svg")
        yield f"accuracy-{benchmark}.png", draw(found, file_format="png")


def _verdict_row(one: ItemVerdict) -> dict[str, Any]:
    return {
        "pool": one.pool,
        "arm": one.arm,
        "seed": one.seed,
        "benchmark": one.benchmark,
        "item": one.item,
        "verdicts": [verdict.value for verdict in one.verdicts],
    }


def _choice_rows(pools: Sequence[PreparedPool]) -> Iterator[dict[str, Any]]:
    for pool in pools:
        for training, rows in pool.rows.items():
            for row in rows:
                yield {
                    "pool": pool.name,
                    "arm": training.arm.value,
                    "seed": training.seed,
                    "question_id": row.question_id,
                    "strong_model": row.strong_model,
                    "draw": row.draw,
                    "score": row.score,
                    "truncation": row.truncation.value,
                    "tokens": row.tokens,
                }


def _write_table(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, path, compression="zstd", version="2.6")
