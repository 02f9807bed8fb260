"""What the weak model says of the candidates of some questions, for the selectors that ask it.

Three ways to read a trace serve five selectors:

========  =====================================================================================
reading   what is read, after the question in the chat template
========  =====================================================================================
whole     `<think> trace </think> answer` once: log_probability, rank_surprisal (all tokens),
          solution_likelihood (the answer's tokens)
local     every sentence of the trace after the few before it: local_naturalness
cutting   the question with the filter's instruction (SOLVE), and beginnings of the trace, each
          followed by the answer in a box: binary_cutting
========  =====================================================================================
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from weak2wise_core.config import SelectionSettings, Selector, SFTFormatSettings
from weak2wise_core.llm.forced import Fit, Passage, PassageReader
from weak2wise_core.prompts import Prompt
from weak2wise_core.records import CandidateTrace, Message, Question, TraceMeasure
from weak2wise_core.selectors.formulas import (
    BinaryCut,
    local_naturalness,
    mean_log_probability,
    rank_surprisal_ratio,
    solution_likelihood,
)
from weak2wise_core.sft import sft_prompt
from weak2wise_core.truncation import sentences

MEASURED_BY = "1"
"""Version of everything here that decides a value; bump it when the same inputs give another."""
_OPENING, _CLOSING = "<think> ", " </think>"


class ReadingKind(StrEnum):
    """How a trace is read."""

    WHOLE = "whole"
    LOCAL = "local"
    CUTTING = "cutting"


SERVES: Mapping[ReadingKind, tuple[Selector, ...]] = {
    ReadingKind.WHOLE: (
        Selector.LOG_PROBABILITY,
        Selector.RANK_SURPRISAL,
        Selector.SOLUTION_LIKELIHOOD,
    ),
    ReadingKind.LOCAL: (Selector.LOCAL_NATURALNESS,),
    ReadingKind.CUTTING: (Selector.BINARY_CUTTING,),
}
"""The selectors that a reading has the values of."""


def readings_for(selectors: Iterable[Selector]) -> list[ReadingKind]:
    """The readings that some selectors need, in a fixed order; none for those that read nothing."""
    wanted = set(selectors)
    return [kind for kind, served in SERVES.items() if wanted & set(served)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurer:
    """What it takes to measure."""

    reader: PassageReader
    """The weak model."""
    count_tokens: Callable[[str], int]
    """Its tokenizer."""
    selection: SelectionSettings
    sft: SFTFormatSettings
    solve: Prompt
    """The filter's question to the weak model, which asks for a boxed answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """A candidate with what stands before and after it."""

    candidate: CandidateTrace
    question: Question
    messages: tuple[Message, ...]
    thinking: str
    answer: str

    def measure(self, selector: Selector, value: float | None) -> TraceMeasure:
        return TraceMeasure(
            question_id=self.candidate.question_id,
            strong_model=self.candidate.strong_model,
            draw=self.candidate.draw,
            selector=selector.value,
            value=value,
        )


async def measure(
    questions: Sequence[Question],
    candidates: Sequence[CandidateTrace],
    *,
    kind: ReadingKind,
    measurer: Measurer,
) -> list[TraceMeasure]:
    """Read candidates in one way; a row for each and for each selector that the reading serves.

    Args:
        questions: At least those of the candidates.
        candidates: In any order; the rows are in theirs.
        kind: How they are read.
        measurer: Model and settings.

    Raises:
        FatalModelError: The model cannot be loaded, or has failed.
        RequestRefusedError: Its chat template does not take a user's turn.
    """
    by_id = {question.id: question for question in questions}
    traces = [_trace(one, by_id[one.question_id], measurer) for one in candidates]
    if kind is ReadingKind.WHOLE:
        return await _whole(traces, measurer)
    if kind is ReadingKind.LOCAL:
        return await _local(traces, measurer)
    return await _cutting(traces, measurer)


def _trace(candidate: CandidateTrace, question: Question, measurer: Measurer) -> _Trace:
    prompt = sft_prompt(question, settings=measurer.sft)
    return _Trace(
        candidate=candidate,
        question=question,
        messages=(Message(role="user", content=prompt),),
        thinking=candidate.normal_reasoning.strip(),
        answer=f" {question.answer.strip()}",
    )


