"""The nouns of the two related methods, as frozen records."""

from dataclasses import dataclass
from enum import StrEnum

from weak2wise_core.records import FinishReason, Rejection, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What one model answered to one question, with the prompt that it was given."""

    id: str
    """Id of the question."""
    prompt: str
    response: str
    gold: str = ""
    """The ground truth where it is known; it selects nothing, and is counted beside."""
    draw: int = 0
    """Which of the repeated samples, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedQuestion:
    """A question that both models answer alike (stage I)."""

    weak: Response
    icl: Response
    answer: str
    """What both answer, as `AnswerRule.read` gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainExample:
    """One row to fine-tune on: the texts of prompt and response, untouched."""

    id: str
    prompt: str
    response: str


class PairKind(StrEnum):
    """Which side of a pair the weak model's response is on (stage II)."""

    WEAK_CHOSEN = "weak_chosen"
    """It gives the answer that the trained model is sure of."""
    WEAK_REJECTED = "weak_rejected"
    """It gives another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """Two responses to one prompt, the better one first (stage II)."""

    id: str
    """Id of the question, which may have several pairs."""
    prompt: str
    chosen: str
    rejected: str
    kind: PairKind
    answer: str
    """The most frequent answer of the samples."""
    confidence: float
    """Its share of the samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherTrace:
    """One long reply of the weak reasoner that teaches (W2SR), judged."""

    id: str
    """Id of the question."""
    prompt: str
    """What the student will be asked."""
    reasoning: str
    """The thinking, or "" where the teacher thinks aloud."""
    content: str
    """The visible reply."""
    verdict: Verdict
    finish_reason: FinishReason = FinishReason.STOP
    draw: int = 0

    @property
    def response(self) -> str:
        """What the student learns to say: the thinking in its tags, and the visible reply."""
        if not self.reasoning.strip():
            return self.content.strip()
        return f"<think> {self.reasoning.strip()} </think> {self.content.strip()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreements:
    """What stage I keeps of the questions: questions == len(agreed) + len(rejections)."""

    questions: int
    agreed: tuple[AgreedQuestion, ...]
    """In the order of the weak model's responses."""
    rejections: tuple[Rejection, ...]
    """Every other question, with the reason."""
    same_number: int
    """How many questions equal numbers would keep, the ones that are kept among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasts:
    """What stage II makes of the questions: each has pairs or a rejection."""

    questions: int
    pairs: tuple[PreferencePair, ...]
    """In the order of the weak model's responses."""
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedTraces:
    """What W2SR keeps: traces in, each is kept or has a rejection."""

    traces: int
    kept: tuple[TeacherTrace, ...]
    rejections: tuple[Rejection, ...]
