"""lm-evaluation-harness asks in a thread, models answer on the event loop: the bridge between."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeAlias

from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import (
    EvaluationError,
    FatalModelError,
    ModelError,
    RequestRefusedError,
    UsageError,
)
from weak2wise_core.evaluation.grading import visible_text
from weak2wise_core.gateway import Gateway, ModelHandle
from weak2wise_core.llm.protocol import ChatModel
from weak2wise_core.records import ChatReply, Message
from weak2wise_core.stages.gathering import gather_all

STAGE = "evaluate"
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

Outcome: TypeAlias = ChatReply | RequestRefusedError
OnAnswer: TypeAlias = Callable[[int, int], None]
"""Told how many answers there are, of how many."""


class Request(Protocol):
    """What the harness asks: the part of its `Instance` that is read here."""

    task_name: str
    doc_id: int
    idx: int
    args: tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a model is asked."""

    model: ModelSpec
    chat: ChatModel
    gateway: Gateway
    name: str
    """Under which calls are counted and kept."""
    max_tokens: int | None
    """Limit of an answer where a task sets none; None: as the model's entry says."""
    seed: int
    on_answer: OnAnswer | None = None

    def handle(self, wanted: Mapping[str, Any]) -> ModelHandle:
        """The model with the sampling that a task wants; what it leaves open is the model's."""
        greedy = wanted.get("do_sample") is False
        limits = [wanted[name] for name in _LIMITS if wanted.get(name)]
        changes: dict[str, Any] = {
            "temperature": 0.0 if greedy else wanted.get("temperature", self.model.temperature),
            "top_p": None if greedy else wanted.get("top_p", self.model.top_p),
            "max_tokens": int(limits[0]) if limits else self.max_tokens or self.model.max_tokens,
            "seed": self.seed,
        }
        spec = self.model.model_copy(update=changes)
        return self.gateway.handle(self.chat, spec=spec, name=self.name, stage=STAGE)


class Bridge:
    """The methods of the harness's `LM`, answered by a `ChatModel` on the loop that made it.

    Prompts arrive as conversations (`apply_chat_template` only writes them down: the chat template
    is the model's or its server's affair). Repeats of one question are draws 0, 1, ... with seeds
    of their own. What comes back to the harness is the visible text.
    """

    def __init__(self, asking: Asking) -> None:
        """Prepare; call it on the event loop."""
        self._asking = asking
        self._loop = asyncio.get_running_loop()
        self._under_way: Future[list[Outcome]] | None = None
        self._cancelled = False
        self.outcomes: dict[tuple[str, int], list[Outcome]] = {}
        """What came of each question, by task and number of the question, in order of the draws."""
        self.thinks = False
        """Some reply showed thinking."""

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,
    ) -> str:
        """The conversation as text; `generate_until` reads it back.

        Raises:
            UsageError: The task wants to begin the model's answer.
        """
        if not add_generation_prompt:
            raise UsageError(
                "a stock task begins the model's answer itself (gen_prefix), which chat models do "
                "not allow; leave it out of stock_tasks"
            )
        return json.dumps(chat_history)

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """Ask every request; called in the harness's thread.

        Raises:
            EvaluationError: Answers are missing for passing reasons; the others are kept.
            ModelError: No call to the model can succeed.
            BudgetReachedError: The next call would cross the budget.
        """
        self._under_way = asyncio.run_coroutine_threadsafe(self._ask_all(requests), self._loop)
        if self._cancelled:
            self._under_way.cancel()
        outcomes = self._under_way.result()
        self.thinks = any(isinstance(one, ChatReply) and one.reasoning for one in outcomes)
        for request, outcome in zip(requests, outcomes, strict=True):
            self.outcomes.setdefault((request.task_name, request.doc_id), []).append(outcome)
        return [
            _until(self.visible(outcome) or "", stops=request.args[1].get("until") or [])
            for request, outcome in zip(requests, outcomes, strict=True)
        ]

    def loglikelihood(self, requests: Sequence[Request]) -> NoReturn:
        """Refuse: chat models give no log-likelihoods.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"the stock task {requests[0].task_name} needs log-likelihoods, which chat models do "
            "not give; choose a task that lets the model write its answer"
        )

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> NoReturn:
        """Refuse; see `loglikelihood`.

        Raises:
            UsageError: Always.
        """
        self.loglikelihood(requests)

    def visible(self, outcome: Outcome) -> str | None:
        """The text that is graded; None where thinking never ended or the request was refused."""
        if isinstance(outcome, RequestRefusedError):
            return None
        return visible_text(outcome, thinks=self.thinks)

    def returned(self) -> Counter[str]:
        """Replies by the model id that they name."""
        outcomes = (one for several in self.outcomes.values() for one in several)
        return Counter(one.model for one in outcomes if isinstance(one, ChatReply))

    def cancel(self) -> None:
        """Give up the calls under way, so that the harness's thread ends."""
        self._cancelled = True
        if self._under_way is not None:
            self._under_way.cancel()

    async def _ask_all(self, requests: Sequence[Request]) -> list[Outcome]:
        asked: Counter[tuple[str, int, int]] = Counter()
        handles: dict[str, ModelHandle] = {}
        answered = 0

        async def ask(request: Request, draw: int) -> Outcome | ModelError:
            nonlocal answered
            outcome = await self._ask(request, draw=draw, handles=handles)
            answered += 1
            if self._asking.on_answer is not None:
                self._asking.on_answer(answered, len(requests))
            return outcome

        coroutines = []
        for request in requests:
            question = (request.task_name, request.doc_id, request.idx)
            coroutines.append(ask(request, asked[question]))
            asked[question] += 1
        return _usable(await gather_all(coroutines))

    async def _ask(
        self, request: Request, *, draw: int, handles: dict[str, ModelHandle]
    ) -> Outcome | ModelError:
        conversation, wanted = request.args
        sampling = json.dumps(wanted, sort_keys=True)
        if sampling not in handles:
            handles[sampling] = self._asking.handle(wanted)
        messages = [Message(**turn) for turn in json.loads(conversation)]
        try:
            affinity = f"{request.task_name}/{request.doc_id}"
            return await handles[sampling].ask(messages, draw=draw, affinity=affinity)
        except FatalModelError:
            raise
        except ModelError as error:
            return error


def _usable(outcomes: Sequence[Outcome | ModelError]) -> list[Outcome]:
    """The outcomes, if none is missing.

    Raises:
        EvaluationError: A call failed for a passing reason, or every request was refused.
    """
    found = [one for one in outcomes if isinstance(one, ChatReply | RequestRefusedError)]
    missing = [one for one in outcomes if not isinstance(one, ChatReply | RequestRefusedError)]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of {len(outcomes)} answers are missing, so there is no result; the "
            "others are kept: start the same evaluation again to ask only for these. The first: "
            f"{missing[0]}"
        )
    refused = [one for one in found if isinstance(one, RequestRefusedError)]
    if refused and len(refused) == len(found):
        raise EvaluationError(f"every request was refused; the first: {refused[0]}")
    return found


def _until(text: str, *, stops: Sequence[str]) -> str:
    """The text before the first of the stop sequences."""
    ends = [text.find(stop) for stop in stops if stop and stop in text]
    return text[: min(ends)] if ends else text
