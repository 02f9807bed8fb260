"""Existing replies of strong models become candidates.

Rows come in the shapes in which people keep replies: thinking and content apart, one raw text, or
the API's own response object.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from weak2wise_core.answers import final_answer
from weak2wise_core.config import GenerateSettings, Recipe
from weak2wise_core.dataset.contents import by_id
from weak2wise_core.errors import InputFileError
from weak2wise_core.hashing import content_hash
from weak2wise_core.llm.replies import (
    ReplyFormatError,
    finish_reason,
    parse_completion,
    split_thinking,
)
from weak2wise_core.questions import answer_text
from weak2wise_core.records import (
    CandidateTrace,
    ChatReply,
    FinishReason,
    Question,
    Refusal,
    Rejection,
    RejectionKind,
    Usage,
    Verdict,
)
from weak2wise_core.stores.parquet import read
from weak2wise_core.traces import candidate_from_reply

_S1_OPENS, _S1_ANSWERS = "think\n", "\nanswer\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file of replies holds: rows == len(candidates) + len(rejections)."""

    rows: int
    candidates: tuple[CandidateTrace, ...]
    """Usable and refused candidates, in the order of the file."""
    rejections: tuple[Rejection, ...]
    """Rows that are no candidate of any question."""


class _NoCandidateError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def import_rows(
    rows: Iterable[Mapping[str, Any]],
    *,
    questions: Iterable[Question] = (),
    check: Callable[[str, str], Verdict],
    settings: GenerateSettings | None = None,
    titles: bool = False,
) -> Imported:
    """Read stored replies as candidates.

    Args:
        rows: Objects with `id`, `question`, `gold` or `answer`, `model`, and a reply in one of the
            shapes above. Several replies of one model to one question are its draws 0, 1, ...
        questions: Where question and answer are found by id, for rows that lack them.
        check: Compares a trace's final answer with the gold answer.
        settings: Which audits refuse a candidate.
        titles: Put '##' titles before the paragraphs of visible texts that have none; see
            `with_titles`.

    Returns:
        One candidate or one rejection a row.
    """
    known = by_id(questions)
    draws: Counter[tuple[str, str]] = Counter()
    candidates: list[CandidateTrace] = []
    rejections: list[Rejection] = []
    number = 0
    for number, row in enumerate(rows, start=1):
        try:
            question, reply = _question(row, known), _reply(row)
        except _NoCandidateError as bad:
            rejections.append(_rejection(row, number, bad))
            continue
        if titles:
            reply = dataclasses.replace(reply, content=with_titles(reply.content))
        name = short_name(reply.model)
        candidates.append(
            candidate_from_reply(
                question,
                strong_model=name,
                draw=draws[question.id, name],
                reply=reply,
                check=check,
                settings=settings or GenerateSettings(),
            )
        )
        draws[question.id, name] += 1
    return Imported(rows=number, candidates=tuple(candidates), rejections=tuple(rejections))


def load_imported(
    recipe: Recipe, questions: Iterable[Question], *, check: Callable[[str, str], Verdict]
) -> list[CandidateTrace]:
    """The candidates of the files that a recipe imports, for its own questions.

    Every trace is checked again, against the answer of this build and with its audits: the files
    may come from another question set.

    Raises:
        InputFileError: A file is no candidates file, or two candidates share question, name and
            draw, or a name belongs to a strong model of the recipe.
    """
    known = by_id(questions)
    taken: dict[tuple[str, str, int], Path] = {}
    found: list[CandidateTrace] = []
    live = {spec.name for spec in recipe.models.strong}
    for path in recipe.generate.imported:
        for row in read(path, CandidateTrace):
            key = (row.question_id, row.strong_model, row.draw)
            if row.strong_model in live or key in taken:
                other = taken.get(key, "models.strong of the recipe")
                raise InputFileError(
                    f"{path}: the candidate {row.strong_model}, draw {row.draw}, of question "
                    f"{row.question_id} is in {other} too; import those traces together, or give "
                    "the model another name"
                )
            taken[key] = path
            if (question := known.get(row.question_id)) is not None:
                found.append(_checked(row, question, check=check, settings=recipe.generate))
    return found


