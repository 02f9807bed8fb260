"""Stage II of weak-to-strong reasoning: pairs of a preferred response and another one.

The model that stage I trained answers each question several times. The share of its most frequent
answer is its confidence, and where that is high enough the frequent answer stands in for the ground
truth that nobody has: the weak model's response is preferred to a sample with another answer, or a
sample with the frequent answer is preferred to the weak model's.

Source: arXiv 2407.13647, section 3.2.
Departure: of several pairs for one question no two have the same texts; the released code takes
repeated samples as they come. Which samples are taken depends on seed and question alone.
"""

from collections.abc import Iterable, Mapping, Sequence

from weak2wise_core.config import ContrastSettings
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import Rejection, RejectionKind
from weak2wise_core.related.agreement import by_question
from weak2wise_core.related.final_answers import AnswerRule, Vote
from weak2wise_core.related.records import Contrasts, PairKind, PreferencePair, Response

STAGE = "contrast"


class _NoPairError(Exception):
    """A question gives no pair; carries the name and the sentence of its rejection."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def contrast(
    weak: Sequence[Response],
    samples: Iterable[Response],
    *,
    rule: AnswerRule,
    settings: ContrastSettings,
) -> Contrasts:
    """Make preference pairs.

    Args:
        weak: Responses of the weak model, one a question; their order and prompts are those of the
            pairs.
        samples: Responses of the trained model, several a question, in any order.
        rule: How answers are read and compared.
        settings: Confidences, pairs a question, and the seed that decides which samples are taken.

    Returns:
        The pairs. A question leaves as `no_weak_response`, `too_few_samples`, `low_confidence`,
        `no_frequent_answer` (the most frequent answer is none), `no_other_answer` (the weak model
        agrees, and so does every sample) or `unsure_of_weak` (it disagrees, and the confidence is
        below that for a disagreement).

    Raises:
        ValueError: The weak model has two responses to one question.
    """
    known = by_question(weak, "weak")
    drawn = _by_question(samples)
    pairs: list[PreferencePair] = []
    rejections: list[Rejection] = []
    for question in (*weak, *(only[0] for name, only in drawn.items() if name not in known)):
        try:
            if question.id not in known:
                raise _NoPairError("no_weak_response", "only the trained model answered")
            texts = [sample.response for sample in drawn.get(question.id, ())]
            pairs += _pairs(question, texts, rule=rule, settings=settings)
        except _NoPairError as none:
            rejections.append(_dropped(question.id, none.reason, none.detail))
    return Contrasts(
        questions=len({*known, *drawn}), pairs=tuple(pairs), rejections=tuple(rejections)
    )


def _by_question(samples: Iterable[Response]) -> Mapping[str, list[Response]]:
    drawn: dict[str, list[Response]] = {}
    for sample in samples:
        drawn.setdefault(sample.id, []).append(sample)
    return drawn


def _pairs(
    weak: Response, texts: Sequence[str], *, rule: AnswerRule, settings: ContrastSettings
) -> list[PreferencePair]:
    vote = _confident_vote(texts, rule=rule, settings=settings)
    frequent, others = ([texts[place] for place in places] for places in vote.split())
    answer = rule.read(weak.response)
    if vote.is_winner(answer):
        if not others:
            raise _NoPairError("no_other_answer", f"every sample answers {vote.winner!r}")
        kind, taken = PairKind.WEAK_CHOSEN, others
    elif vote.confidence >= settings.exact_min_confidence_against_weak:
        kind, taken = PairKind.WEAK_REJECTED, frequent
    else:
        detail = f"{_share(vote)}, and the weak model answers {answer!r}"
        raise _NoPairError("unsure_of_weak", detail)
    return [
        _pair(weak, text, kind=kind, vote=vote)
        for text in draw_texts(
            taken, count=settings.pairs_per_question, seed=settings.seed, question_id=weak.id
        )
    ]


def _confident_vote(texts: Sequence[str], *, rule: AnswerRule, settings: ContrastSettings) -> Vote:
    if len(texts) < settings.samples:
        detail = f"{len(texts)} samples, {settings.samples} were expected"
        raise _NoPairError("too_few_samples", detail)
    vote = Vote(answers=tuple(rule.read(text) for text in texts), rule=rule)
    if vote.confidence < settings.exact_min_confidence:
        raise _NoPairError("low_confidence", _share(vote))
    if not vote.winner and settings.require_answer:
        raise _NoPairError("no_frequent_answer", "most samples state no answer")
    return vote


def draw_texts(texts: Iterable[str], *, count: int, seed: int, question_id: str) -> list[str]:
    """Draw different texts at random, each sample being as likely as every other.

    Args:
        texts: Samples; a text that was sampled twice is twice as likely.
        count: How many texts; fewer where there are fewer different ones.
        seed: With the question's id and the texts it decides which; their order does not.
        question_id: Id of the question.
    """
    ranked = sorted(
        enumerate(sorted(texts)),
        key=lambda item: content_hash("contrast", seed, question_id, item[0], item[1]),
    )
    return list(dict.fromkeys(text for _, text in ranked))[:count]


def _pair(weak: Response, sample: str, *, kind: PairKind, vote: Vote) -> PreferencePair:
    better_first = (weak.response, sample)
    chosen, rejected = better_first if kind is PairKind.WEAK_CHOSEN else better_first[::-1]
    return PreferencePair(
        id=weak.id,
        prompt=weak.prompt,
        chosen=chosen,
        rejected=rejected,
        kind=kind,
        answer=vote.winner,
        confidence=float(vote.confidence),
    )


def _share(vote: Vote) -> str:
    count = len(vote.groups[0][1])
    return f"{count} of {len(vote.answers)} samples answer {vote.winner!r}"


def _dropped(question_id: str, reason: str, detail: str) -> Rejection:
    return Rejection(
        question_id=question_id,
        stage=STAGE,
        kind=RejectionKind.DROPPED,
        reason=reason,
        detail=detail,
    )
