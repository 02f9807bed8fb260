"""The nouns of the method, as frozen records.

A question travels: `Question` -> `Attempt` -> `CandidateTrace` -> `MaskOutcomes` -> `ScoredTrace`
-> `GoldenReasoning` -> `SFTExample`. Whatever leaves this road on the way leaves as a `Rejection`.
Records hold plain values only, so that each one has a content hash and a Parquet row.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NoReturn, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant"]


class Verdict(StrEnum):
    """What is known about an answer. Not judged is not the same as incorrect."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNJUDGED = "unjudged"

    def __bool__(self) -> NoReturn:
        """Refuse to be read as true or false: a third state would be lost."""
        raise TypeError("a Verdict has three states; write `verdict is Verdict.CORRECT`")


class FinishReason(StrEnum):
    """Why a model stopped. A reply cut by `LENGTH` looks like a trace and is none."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"


class Refusal(StrEnum):
    """Why a candidate trace cannot be used (section 3.3)."""

    NO_THINKING = "no_thinking"
    NO_STEP = "no_step"
    NO_FINAL_ANSWER = "no_final_answer"
    WRONG_FINAL_ANSWER = "wrong_final_answer"
    CUT_BY_LENGTH = "cut_by_length"
    CONTENT_FILTER = "content_filter"
    ERROR_TEXT = "error_text"
    REQUEST_REFUSED = "request_refused"
    ANSWER_LEAK = "answer_leak"
    TOLD_ANSWER = "told_answer"


class JudgedBy(StrEnum):
    """Which kind of judge decided."""

    RULE = "rule"
    MODEL = "model"
    NOBODY = "nobody"


class RejectionKind(StrEnum):
    """Dropped is final and would happen again; quarantined is a failure that a rerun may mend."""

    DROPPED = "dropped"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one reply, as the server counted them."""

    prompt_tokens: int = 0
    """Tokens of the prompt, cached ones included."""
    completion_tokens: int = 0
    """Tokens of the reply, thinking included."""
    reasoning_tokens: int = 0
    """The part of `completion_tokens` spent on thinking, 0 where the server does not say."""
    cached_tokens: int = 0
    """The part of `prompt_tokens` that the server had in its prefix cache."""

    @property
    def counted(self) -> bool:
        """Whether the server counted at all: no prompt has no token."""
        return bool(self.prompt_tokens or self.completion_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """A reply of any model, taken apart."""

    content: str
    """The visible text, without thinking."""
    reasoning: str | None
    """The thinking, or None where the model showed none."""
    finish_reason: FinishReason
    usage: Usage
    model: str
    """The model id that the reply itself names; aliases move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the replies behind one row took from one model, whether paid now or stored earlier."""

    model: str
    """The name under which the recipe's model is counted."""
    returned: str
    """The model id that the replies named."""
    calls: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its ground-truth answer."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge said about one attempt."""

    verdict: Verdict
    judged_by: JudgedBy
    votes: tuple[Verdict, ...] = ()
    """The valid and invalid votes in the order they were cast; empty when a rule decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The unaided answer of the weak model to one question, judged (section 3.2)."""

    question_id: str
    attempt: str
    finish_reason: FinishReason
    verdict: Verdict
    judged_by: JudgedBy
    votes: tuple[Verdict, ...]
    model: str
    """The model id that the reply itself named."""
    spent: tuple[Spent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said to one prompt without knowing the answer (the related methods)."""

    question_id: str
    prompt: str
    """The user's turn, as it was sent."""
    draw: int
    """Which of the repeated samples, from 0; part of the identity."""
    reasoning: str
    """The thinking; empty where the model showed none."""
    content: str
    """The visible text."""
    finish_reason: FinishReason
    verdict: Verdict
    """By rule, against the ground truth; UNJUDGED where no rule is certain or nobody judged."""
    model: str
    """The model id that the reply itself named."""
    spent: tuple[Spent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateTrace:
    """One response of a strong model: both traces of a pair (section 3.3)."""

    question_id: str
    strong_model: str
    """The name that the recipe gives to the strong model."""
    draw: int
    """Which of the repeated samples, from 0; part of the identity."""
    normal_reasoning: str
    """The thinking: trained on, never scored."""
    step_reasoning: str
    """The visible steps: scored, never trained on."""
    refusal: Refusal | None
    """Why the candidate cannot be used, or None."""
    detail: str
    """What was found, where `refusal` or an audit needs words; else empty."""
    answer_leak: bool
    """The answer stands in the clear in a step before the last."""
    told_answer: bool
    """The thinking betrays that it was told the answer."""
    steps_disagree: bool = False
    """The thinking ends with another answer than the steps state."""
    model: str
    """The model id that the reply itself named."""
    spent: tuple[Spent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskOutcomes:
    """What the weak model could answer with one candidate as its hint (section 3.4).

    The three tuples have one entry per mask level 0..n-1, lightest first. A level that was not
    asked is UNJUDGED with an empty attempt and `asked` False.
    """

    question_id: str
    strong_model: str
    draw: int
    outcomes: tuple[Verdict, ...]
    asked: tuple[bool, ...]
    attempts: tuple[str, ...]
    normal_tokens: int
    """Length of the Normal-Reasoning trace in tokens of the weak model."""
    spent: tuple[Spent, ...]
    judged_by: tuple[JudgedBy, ...] = ()
    """Who decided at each level; empty where it is not known."""
    votes: tuple[tuple[Verdict, ...], ...] = ()
    """The votes at each level; none where a rule decided or nothing was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTrace:
    """The step-mask score of one candidate (equations 4-7)."""

    question_id: str
    strong_model: str
    draw: int
    outcomes: tuple[Verdict, ...]
    asked: tuple[bool, ...]
    normal_tokens: int
    reading: str
    """How equation 6 was read."""
    beta: float
    s_avg: float | None
    s_ew: float | None
    score: float | None
    """None where a level is unjudged: such a trace has no score."""
    lower: float
    """The least score that the known outcomes allow."""
    upper: float
    """The greatest score that the known outcomes allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceMeasure:
    """What a selector that reads the weak model found in one candidate."""

    question_id: str
    strong_model: str
    draw: int
    selector: str
    """Which selector's formula; see `weak2wise_core.selectors.formulas`."""
    value: float | None
    """None where the formula is undefined for the trace, or the trace exceeds the context."""


class Truncation(StrEnum):
    """How a golden reasoning came to its end (section 3.5)."""

    NOT_NEEDED = "not_needed"
    ENDPOINT = "endpoint"
    REEMIT = "reemit"
    RULE = "rule"
    NONE_COULD = "none_could"


class GoldenSource(StrEnum):
    """Where a golden reasoning comes from."""

    STEP_MASK = "step_mask"
    SELECTION = "selection"
    """Another selector chose it from the scored candidates; `selection.by` names it."""
    ANNOTATION = "annotation"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenReasoning:
    """The trace that won for one question, before or after truncation (equation 8)."""

    question_id: str
    strong_model: str
    draw: int
    source: GoldenSource
    score: float
    golden_reasoning: str
    """The text to train on; an exact prefix of the candidate's Normal-Reasoning trace."""
    truncation: Truncation
    normal_tokens: int
    """Length of the whole Normal-Reasoning trace in tokens of the weak model."""
    golden_tokens: int
    """Length of `golden_reasoning` in tokens of the weak model."""
    spent: tuple[Spent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTExample:
    """One row of the fine-tuning set (figure 6)."""

    question_id: str
    prompt: str
    response: str
    answer: str
    strong_model: str
    draw: int
    score: float
    truncation: Truncation
    tokens: int
    """Prompt and response in the weak model's chat template and tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A question that left on the way, and why."""

    question_id: str
    stage: str
    kind: RejectionKind
    reason: str
    """A short name that can be counted, such as `duplicate` or `unjudged`."""
    detail: str
    """One sentence: what was found and where."""
    model: str = ""
    draw: int | None = None


class Audit(StrEnum):
    """What makes a row of a dataset doubtful, though nothing refused it."""

    ANSWER_LEAK = "answer_leak"
    TOLD_ANSWER = "told_answer"
    STEPS_DISAGREE = "steps_disagree"
    SUSPICIOUS_GOLD = "suspicious_gold"
    NEAR_DUPLICATE = "near_duplicate"
    CONTAMINATED = "contaminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one audit found, about a question or about one of its candidates."""

    audit: Audit
    question_id: str
    strong_model: str
    """The candidate's, or empty where the finding is about the question."""
    draw: int | None
    other_id: str
    """The question that this one repeats, or empty."""
    trained_on: bool
    """The question is in the training set and, where a candidate is named, with this one."""
    detail: str
    """What was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedQuestion:
    """A question that waits for a person: no candidate helped the weak model with it."""

    id: str
    question: str
    answer: str
    reasoning: str = ""
    """What the person writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedSample:
    """One answer of the model to one question of a benchmark, graded."""

    benchmark: str
    item: str
    """Id of the question."""
    draw: int
    """Which of the k samples, from 0; it was asked with seed + draw."""
    gold: str
    """The ground truth; for multiple choice its letter in the order that was shown."""
    verdict: Verdict
    """UNJUDGED where no rule is certain or the server refused the request; not counted as right."""
    answer: str | None
    """What was read as the answer, or None where the reply states none."""
    cut: bool
    """The thinking never ended, so there is no answer; counted as wrong."""
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    reply: str
    """The visible text that was graded."""
    error: str
    """Why there is no reply, or empty."""
