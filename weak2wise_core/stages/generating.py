"""Stage 2: candidate traces from the strong models (section 3.3, equation 2)."""

import asyncio
import dataclasses
from collections.abc import Mapping

from weak2wise_core.accounts import ledger
from weak2wise_core.config import GenerateSettings
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import RequestRefusedError
from weak2wise_core.gateway import Asker
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import CandidateTrace, Question, Refusal
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.wording import trace_request
from weak2wise_core.traces import candidate_from_reply, refused


async def generate_candidates(
    question: Question,
    *,
    strong: Mapping[str, Asker],
    draws: range,
    checker: AnswerChecker,
    settings: GenerateSettings,
    prompts: PromptSet,
) -> list[CandidateTrace]:
    """Ask every strong model for traces that lead to the known answer.

    Args:
        question: Question and ground-truth answer; the answer is shown to the strong model.
        strong: Strong models by name.
        draws: Which samples to draw, from 0; each is a call of its own.
        checker: Compares a trace's final answer with the ground truth.
        settings: Which audits refuse a candidate.
        prompts: The wording of C_gen.

    Returns:
        One candidate for each model and draw, refused ones included, by name and draw.

    Raises:
        ModelError: A call gave no usable reply. A request that a server will never answer is a
            refused candidate instead.
    """

    async def one(name: str, draw: int) -> CandidateTrace:
        messages = trace_request(question, prompts=prompts)
        with ledger() as taken:
            try:
                reply = await strong[name].ask(messages, draw=draw, affinity=question.id)
            except RequestRefusedError as error:
                return refused(
                    question.id,
                    strong_model=name,
                    draw=draw,
                    refusal=Refusal.REQUEST_REFUSED,
                    detail=str(error),
                )
        candidate = await asyncio.to_thread(
            candidate_from_reply,
            question,
            strong_model=name,
            draw=draw,
            reply=reply,
            check=checker.check,
            settings=settings,
        )
        return dataclasses.replace(candidate, spent=taken.spent())

    jobs = [(name, draw) for name in sorted(strong) for draw in draws]
    return await gather_all([one(name, draw) for name, draw in jobs])
