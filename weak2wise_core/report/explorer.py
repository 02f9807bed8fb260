"""Every question of a dataset as data for the page: an index, and pieces that are opened late.

A page must stay small enough to be opened and sent. Where the texts of a dataset are more than
that, the longest are cut, and the page says so; the tables beside it have them whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from weak2wise_core.audits import CONTAMINATED
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.grouping import rows_by_question
from weak2wise_core.masking import shown_length
from weak2wise_core.records import (
    Attempt,
    Audit,
    CandidateTrace,
    Finding,
    GoldenReasoning,
    GoldenSource,
    MaskOutcomes,
    Question,
    Rejection,
    ScoredTrace,
    Verdict,
)
from weak2wise_core.report.measured import measures_by_candidate
from weak2wise_core.report.packing import WHOLE, Lengths, packed, shortened
from weak2wise_core.report.reasons import why_it_won
from weak2wise_core.report.tables import Key, Tables, key_of, scored
from weak2wise_core.steps import Step, split_steps
from weak2wise_core.stores.portions import Portion

QUESTIONS_A_PIECE: Final = 40
MOST_QUESTIONS: Final = 20_000
"""Rows in a page; the tables have the others."""
MOST_CHARACTERS: Final = 36_000_000
"""Of all texts in a page together, before they are compressed."""
GOLDEN_SHARE: Final = 4
"""How many times as much is left of a golden trace."""
_EXCERPT: Final = 200
_COLUMNS: Final = ("id", "question", "status", "reason", "teacher", "score", "tokens", "marks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explorer:
    """What the page needs to search, filter and open questions."""

    index: str
    """One list for every column, compressed."""
    pieces: tuple[str, ...]
    """Details of the questions, `QUESTIONS_A_PIECE` to one, compressed."""
    limit: int | None
    """Characters that a text was cut to; None where all are whole."""
    rows: int
    left_out: int
    """Rows that are not in the page."""


def explorer(tables: Tables, lengths: Lengths, *, most_characters: int | None = None) -> Explorer:
    """The rows of a dataset, in the order of its questions; rows without a question come last.

    Args:
        tables: The dataset.
        lengths: How long the texts of its first `MOST_QUESTIONS` questions are.
        most_characters: What the texts of the page may have together; `MOST_CHARACTERS` by default.
    """
    limit = lengths.fitting_limit(MOST_CHARACTERS if most_characters is None else most_characters)
    rows = _Rows(tables, limit=limit)
    index, pieces = _Index(), []
    details = islice(rows.details(), MOST_QUESTIONS)
    while piece := list(islice(details, QUESTIONS_A_PIECE)):
        for one in piece:
            index.add(one)
        pieces.append(packed(piece))
    return Explorer(
        index=packed(index.columns),
        pieces=tuple(pieces),
        limit=None if limit == WHOLE else limit,
        rows=len(index.columns["id"]),
        left_out=rows.count - len(index.columns["id"]),
    )


def long_texts(portion: Portion) -> Iterator[tuple[str, int]]:
    """Every long text of a question, and how many times the limit it may have where it is cut."""
    for attempt in portion.attempts:
        yield attempt.attempt, 1
    won = _won(portion)
    for one in portion.candidates:
        share = _share(one, won)
        yield one.normal_reasoning, share
        yield one.step_reasoning, share
    for outcomes in portion.outcomes:
        yield from ((text, 1) for text in outcomes.attempts)


def _won(portion: Portion) -> set[Key]:
    return {key_of(one) for one in portion.golden}


def _share(one: CandidateTrace, won: Set[Key]) -> int:
    return GOLDEN_SHARE if key_of(one) in won else 1


@dataclass(slots=True)
class _Index:
    """What the list of questions shows and filters by, column by column."""

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, one: Mapping[str, Any]) -> None:
        golden = one["golden"]
        row = {
            "id": one["id"],
            "question": _head(one["question"]),
            "status": one["status"],
            "reason": one["reason"],
            "teacher": golden["model"] if golden else "",
            "score": _score(one),
            "tokens": golden["after"] if golden else None,
            "marks": _marks(one),
        }
        for name, value in row.items():
            self.columns[name].append(value)


def _score(detail: Mapping[str, Any]) -> float | None:
    """The golden score, or the best one that is known."""
    if detail["golden"]:
        return float(detail["golden"]["score"])
    known = [one["score"] for one in detail["candidates"] if one.get("score") is not None]
    return max(known, default=None)


def _marks(detail: Mapping[str, Any]) -> list[str]:
    """What a question can be filtered by, beside its state."""
    golden = detail["golden"]
    cut = golden is not None and golden["truncation"] not in ("not_needed", "none_could")
    zero = detail["reason"] in ("zero_score", "awaiting_annotation") or (
        golden is not None and golden["score"] == 0
    )
    found = {one["audit"] for one in detail["findings"]}
    return [*(["truncated"] if cut else []), *(["zero"] if zero else []), *sorted(found)]


def _head(text: Any) -> str:
    whole = text if isinstance(text, str) else text["head"]
    return " ".join(whole[: 2 * _EXCERPT].split())[:_EXCERPT]


class _Rows:
    """The rows of a dataset as the page shows them."""

    def __init__(self, tables: Tables, *, limit: int) -> None:
        self._tables = tables
        self._limit = limit
        self._findings = rows_by_question(tables.findings)
        self._step_mask = tables.step_mask
        known = {one.id for one in tables.questions}
        self._before = [one for one in tables.rejections if _is_before(one, known)]
        self._left = {
            one.question_id: one for one in tables.rejections if not _is_before(one, known)
        }
        self._selector = tables.manifest["settings"].get("selection", {}).get("by", "step_mask")
        self.count = len(tables.questions) + len(self._before)

    def details(self) -> Iterator[dict[str, Any]]:
        """Everything that the page shows of one row after the other."""
        for question, portion in self._tables.by_question():
            yield self._detail(question, portion)
        for one in self._before:
            yield self._without_question(one)

    def _detail(self, question: Question, portion: Portion) -> dict[str, Any]:
        limit = self._limit
        status, reason, why = self._status(portion)
        scores = scored(portion.outcomes, self._step_mask)
        golden = portion.golden[0] if portion.golden else None
        attempt = portion.attempts[0] if portion.attempts else None
        return {
            "id": question.id,
            "question": shortened(question.question, 4 * _EXCERPT + limit),
            "answer": question.answer,
            "status": status,
            "reason": reason,
            "detail": why,
            "attempt": _attempt(attempt, limit) if attempt else None,
            "candidates": self._candidates(portion, scores),
            "golden": _golden(golden, limit) if golden else None,
            "why": why_it_won(golden, scores, selector=self._selector) if golden else "",
            "findings": [_finding(one) for one in self._findings.get(question.id, [])],
        }

    def _without_question(self, one: Rejection) -> dict[str, Any]:
        found = self._findings.get(one.question_id, []) if one.reason == CONTAMINATED else []
        return {
            "id": one.question_id,
            "question": "",
            "answer": "",
            "status": one.kind.value,
            "reason": one.reason,
            "detail": one.detail,
            "attempt": None,
            "candidates": [],
            "golden": None,
            "why": "",
            "findings": [_finding(item) for item in found if item.audit is Audit.CONTAMINATED],
        }

    def _status(self, portion: Portion) -> tuple[str, str, str]:
        """What became of a question: a state, and of one that left the reason and the sentence."""
        if portion.train:
            return "trained on", "", ""
        if (left := self._left.get(portion.question_id)) is not None:
            return left.kind.value, left.reason, left.detail
        return "solved", "", "The weak model answers it unaided."

    def _candidates(self, portion: Portion, scores: Iterable[ScoredTrace]) -> list[dict[str, Any]]:
        outcomes = {key_of(one): one for one in portion.outcomes}
        by_key = {key_of(one): one for one in scores}
        measures = measures_by_candidate(portion.measures)
        won = _won(portion)
        return [
            self._candidate(one, self._limit * _share(one, won))
            | (_levels(outcomes[key], self._limit) if key in outcomes else {})
            | (_scores(by_key[key]) if key in by_key else {})
            | ({"measures": measures[key]} if key in measures else {})
            for one in portion.candidates
            for key in [key_of(one)]
        ]

    def _candidate(self, one: CandidateTrace, limit: int) -> dict[str, Any]:
        granularity = self._step_mask.granularity
        return {
            "model": one.strong_model,
            "draw": one.draw,
            "returned": one.model,
            "refusal": one.refusal.value if one.refusal else "",
            "note": one.detail,
            "thinking": shortened(one.normal_reasoning, limit),
            "steps": shortened(one.step_reasoning, limit),
            "shown": shown_lengths(one.step_reasoning, granularity=granularity),
        }


def _is_before(one: Rejection, known: Set[str]) -> bool:
    """Whether a row of the file left before it became a question."""
    return one.stage == "load" or one.question_id not in known


def _attempt(one: Attempt, limit: int) -> dict[str, Any]:
    return {
        "text": shortened(one.attempt, limit),
        "verdict": one.verdict.value,
        "by": one.judged_by.value,
        "votes": [vote.value for vote in one.votes],
        "finish": one.finish_reason.value,
    }


def shown_lengths(step_reasoning: str, *, granularity: int) -> list[list[int]]:
    """How much of every step a hint shows, by the same rule that masks it.

    Returns:
        For every step the code points of its text, then those that are shown at each mask level,
        lightest first; -1 for a final step, of which nothing is shown, not even a beginning. Empty
        where there are no steps.
    """
    try:
        steps = split_steps(step_reasoning)
    except TraceFormatError:
        return []
    return [[len(step.text), *_shown(step, granularity)] for step in steps]


def _shown(step: Step, granularity: int) -> list[int]:
    if step.is_final:
        return [-1] * granularity
    levels = range(granularity)
    return [shown_length(step.text, level=one, granularity=granularity) for one in levels]


def _levels(outcomes: MaskOutcomes, limit: int) -> dict[str, Any]:
    cells = zip(outcomes.outcomes, outcomes.asked, strict=True)
    return {
        "tokens": outcomes.normal_tokens,
        "outcomes": [_cell(verdict, asked) for verdict, asked in cells],
        "attempts": [shortened(text, limit) for text in outcomes.attempts],
        "by": [who.value for who in outcomes.judged_by],
        "votes": [[vote.value for vote in cast] for cast in outcomes.votes],
    }


def _cell(verdict: Verdict, asked: bool) -> str:
    return verdict.value if asked else "not asked"


def _scores(one: ScoredTrace) -> dict[str, Any]:
    return {"score": one.score, "lower": one.lower, "upper": one.upper}


def _golden(one: GoldenReasoning, limit: int) -> dict[str, Any]:
    written = one.source is GoldenSource.ANNOTATION
    return {
        "model": one.strong_model,
        "draw": one.draw,
        "source": one.source.value,
        "score": one.score,
        "truncation": one.truncation.value,
        "before": one.normal_tokens,
        "after": one.golden_tokens,
        "kept": len(one.golden_reasoning),
        "text": shortened(one.golden_reasoning, limit) if written else "",
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "audit": one.audit.value,
        "model": one.strong_model,
        "draw": one.draw,
        "other": one.other_id,
        "detail": one.detail,
    }