async def _whole(traces: Sequence[_Trace], measurer: Measurer) -> list[TraceMeasure]:
    passages = [
        Passage(messages=t.messages, pieces=(f"{_OPENING}{t.thinking}{_CLOSING}", t.answer))
        for t in traces
    ]
    read = await measurer.reader.read(passages)
    return [
        trace.measure(selector, None if fits is None else _value(selector, fits, measurer))
        for trace, fits in zip(traces, read, strict=True)
        for selector in SERVES[ReadingKind.WHOLE]
    ]


def _value(selector: Selector, fits: Sequence[Fit], measurer: Measurer) -> float | None:
    logs = [log for fit in fits for log in fit.log_probabilities]
    if selector is Selector.LOG_PROBABILITY:
        return mean_log_probability(logs)
    if selector is Selector.RANK_SURPRISAL:
        ranks = [rank for fit in fits for rank in fit.ranks]
        return rank_surprisal_ratio(logs, ranks, cap=measurer.selection.rank_cap)
    return solution_likelihood(
        fits[-1].log_probabilities, least_weight=measurer.selection.least_weight
    )


async def _local(traces: Sequence[_Trace], measurer: Measurer) -> list[TraceMeasure]:
    steps = [list(sentences(trace.thinking)) for trace in traces]
    passages = [
        _window(trace, told, number, width=measurer.selection.window)
        for trace, told in zip(traces, steps, strict=True)
        for number in range(len(told))
    ]
    read = iter(await measurer.reader.read(passages))
    found = []
    for trace, told in zip(traces, steps, strict=True):
        fits = [next(read) for _ in told]
        logs = [fit[0].log_probabilities for fit in fits if fit is not None]
        value = local_naturalness(logs) if len(logs) == len(told) else None
        found.append(trace.measure(Selector.LOCAL_NATURALNESS, value))
    return found


def _window(trace: _Trace, told: Sequence[str], number: int, *, width: int) -> Passage:
    before = told[max(0, number - width) : number]
    given = _OPENING + "".join(f"{sentence} " for sentence in before)
    return Passage(messages=trace.messages, given=given, pieces=(told[number],))


async def _cutting(traces: Sequence[_Trace], measurer: Measurer) -> list[TraceMeasure]:
    """All searches advance together: one batch of beginnings a round."""
    told = [list(_beginnings(trace.thinking)) for trace in traces]
    searches = [BinaryCut(len(one)) for one in told]
    while asked := [(n, kept) for n, one in enumerate(searches) if (kept := one.asks) is not None]:
        passages = [_boxed(traces[n], told[n][kept - 1], solve=measurer.solve) for n, kept in asked]
        for (n, _), fits in zip(asked, await measurer.reader.read(passages), strict=True):
            searches[n].answer(enough=fits is not None and _is_greedy(fits[0]))
    return [
        trace.measure(
            Selector.BINARY_CUTTING,
            None if search.found is None else float(measurer.count_tokens(parts[search.found - 1])),
        )
        for trace, parts, search in zip(traces, told, searches, strict=True)
    ]


def _beginnings(thinking: str) -> Iterable[str]:
    """Every beginning of a trace that ends with a sentence, the shortest first."""
    end = 0
    for sentence in sentences(thinking):
        end = thinking.index(sentence, end) + len(sentence)
        yield thinking[:end]


def _boxed(trace: _Trace, text: str, *, solve: Prompt) -> Passage:
    """A beginning of a trace, and the answer in a box, which the model is about to fill in."""
    request = solve.fill(question=trace.question.question)
    return Passage(
        messages=(Message(role="user", content=request),),
        given=rf"{_OPENING}{text}{_CLOSING} \boxed{{",
        pieces=(f"{trace.question.answer.strip()}}}",),
    )


def _is_greedy(fit: Fit) -> bool:
    """Whether greedy decoding would write exactly this text."""
    return all(rank == 1 for rank in fit.ranks)


def deciding(settings: SelectionSettings) -> dict[str, object]:
    """The settings that decide a value; who chooses in the end does not."""
    return settings.model_dump(mode="json", include={"window", "rank_cap", "least_weight"})
