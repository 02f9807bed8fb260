"""Every question of a dataset as data for the page: an index, and pieces that are opened late.

A page must stay small enough to be opened and sent. Where the texts of a dataset are more than
that, the longest are cut, and the page says so; the tables beside it have them whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weak2wise_core.audits import CONTAMINATED
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.masking import shown_length
from weak2wise_core.records import (
    Audit,
    CandidateTrace,
    Finding,
    GoldenReasoning,
    GoldenSource,
    MaskOutcomes,
    Rejection,
    ScoredTrace,
    Verdict,
)
from weak2wise_core.report.packing import WHOLE, fitting_limit, packed, shortened
from weak2wise_core.report.reasons import why_it_won
from weak2wise_core.report.tables import Tables, key_of
from weak2wise_core.steps import Step, split_steps

QUESTIONS_A_PIECE: Final = 40
MOST_QUESTIONS: Final = 20_000
"""Rows in a page; the tables have the others."""
MOST_CHARACTERS: Final = 36_000_000
"""Of all texts in a page together, before they are compressed."""
GOLDEN_SHARE: Final = 4
"""How many times as much is left of a golden trace."""
_EXCERPT: Final = 200

Row = str | Rejection
"""A question by its id, or a row of the question file that never became one."""


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


def explorer(tables: Tables, *, most_characters: int | None = None) -> Explorer:
    """The rows of a dataset, in the order of its questions; rows without a question come last.

    Args:
        tables: The dataset.
        most_characters: What the texts of the page may have together; `MOST_CHARACTERS` by default.
    """
    rows = _Rows(tables)
    taken = rows.all[:MOST_QUESTIONS]
    texts = [text for one in taken for text in rows.texts(one)]
    most = MOST_CHARACTERS if most_characters is None else most_characters
    limit = fitting_limit(texts, most=most)
    details = [rows.detail(one, limit=limit) for one in taken]
    starts = range(0, len(details), QUESTIONS_A_PIECE)
    return Explorer(
        index=packed(_columns(details)),
        pieces=tuple(packed(details[start : start + QUESTIONS_A_PIECE]) for start in starts),
        limit=None if limit == WHOLE else limit,
        rows=len(taken),
        left_out=len(rows.all) - len(taken),
    )


def _columns(details: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What the list of questions shows and filters by, column by column."""
    return {
        "id": [one["id"] for one in details],
        "question": [_head(one["question"]) for one in details],
        "status": [one["status"] for one in details],
        "reason": [one["reason"] for one in details],
        "teacher": [one["golden"]["model"] if one["golden"] else "" for one in details],
        "score": [_score(one) for one in details],
        "tokens": [one["golden"]["after"] if one["golden"] else None for one in details],
        "marks": [_marks(one) for one in details],
    }


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
    """The tables of a dataset by question."""

    def __init__(self, tables: Tables) -> None:
        self._questions = {one.id: one for one in tables.questions}
        self._attempts = {one.question_id: one for one in tables.attempts}
        self._candidates = _grouped(tables.candidates)
        self._outcomes = {key_of(one): one for one in tables.outcomes}
        self._scores = {key_of(one): one for one in tables.scores}
        self._scored = _grouped(tables.scores)
        self._golden = {one.question_id: one for one in tables.golden}
        self._train = {one.question_id for one in tables.train}
        self._findings = _grouped(tables.findings)
        before = [one for one in tables.rejections if self._is_before(one)]
        self._left = {one.question_id: one for one in tables.rejections if not self._is_before(one)}
        self._selector = tables.manifest["settings"].get("selection", {}).get("by", "step_mask")
        self._granularity = int(tables.manifest["settings"]["step_mask"]["granularity"])
        self.all: list[Row] = [*self._questions, *before]

    def _is_before(self, one: Rejection) -> bool:
        """Whether a row of the file left before it became a question."""
        return one.stage == "load" or one.question_id not in self._questions

    def texts(self, row: Row) -> Iterator[tuple[str, int]]:
        """Every long text of a row, and how much of it is left where texts are cut."""
        question_id = row if isinstance(row, str) else ""
        if (attempt := self._attempts.get(question_id)) is not None:
            yield attempt.attempt, 1
        for one in self._candidates.get(question_id, []):
            share = self._share(one)
            yield one.normal_reasoning, share
            yield one.step_reasoning, share
            if (outcomes := self._outcomes.get(key_of(one))) is not None:
                yield from ((text, 1) for text in outcomes.attempts)

    def _share(self, one: CandidateTrace) -> int:
        golden = self._golden.get(one.question_id)
        return GOLDEN_SHARE if golden is not None and key_of(golden) == key_of(one) else 1

    def detail(self, row: Row, *, limit: int) -> dict[str, Any]:
        """Everything that the page shows of one row."""
        if isinstance(row, Rejection):
            return self._without_question(row)
        question_id, question = row, self._questions[row]
        golden = self._golden.get(question_id)
        status, reason, why = self._status(question_id)
        scored = self._scored.get(question_id, [])
        return {
            "id": question_id,
            "question": shortened(question.question, 4 * _EXCERPT + limit),
            "answer": question.answer,
            "status": status,
            "reason": reason,
            "detail": why,
            "attempt": self._attempt(question_id, limit),
            "candidates": [
                self._candidate(one, limit) for one in self._candidates.get(question_id, [])
            ],
            "golden": _golden(golden, limit) if golden else None,
            "why": why_it_won(golden, scored, selector=self._selector) if golden else "",
            "findings": [_finding(one) for one in self._findings.get(question_id, [])],
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

    def _status(self, question_id: str) -> tuple[str, str, str]:
        """What became of a question: a state, and of one that left the reason and the sentence."""
        if question_id in self._train:
            return "trained on", "", ""
        if (left := self._left.get(question_id)) is not None:
            return left.kind.value, left.reason, left.detail
        return "solved", "", "The weak model answers it unaided."

    def _attempt(self, question_id: str, limit: int) -> dict[str, Any] | None:
        one = self._attempts.get(question_id)
        if one is None:
            return None
        return {
            "text": shortened(one.attempt, limit),
            "verdict": one.verdict.value,
            "by": one.judged_by.value,
            "votes": [vote.value for vote in one.votes],
            "finish": one.finish_reason.value,
        }

    def _candidate(self, one: CandidateTrace, limit: int) -> dict[str, Any]:
        outcomes, score = self._outcomes.get(key_of(one)), self._scores.get(key_of(one))
        return {
            "model": one.strong_model,
            "draw": one.draw,
            "returned": one.model,
            "refusal": one.refusal.value if one.refusal else "",
            "note": one.detail,
            "thinking": shortened(one.normal_reasoning, limit * self._share(one)),
            "steps": shortened(one.step_reasoning, limit * self._share(one)),
            "shown": shown_lengths(one.step_reasoning, granularity=self._granularity),
            **(_levels(outcomes, limit) if outcomes else {}),
            **(_scores(score) if score else {}),
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


def _grouped(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Rows by the question that they belong to."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.question_id].append(row)
    return found
