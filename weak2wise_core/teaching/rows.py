"""Answers of models as rows to train on; what cannot be trained on leaves by name.

The length gate counts prompt and reply in the tokens and the template of the model that is trained;
of a pair, the prompt with either reply must fit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from weak2wise_core.config import TrainingSettings
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import find_control_token
from weak2wise_core.records import (
    Answer,
    Message,
    Question,
    Rejection,
    RejectionKind,
    SFTExample,
    Truncation,
    Verdict,
)
from weak2wise_core.related.records import PlainExample, PreferencePair, Response, TeacherTrace

STAGE = "format"

CountTokens: TypeAlias = Callable[[str, str], int]
"""Tokens of a prompt and its reply in the template of the model that is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Rows to fine-tune on, and what left."""

    rows: tuple[SFTExample, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs to train on, and what left."""

    rows: tuple[PreferencePair, ...]
    rejections: tuple[Rejection, ...]


def counter(tokens: Tokens) -> CountTokens:
    """Counts the tokens of a prompt and its reply in a model's own template."""

    def count(prompt: str, reply: str) -> int:
        return tokens.count_example([Message(role="user", content=prompt)], response=reply)

    return count


def with_suffix(question: str, suffix: str) -> str:
    """A question as it is asked in an evaluation: the suffix follows after a blank line."""
    return f"{question}\n\n{suffix}" if suffix else question


def said(answer: Answer) -> str:
    """The whole of an answer in plain text: the thinking first, without its tags."""
    parts = (answer.reasoning.strip(), answer.content.strip())
    return "\n\n".join(part for part in parts if part)


def responses(
    answers: Iterable[Answer], *, questions: Mapping[str, Question], suffix: str
) -> list[Response]:
    """Answers as the responses that agreement and contrast compare.

    Args:
        answers: Of one model.
        questions: By id.
        suffix: What follows a question where the trained model is asked; its prompt is not the one
            that was sent, which may have shown solved problems.
    """
    return [
        Response(
            id=one.question_id,
            prompt=with_suffix(questions[one.question_id].question, suffix),
            response=said(one),
            gold=questions[one.question_id].answer,
            draw=one.draw,
        )
        for one in answers
    ]


def traces(
    answers: Iterable[Answer], *, questions: Mapping[str, Question], suffix: str
) -> list[TeacherTrace]:
    """Judged answers of the teacher as traces; see `responses` for the prompt."""
    return [
        TeacherTrace(
            id=one.question_id,
            prompt=with_suffix(questions[one.question_id].question, suffix),
            reasoning=one.reasoning,
            content=one.content,
            verdict=one.verdict,
            finish_reason=one.finish_reason,
            draw=one.draw,
        )
        for one in answers
    ]


def trace_examples(
    kept: Iterable[TeacherTrace],
    *,
    answers: Mapping[str, str],
    settings: TrainingSettings,
    count_tokens: CountTokens,
) -> Examples:
    """Traces as rows of a fine-tuning set.

    Args:
        kept: The traces of the selection.
        answers: Ground truths by question.
        settings: `max_length` is the gate; with `thinking` a trace must show its thinking in tags,
            without it thinking and visible reply are one text.
        count_tokens: For the gate.

    Returns:
        The rows; a trace leaves as `no_thinking` or `over_length`. The score of a row is 1 where
        the final answer is right, else 0.
    """
    drafts = [(trace, _reply(trace, settings)) for trace in kept]
    unthought = [trace for trace, reply in drafts if reply is None]
    rows = [
        _example(
            PlainExample(id=trace.id, prompt=trace.prompt, response=reply),
            answer=answers.get(trace.id, ""),
            by="teacher",
            draw=trace.draw,
            score=float(trace.verdict is Verdict.CORRECT),
            count_tokens=count_tokens,
        )
        for trace, reply in drafts
        if reply is not None
    ]
    gated = gate(rows, longest=settings.max_length)
    lost = [
        _dropped(one.id, "no_thinking", "the reply shows no thinking, and training.thinking asks "
                 "for it", model="teacher", draw=one.draw)
        for one in unthought
    ]  # fmt: skip
    return Examples(rows=gated.rows, rejections=(*lost, *gated.rejections))