def _checked(
    row: CandidateTrace,
    question: Question,
    *,
    check: Callable[[str, str], Verdict],
    settings: GenerateSettings,
) -> CandidateTrace:
    """A stored candidate as this build sees it; one that was refused stays refused."""
    if row.refusal is not None and row.refusal is not Refusal.ANSWER_LEAK:
        return row
    reply = ChatReply(
        content=row.step_reasoning,
        reasoning=row.normal_reasoning,
        finish_reason=FinishReason.STOP,
        usage=Usage(),
        model=row.model,
    )
    return candidate_from_reply(
        question,
        strong_model=row.strong_model,
        draw=row.draw,
        reply=reply,
        check=check,
        settings=settings,
    )


def with_titles(content: str) -> str:
    """Visible text as '##' steps, one a paragraph, its final answer as the last step.

    For replies that were not asked for steps: Step-Mask needs some. Text that has a step or states
    no final answer stays as it is. Departure: ours; the paper's traces bring their own titles.
    """
    answer = final_answer(content)
    if answer is None or re.search(r"^##(?!#)", content, re.MULTILINE):
        return content
    plain = re.sub(r"^#+ *", "", content, flags=re.MULTILINE)
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", plain) if part.strip()]
    titled = [f"## Step {number}\n{text}" for number, text in enumerate(paragraphs, start=1)]
    return "\n\n".join([*titled, f"## Final Answer\n{answer}"])


def short_name(model: str) -> str:
    """A model id as a name of letters, digits, dots, dashes and underscores."""
    kept = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in model
    )
    return "-".join(part for part in kept.split("-") if part)[:100] or "unknown"


def _question(row: Mapping[str, Any], known: Mapping[str, Question]) -> Question:
    given_id = answer_text(row.get("id"))
    stored = known.get(given_id or "")
    text = row.get("question", stored.question if stored else None)
    answer = answer_text(row.get("gold", row.get("answer", stored.answer if stored else None)))
    if answer is None:
        raise _NoCandidateError(
            "no_gold_answer", "no 'gold' or 'answer', and no question file that has one for its id"
        )
    if not isinstance(text, str) or not text.strip():
        raise _NoCandidateError("no_question", "no text 'question', and none in a question file")
    return Question(
        id=given_id or f"q-{content_hash(text.strip())[:16]}", question=text.strip(), answer=answer
    )


def _reply(row: Mapping[str, Any]) -> ChatReply:
    model = row.get("model") if isinstance(row.get("model"), str) else ""
    if isinstance(response := row.get("response_object"), Mapping):
        try:
            return parse_completion(response)
        except ReplyFormatError as error:
            raise _NoCandidateError("bad_response_object", str(error)) from error
    reasoning, content = row.get("reasoning_content", row.get("reasoning")), row.get("content")
    if isinstance(content, str) and isinstance(reasoning, str | None):
        if reasoning is None:
            reasoning, content = split_thinking(content)
    elif isinstance(raw := row.get("raw"), str):
        reasoning, content = _split_raw(raw)
    else:
        raise _NoCandidateError(
            "no_reply", "neither 'content' nor 'raw' text nor a 'response_object'"
        )
    return ChatReply(
        content=content,
        reasoning=reasoning,
        finish_reason=finish_reason(row.get("finish_reason", "stop")),
        usage=Usage(),
        model=str(model),
    )


def _split_raw(raw: str) -> tuple[str | None, str]:
    if raw.startswith(_S1_OPENS) and _S1_ANSWERS in raw:  # the plain-text form of s1 models
        reasoning, _, content = raw.removeprefix(_S1_OPENS).partition(_S1_ANSWERS)
        return reasoning.strip(), content.strip()
    return split_thinking(raw)


def _rejection(row: Mapping[str, Any], number: int, bad: _NoCandidateError) -> Rejection:
    return Rejection(
        question_id=answer_text(row.get("id")) or f"row-{number}",
        stage="import",
        kind=RejectionKind.DROPPED,
        reason=bad.reason,
        detail=f"row {number}: {bad.detail}",
        model=str(row.get("model") or ""),
    )
