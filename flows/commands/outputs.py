"""`weak2wise agree` and `weak2wise pairs`: weak-to-strong reasoning on existing outputs."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.building import AsJson
from weak2wise_core.answers import Agreement, compare
from weak2wise_core.config import (
    AgreementSettings,
    AnswerSettings,
    AnswerStyle,
    ContrastSettings,
    Normalisation,
    StageOneSet,
)
from weak2wise_core.dataset.reading import refuse_published
from weak2wise_core.errors import UsageError
from weak2wise_core.exporting.related import (
    ExamplesFormat,
    PairsFormat,
    examples_file,
    pairs_file,
)
from weak2wise_core.records import Rejection
from weak2wise_core.related.agreement import agree as agreements_of
from weak2wise_core.related.agreement import examples
from weak2wise_core.related.contrast import contrast
from weak2wise_core.related.final_answers import answer_rule
from weak2wise_core.related.reading import ResponseFile, read_responses
from weak2wise_core.related.records import AgreedQuestion, PairKind
from weak2wise_core.stores.files import atomic_write_bytes, atomic_write_text

_NAMED = 10
"""Malformed rows that are named on the terminal; `--json` names all."""

Weak = Annotated[
    Path,
    typer.Argument(
        help="responses of the weak model, one a question (.jsonl, .json, .parquet, .csv)",
        metavar="WEAK",
    ),
]
Style = Annotated[AnswerStyle, typer.Option(help="where a response states its final answer")]
Normalise = Annotated[
    Normalisation,
    typer.Option(help="when answers are the same: as in the released code, or of equal value"),
]
RequireAnswer = Annotated[
    bool,
    typer.Option(
        "--require-answer/--allow-no-answer",
        help="drop what states no answer; the released data keep some of it",
    ),
]
Dropped = Annotated[
    Path | None,
    typer.Option(help="write what was dropped there, one JSON object a line, with the reason"),
]


def agree(
    weak: Weak,
    icl: Annotated[
        Path,
        typer.Argument(
            help="responses of the strong model, which was shown some of them", metavar="ICL"
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="the training set")] = Path(
        "agreed.json"
    ),
    train_on: Annotated[
        StageOneSet, typer.Option(help="whose responses; hybrid: both, the weak model's first")
    ] = StageOneSet.HYBRID,
    to: Annotated[ExamplesFormat, typer.Option(help="whom it is for")] = (
        ExamplesFormat.LLAMA_FACTORY
    ),
    style: Style = AnswerStyle.RELEASED,
    normalise: Normalise = Normalisation.GAIR,
    require_answer: RequireAnswer = True,
    dropped: Dropped = None,
    as_json: AsJson = False,
) -> None:
    """Keep the questions that two models answer alike (weak-to-strong reasoning, stage I).

    Rows `{"id", "prompt", "response", "gold"}` come in, in JSON lines or one JSON list; `gold` may
    be absent and selects nothing. Prompts and responses go out untouched, in the order of WEAK:
    `[{"id", "content", "output"}]` for LLaMA-Factory, or conversations in Parquet for TRL. Every
    other question is counted by its reason, and so is what equal numbers would keep.

    Example: `weak2wise agree weak.jsonl icl.jsonl --train-on hybrid -o agreed.json`
    """
    _keep_inputs(output, dropped, (weak, icl))
    ours, theirs = read_responses([weak]), read_responses([icl])
    rule = answer_rule(AnswerSettings(style=style, normalise=normalise))
    found = agreements_of(
        ours.responses,
        theirs.responses,
        rule=rule,
        settings=AgreementSettings(require_answer=require_answer),
    )
    rows = examples(found.agreed, train_on=train_on)
    facts: dict[str, Any] = {
        "questions": found.questions,
        "agreed": len(found.agreed),
        "same_number": found.same_number,
        "dropped": _counts(found.rejections),
        "right": _right(found.agreed),
        "malformed": _malformed(ours, theirs),
    }
    if rows:
        atomic_write_bytes(output, examples_file(rows, ids=ours.ids, to=to))
    _finish(facts, found.rejections, rows=len(rows), output=output, dropped=dropped,
            lines=_agreed_lines(facts, normalise), as_json=as_json)  # fmt: skip


def pairs(
    weak: Weak,
    samples: Annotated[
        list[Path],
        typer.Argument(
            help="responses of the trained model, several a question, in one file or several",
            metavar="SAMPLES",
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="the preference pairs")] = Path(
        "pairs.json"
    ),
    to: Annotated[PairsFormat, typer.Option(help="whom they are for")] = PairsFormat.LLAMA_FACTORY,
    expected: Annotated[
        int, typer.Option("--samples", min=1, help="a question with fewer is dropped")
    ] = 10,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="share of the most frequent answer, at least")
    ] = 0.6,
    confidence_against_weak: Annotated[
        float, typer.Option(min=0, max=1, help="the same where the weak model answers otherwise")
    ] = 0.8,
    per_question: Annotated[
        int, typer.Option(min=1, max=10, help="pairs at most; 3 for MATH and OlympicArena")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="decides which samples are taken")] = 0,
    style: Style = AnswerStyle.RELEASED,
    normalise: Normalise = Normalisation.GAIR,
    require_answer: RequireAnswer = True,
    dropped: Dropped = None,
    as_json: AsJson = False,
) -> None:
    """Make preference pairs of repeated samples (weak-to-strong reasoning, stage II).

    Rows are those of `agree`; SAMPLES has several rows a question. Where the samples are sure of an
    answer, a response that gives it is preferred to one that does not, and one of the two is the
    weak model's. The same rows in any order give the same pairs for the same seed.

    Example: `weak2wise pairs weak.jsonl samples.jsonl --to trl -o pairs.parquet`
    """
    _keep_inputs(output, dropped, (weak, *samples))
    ours, theirs = read_responses([weak]), read_responses(samples, repeated=True)
    settings = ContrastSettings(
        samples=expected,
        min_confidence=confidence,
        min_confidence_against_weak=confidence_against_weak,
        pairs_per_question=per_question,
        require_answer=require_answer,
        seed=seed,
    )
    rule = answer_rule(AnswerSettings(style=style, normalise=normalise))
    found = contrast(ours.responses, theirs.responses, rule=rule, settings=settings)
    facts: dict[str, Any] = {
        "questions": found.questions,
        "with_pairs": len({pair.id for pair in found.pairs}),
        **{kind.value: sum(one.kind is kind for one in found.pairs) for kind in PairKind},
        "dropped": _counts(found.rejections),
        "malformed": _malformed(ours, theirs),
    }
    if found.pairs:
        atomic_write_bytes(output, pairs_file(found.pairs, ids=ours.ids, to=to))
    _finish(facts, found.rejections, rows=len(found.pairs), output=output, dropped=dropped,
            lines=_pair_lines(facts), as_json=as_json)  # fmt: skip


# --- what a person or a script sees -----------------------------------------------------------


def _agreed_lines(facts: dict[str, Any], normalise: Normalisation) -> list[str]:
    right = facts["right"]
    lines = [
        f"{facts['agreed']:>7} of {facts['questions']} questions agree ({normalise.value})",
        f"{facts['same_number']:>7} would agree if equal numbers did",
    ]
    if right["with_gold"]:
        lines.append(f"{right['correct']:>7} of {right['with_gold']} agreed answers are gold ones")
    return lines


def _pair_lines(facts: dict[str, Any]) -> list[str]:
    return [
        f"{facts['with_pairs']:>7} of {facts['questions']} questions have pairs",
        f"{facts['weak_chosen']:>7} pairs: the weak response is chosen",
        f"{facts['weak_rejected']:>7} pairs: the weak response is rejected",
    ]


def _finish(
    facts: dict[str, Any],
    rejections: Sequence[Rejection],
    *,
    rows: int,
    output: Path,
    dropped: Path | None,
    lines: Sequence[str],
    as_json: bool,
) -> None:
    """Tell what was found; without a row there is no file, and the command failed."""
    if dropped is not None:
        atomic_write_text(dropped, "".join(_dropped_lines(rejections)))
    facts |= {"rows": rows, "output": str(output) if rows else None}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _show(facts, lines)
    if not rows:
        _say("nothing is written: no question is kept; look at --style and the reasons above")
        raise typer.Exit(1)


def _show(facts: dict[str, Any], lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)
    for reason, count in facts["dropped"].items():
        typer.echo(f"{count:>7} dropped: {reason}")
    malformed = facts["malformed"]
    for reason, count in sorted(Counter(row["reason"] for row in malformed).items()):
        typer.echo(f"{count:>7} malformed rows: {reason}")
    for row in malformed[:_NAMED]:
        _say(f"{row['file']}, row {row['row']}: {row['detail']}")
    if len(malformed) > _NAMED:
        _say(f"and {len(malformed) - _NAMED} more malformed rows; --json names all of them")
    if facts["output"] is not None:
        typer.echo(f"{facts['rows']:>7} rows in {facts['output']}")


def _counts(rejections: Iterable[Rejection]) -> dict[str, int]:
    return dict(sorted(Counter(one.reason for one in rejections).items()))


def _malformed(*files: ResponseFile) -> list[dict[str, Any]]:
    return [
        {"file": one.file, "row": one.row, "reason": one.reason, "detail": one.detail}
        for file in files
        for one in file.bad
    ]


def _right(agreed: Iterable[AgreedQuestion]) -> dict[str, int]:
    """How many agreed answers are the gold ones, by our rules; it selects nothing."""
    known = [one for one in agreed if one.weak.gold]
    right = [compare(one.weak.gold, one.answer) is Agreement.AGREE for one in known]
    return {"with_gold": len(known), "correct": sum(right)}


def _dropped_lines(rejections: Iterable[Rejection]) -> Iterable[str]:
    for one in rejections:
        row = {"id": one.question_id, "reason": one.reason, "detail": one.detail}
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _keep_inputs(output: Path, dropped: Path | None, inputs: Sequence[Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        UsageError: A result would be written over an input, a folder, or the other result, or
            into a published dataset.
    """
    written = [path for path in (output, dropped) if path is not None]
    taken = {path.resolve() for path in inputs}
    for path in written:
        refuse_published(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
        if path.resolve() in taken:
            raise UsageError(f"{path} is read or written already; name another file")
        taken.add(path.resolve())


def _say(message: str) -> None:
    Console(stderr=True).print(message, highlight=False, markup=False, soft_wrap=True)
