"""Stage 4b: an over-long golden reasoning is cut where the answer is first deduced (3.5)."""

import asyncio
import dataclasses
from collections.abc import Callable

from weak2wise_core.accounts import ledger
from weak2wise_core.config import TruncationMethod, TruncationSettings
from weak2wise_core.errors import RequestRefusedError, TruncationError
from weak2wise_core.gateway import Asker
from weak2wise_core.prompts import Prompt, PromptSet
from weak2wise_core.records import (
    FinishReason,
    GoldenReasoning,
    GoldenSource,
    Message,
    Question,
    Truncation,
)
from weak2wise_core.truncation import cut_at_repetition, cut_at_sentence, cut_by_rule

_LOCATE = {
    TruncationMethod.ENDPOINT: cut_at_sentence,
    TruncationMethod.REEMIT: cut_at_repetition,
}
_NAMES = {
    TruncationMethod.ENDPOINT: Truncation.ENDPOINT,
    TruncationMethod.REEMIT: Truncation.REEMIT,
    TruncationMethod.RULE: Truncation.RULE,
}


async def truncate_golden(
    question: Question,
    golden: GoldenReasoning,
    *,
    truncator: Asker | None,
    count_tokens: Callable[[str], int],
    settings: TruncationSettings,
    prompts: PromptSet,
) -> GoldenReasoning:
    """Cut a golden reasoning that is longer than the limit.

    Args:
        question: Question and ground-truth answer.
        golden: The whole Normal-Reasoning trace that won.
        truncator: Proposes where to cut; not asked by the method `rule`.
        count_tokens: Length of a text in tokens of the weak model.
        settings: Method and limit.
        prompts: The wording of P_trunc.

    Returns:
        The same record with an exact prefix as its reasoning, and how it was cut. The method of
        the recipe is tried first, the rule after it; what neither can cut stays whole. What a
        person wrote is never cut.

    Raises:
        ModelError: The truncating model could not be asked.
    """
    annotated = golden.source is GoldenSource.ANNOTATION
    if annotated or golden.normal_tokens <= settings.over_tokens:
        return golden
    with ledger() as taken:
        kept, how = await _cut(
            question,
            golden.golden_reasoning,
            truncator=truncator,
            settings=settings,
            prompts=prompts,
        )
    return dataclasses.replace(
        golden,
        golden_reasoning=kept,
        truncation=how,
        golden_tokens=count_tokens(kept),
        spent=taken.spent(),
    )


async def _cut(
    question: Question,
    trace: str,
    *,
    truncator: Asker | None,
    settings: TruncationSettings,
    prompts: PromptSet,
) -> tuple[str, Truncation]:
    methods = dict.fromkeys((settings.method, TruncationMethod.RULE))
    for method in methods:
        try:
            if method is TruncationMethod.RULE:
                kept = await asyncio.to_thread(cut_by_rule, trace, answer=question.answer)
                return kept, Truncation.RULE
            prompt = _prompt(prompts, method)
            proposal = await _propose(question, trace, truncator=truncator, prompt=prompt)
            locate = _LOCATE[method]
            kept = await asyncio.to_thread(locate, trace, proposal, answer=question.answer)
            return kept, _NAMES[method]
        except (TruncationError, RequestRefusedError):
            continue  # the next method is tried; the last one's failure leaves the trace whole
    return trace, Truncation.NONE_COULD


def _prompt(prompts: PromptSet, method: TruncationMethod) -> Prompt:
    if method is TruncationMethod.ENDPOINT:
        return prompts.truncate_endpoint
    return prompts.truncate_reemit


async def _propose(
    question: Question, trace: str, *, truncator: Asker | None, prompt: Prompt
) -> str:
    assert truncator is not None
    text = prompt.fill(question=question.question, answer=question.answer, reasoning=trace)
    reply = await truncator.ask([Message(role="user", content=text)], affinity=question.id)
    if reply.finish_reason is FinishReason.LENGTH:
        raise TruncationError("the truncating model was cut off by its own length limit")
    return reply.content
