"""Stage I of weak-to-strong reasoning: a question is kept where two models answer alike.

No ground truth takes part. The weak model's responses and those of the strong model, which was
shown some of them, are compared question by question; where the final answers are the same, the
question is trained on, with either response or both.

Source: arXiv 2407.13647, section 3.1.
"""

from collections.abc import Iterable, Mapping, Sequence

from weak2wise_core.config import AgreementSettings, StageOneSet
from weak2wise_core.records import Rejection, RejectionKind
from weak2wise_core.related.final_answers import AnswerRule, same_number
from weak2wise_core.related.records import AgreedQuestion, Agreements, PlainExample, Response

STAGE = "agree"


def agree(
    weak: Sequence[Response],
    icl: Sequence[Response],
    *,
    rule: AnswerRule,
    settings: AgreementSettings,
) -> Agreements:
    """Keep the questions that both models answer alike.

    Args:
        weak: Responses of the weak model, one a question; their order is that of the result.
        icl: Responses of the strong model, in any order; from the second round on those of M_plus.
        rule: How answers are read and compared.
        settings: Whether a question without any answer is kept.

    Returns:
        The agreed questions. A question leaves as `different_answers`, `no_answer` (neither states
        one), `no_weak_answer`, `no_icl_answer`, `no_weak_response` or `no_icl_response`.

    Raises:
        ValueError: A model has two responses to one question.
    """
    theirs = by_question(icl, "icl")
    known = by_question(weak, "weak")
    agreed: list[AgreedQuestion] = []
    rejections: list[Rejection] = []
    numbers = 0
    for ours in weak:
        other = theirs.get(ours.id)
        if other is None:
            rejections.append(_dropped(ours.id, "no_icl_response", "only the weak model answered"))
            continue
        answers = rule.read(ours.response), rule.read(other.response)
        fault = _fault(*answers, rule=rule, require_answer=settings.require_answer)
        numbers += fault is None or (fault == "different_answers" and same_number(*answers))
        if fault is None:
            agreed.append(AgreedQuestion(weak=ours, icl=other, answer=answers[0]))
        else:
            detail = "the weak model answers {!r}, the strong one {!r}".format(*answers)
            rejections.append(_dropped(ours.id, fault, detail))
    rejections += [
        _dropped(other.id, "no_weak_response", "only the strong model answered")
        for other in icl
        if other.id not in known
    ]
    return Agreements(
        questions=len(agreed) + len(rejections),
        agreed=tuple(agreed),
        rejections=tuple(rejections),
        same_number=numbers,
    )


def examples(agreed: Iterable[AgreedQuestion], *, train_on: StageOneSet) -> list[PlainExample]:
    """The rows of stage I: both kinds of response under the prompt of the weak model.

    The strong model saw demonstrations before the question; it is trained to do without them.
    """
    return [
        PlainExample(id=one.weak.id, prompt=one.weak.prompt, response=response.response)
        for one in agreed
        for response in _chosen(one, train_on)
    ]


def by_question(responses: Iterable[Response], model: str) -> Mapping[str, Response]:
    """The responses of one model by question.

    Raises:
        ValueError: There are two to one question.
    """
    found: dict[str, Response] = {}
    for response in responses:
        if response.id in found:
            raise ValueError(f"the {model} model has two responses to question {response.id!r}")
        found[response.id] = response
    return found


def _fault(one: str, other: str, *, rule: AnswerRule, require_answer: bool) -> str | None:
    """Why the answers of weak and strong model do not agree, or None."""
    if not one and not other:
        return "no_answer" if require_answer else None
    if not one or not other:
        return "no_icl_answer" if one else "no_weak_answer"
    return None if rule.same(one, other) else "different_answers"


def _chosen(one: AgreedQuestion, train_on: StageOneSet) -> tuple[Response, ...]:
    if train_on is StageOneSet.HYBRID:
        return one.weak, one.icl
    return (one.weak,) if train_on is StageOneSet.WEAK else (one.icl,)


def _dropped(question_id: str, reason: str, detail: str) -> Rejection:
    return Rejection(
        question_id=question_id,
        stage=STAGE,
        kind=RejectionKind.DROPPED,
        reason=reason,
        detail=detail,
    )