def _reply(trace: TeacherTrace, settings: TrainingSettings) -> str | None:
    """What the student learns to say; None where the trace has no thinking to show."""
    if settings.thinking:
        shown = trace.reasoning.strip() and trace.content.strip()
        return trace.response if shown else None
    parts = (trace.reasoning.strip(), trace.content.strip())
    return "\n\n".join(part for part in parts if part)


def plain_examples(
    rows: Iterable[tuple[PlainExample, str]],
    *,
    answers: Mapping[str, str],
    longest: int,
    count_tokens: CountTokens,
) -> Examples:
    """Agreed responses as rows of a fine-tuning set; no ground truth takes part.

    Args:
        rows: Examples, each with the name of the model that wrote it.
        answers: What both models answer, by question.
        longest: The gate, in tokens.
        count_tokens: For the gate.

    Returns:
        The rows; one leaves as `control_token` or `over_length`.
    """
    given = list(rows)
    faulty = [(one, by) for one, by in given if find_control_token(one.response)]
    kept = [
        _example(
            one, answer=answers.get(one.id, ""), by=by, draw=0, score=0.0, count_tokens=count_tokens
        )
        for one, by in given
        if not find_control_token(one.response)
    ]
    gated = gate(kept, longest=longest)
    lost = [
        _dropped(one.id, "control_token", "the reply holds a command of a chat template", model=by)
        for one, by in faulty
    ]
    return Examples(rows=gated.rows, rejections=(*lost, *gated.rejections))


def _example(
    one: PlainExample,
    *,
    answer: str,
    by: str,
    draw: int,
    score: float,
    count_tokens: CountTokens,
) -> SFTExample:
    return SFTExample(
        question_id=one.id,
        prompt=one.prompt,
        response=one.response,
        answer=answer,
        strong_model=by,
        draw=draw,
        score=score,
        truncation=Truncation.NOT_NEEDED,
        tokens=count_tokens(one.prompt, one.response),
    )


def gate(rows: Sequence[SFTExample], *, longest: int) -> Examples:
    """The length gate: what training would cut is left out by name, never cut."""
    lost = [
        _dropped(row.question_id, "over_length", _too_long(row.tokens, longest),
                 model=row.strong_model, draw=row.draw)
        for row in rows
        if row.tokens > longest
    ]  # fmt: skip
    return Examples(
        rows=tuple(row for row in rows if row.tokens <= longest), rejections=tuple(lost)
    )


def fitting_pairs(
    pairs: Iterable[PreferencePair], *, longest: int, count_tokens: CountTokens
) -> Pairs:
    """The pairs that training reads whole.

    Returns:
        Pairs whose prompt fits with either reply. One leaves as `control_token`, `same_reply`,
        `empty_reply` or `over_length`.
    """
    kept: list[PreferencePair] = []
    lost: list[Rejection] = []
    for pair in pairs:
        fault = _fault(pair, longest=longest, count_tokens=count_tokens)
        if fault is None:
            kept.append(pair)
        else:
            lost.append(_dropped(pair.id, *fault))
    return Pairs(rows=tuple(kept), rejections=tuple(lost))


def _fault(
    pair: PreferencePair, *, longest: int, count_tokens: CountTokens
) -> tuple[str, str] | None:
    replies = (pair.chosen, pair.rejected)
    if not all(reply.strip() for reply in replies):
        return "empty_reply", "the chosen or the rejected reply is empty"
    if any(find_control_token(reply) for reply in replies):
        return "control_token", "a reply holds a command of a chat template"
    if pair.chosen.strip() == pair.rejected.strip():
        return "same_reply", "the chosen and the rejected reply are the same"
    tokens = max(count_tokens(pair.prompt, reply) for reply in replies)
    return ("over_length", _too_long(tokens, longest)) if tokens > longest else None


def _too_long(tokens: int, longest: int) -> str:
    return f"{tokens} tokens, more than max_length {longest}: training would cut the end off"


def _dropped(
    question_id: str, reason: str, detail: str, *, model: str = "", draw: int | None = None
) -> Rejection:
    return Rejection(
        question_id=question_id,
        stage=STAGE,
        kind=RejectionKind.DROPPED,
        reason=reason,
        detail=detail,
        model=model,
        draw=draw,
    )
