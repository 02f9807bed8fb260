"""Commands on files of traces and attempts: `verify`, `truncate`, `mask`, `import-traces`."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from weak2wise_core.dataset.reading import refuse_published
from weak2wise_core.equivalence import AnswerChecker, MathVerifyPool
from weak2wise_core.errors import InputFileError, TruncationError
from weak2wise_core.importing import Imported, import_rows
from weak2wise_core.masking import mask_trace
from weak2wise_core.questions import answer_text, load_questions, read_objects
from weak2wise_core.records import CandidateTrace, Verdict
from weak2wise_core.steps import split_steps
from weak2wise_core.stores.files import atomic_write_bytes, atomic_write_text
from weak2wise_core.stores.parquet import to_bytes
from weak2wise_core.truncation import cut_by_rule

Rows = Annotated[Path, typer.Argument(help="a .jsonl, .parquet or .csv file", metavar="FILE")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="write there instead of standard output")
]


class FileMethod(StrEnum):
    """How `truncate` finds the cut without a recipe."""

    RULE = "rule"


def verify(
    file: Rows,
    *,
    output: Output = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="processes for algebra")] = 2,
) -> None:
    """Judge attempts against gold answers by rule; no model is asked.

    Rows `{"id", "question", "gold", "attempt"}` come in, rows `{"id", "verdict"}` go out in the
    same order: correct, incorrect, or unjudged where the rules are not certain. Where rows bring a
    `label`, true or false, the agreement with it is printed too.

    Example: `weak2wise verify attempts.jsonl > verdicts.jsonl`
    """
    _refuse_published(output)
    with (
        AnswerChecker(pool=MathVerifyPool(processes=workers)) as checker,
        ThreadPoolExecutor(workers) as threads,
    ):

        def judged(row: Mapping[str, Any]) -> dict[str, Any]:
            gold, attempt = answer_text(row.get("gold")), row.get("attempt")
            if gold is None or not isinstance(attempt, str):
                reason = "needs a gold answer and a text 'attempt'"
                return {"id": row.get("id"), "verdict": Verdict.UNJUDGED.value, "reason": reason}
            return {"id": row.get("id"), "verdict": checker.check(gold, attempt).value}

        rows = list(read_objects(file))
        verdicts = list(threads.map(judged, rows))
    _write_lines(verdicts, output)
    counts = Counter(row["verdict"] for row in verdicts)
    _say(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    labelled = [
        (row["label"], found["verdict"])
        for row, found in zip(rows, verdicts, strict=True)
        if isinstance(row.get("label"), bool)
    ]
    if labelled:
        _say(_agreement(labelled))


def _agreement(labelled: Sequence[tuple[object, str]]) -> str:
    """How verdicts compare with what people said; an unjudged row agrees with nobody."""
    counts = Counter(labelled)
    agreed = counts[True, Verdict.CORRECT.value] + counts[False, Verdict.INCORRECT.value]
    return (
        f"agreement with 'label': {agreed / len(labelled):.1%} ({agreed} of {len(labelled)}), "
        f"false positives: {counts[False, Verdict.CORRECT.value]}"
    )


def truncate(
    file: Rows,
    *,
    method: Annotated[FileMethod, typer.Option(help="how the cut is found")] = FileMethod.RULE,
    output: Output = None,
) -> None:
    """Cut reasoning traces where the gold answer is first deduced; no model is asked.

    Rows `{"id", "model", "gold", "reasoning_content"}` come in, rows `{"id", "model",
    "truncated"}` go out in the same order. `truncated` is an exact prefix that holds the answer, or
    null with a `reason` where there is none.

    Example: `weak2wise truncate traces.jsonl --method rule`
    """
    _refuse_published(output)
    rows = [_truncated(row) for row in read_objects(file)]
    _write_lines(rows, output)
    cut = sum(row["truncated"] is not None for row in rows)
    _say(f"{cut} of {len(rows)} traces cut by {method.value}")


def _truncated(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": row.get("id"), "model": row.get("model"), "truncated": None}
    gold, trace = answer_text(row.get("gold")), row.get("reasoning_content")
    if gold is None or not isinstance(trace, str) or not trace.strip():
        return {**found, "reason": "needs a gold answer and a text 'reasoning_content'"}
    try:
        return {**found, "truncated": cut_by_rule(trace, answer=gold)}
    except TruncationError as error:
        return {**found, "reason": str(error)}


def mask(
    file: Annotated[Path, typer.Argument(help="a text file with '##' steps", metavar="FILE")],
    *,
    granularity: Annotated[int, typer.Option(min=2, max=12, help="n, mask levels")] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Show a Step-Reasoning trace as the weak model sees it at every mask level.

    Example: `weak2wise mask trace.txt --granularity 6`
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"file {file} cannot be read: {error}") from error
    steps = split_steps(text)
    levels = [
        mask_trace(steps, level=level, granularity=granularity) for level in range(granularity)
    ]
    if as_json:
        typer.echo(json.dumps({"granularity": granularity, "levels": levels}, ensure_ascii=False))
        return
    for level, shown in enumerate(levels):
        typer.echo(f"===== level {level} of {granularity}: the last {level}/{granularity} hidden")
        typer.echo(shown)


def import_traces(
    file: Rows,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="candidates file, for generate.imported")
    ] = Path("candidates.parquet"),
    questions: Annotated[
        Path | None,
        typer.Option(help="question file, for traces that bring no answer of their own"),
    ] = None,
    titles: Annotated[
        bool, typer.Option("--titles", help="put '##' titles before paragraphs that have none")
    ] = False,
    refused: Annotated[
        Path | None, typer.Option(help="write refused rows there, one JSON object a line")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the counts as JSON")] = False,
) -> None:
    """Turn existing replies of strong models into candidates that a recipe can use.

    A row brings `id`, `question`, `gold` (or `answer`) and `model`, and the reply as
    `reasoning_content` with `content`, as one `raw` text, or as a stored `response_object`. Every
    row becomes a candidate or is refused with a reason; refused candidates are kept in the file
    with theirs.

    Example: `weak2wise import-traces traces.jsonl -o candidates.parquet`
    """
    from weak2wise_core.config import QuestionsSettings

    _refuse_published(output, refused)
    known = load_questions(QuestionsSettings(path=questions)).questions if questions else ()
    with AnswerChecker() as checker:
        found = import_rows(read_objects(file), questions=known, check=checker.check, titles=titles)
    atomic_write_bytes(output, to_bytes(found.candidates, CandidateTrace))
    if refused is not None:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in _refusals(found))
        atomic_write_text(refused, "".join(lines))
    counts = Counter(row["reason"] for row in _refusals(found))
    usable = sum(one.refusal is None for one in found.candidates)
    facts = {"rows": found.rows, "usable": usable, "refused": dict(sorted(counts.items()))}
    if as_json:
        typer.echo(json.dumps({**facts, "output": str(output)}, indent=2))
        return
    typer.echo(f"{facts['rows']} rows: {usable} usable candidates in {output}")
    for reason, count in sorted(counts.items()):
        typer.echo(f"{count:>7} refused: {reason}")
    if counts["no_step"] and not titles:
        typer.echo("Texts without '##' steps can be given some: see --titles")


def _refusals(found: Imported) -> Iterator[dict[str, Any]]:
    for one in found.candidates:
        if one.refusal is not None:
            yield {
                "id": one.question_id,
                "model": one.strong_model,
                "draw": one.draw,
                "reason": one.refusal.value,
                "detail": one.detail,
            }
    for item in found.rejections:
        yield {
            "id": item.question_id,
            "model": item.model,
            "draw": item.draw,
            "reason": item.reason,
            "detail": item.detail,
        }


def _refuse_published(*places: Path | None) -> None:
    for place in places:
        if place is not None:
            refuse_published(place)


def _write_lines(rows: Iterable[Mapping[str, Any]], output: Path | None) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if output is None:
        sys.stdout.write(text)
    else:
        atomic_write_text(output, text)


def _say(message: str) -> None:
    Console(stderr=True).print(message, highlight=False, markup=False, soft_wrap=True)
