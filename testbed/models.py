"""The testbed's models behind the one seam: teachers, their apprentices and the weak model."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from testbed import apprentices
from testbed.language import find_problem, tell_problem
from testbed.teachers import LESSONS, Teacher, teach
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.errors import RecipeError
from weak2wise_core.llm.forced import Fit, Passage
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.measuring import LocalStats
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage

WEAK = "weak"
WEAK_MODEL_FOLDER = Path(__file__).parent / "weak_model"
MODELS = (*(teacher.value for teacher in Teacher), *apprentices.NAMES, WEAK)
"""What a recipe may name as `model` under `backend: testbed`."""
LONGEST_REPLY = 256
"""Tokens of a reply of the weak model where the recipe sets no limit."""


def open_testbed_model(spec: ModelSpec) -> ChatModel:
    """The model of this name; weights are loaded when it is first asked.

    Raises:
        RecipeError: The testbed has no model of this name.
    """
    if spec.model == WEAK:
        return WeakModel(spec)
    if spec.model in apprentices.NAMES:
        return apprentices.ApprenticeModel(spec)
    if spec.model in MODELS:
        return TeacherModel(Teacher(spec.model))
    raise RecipeError(
        f"the testbed has no model {spec.model!r}; name one of {', '.join(MODELS)}, "
        "or another backend"
    )


class TeacherModel:
    """A program teacher as a `ChatModel`.

    It answers the conversation of C_gen (question, answer, instruction). It reads the question and
    works it out by itself; the answer that it is told changes nothing.
    """

    def __init__(self, teacher: Teacher) -> None:
        """Open the teacher of this name."""
        self._teacher = teacher

    @property
    def identity(self) -> dict[str, Any]:
        """Name, and version of what the teachers say."""
        return {
            "backend": Backend.TESTBED.value,
            "model": self._teacher.value,
            "lessons": LESSONS,
        }

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        draw: int,
        affinity: str = "",  # noqa: ARG002 - a program has no replicas
    ) -> ChatReply:
        """Ask once; see `ChatModel.chat`.

        Args:
            messages: The conversation; its first message holds the question.
            sampling: The seed decides, together with question, teacher and draw. `max_tokens` cuts
                the reply as a server would. Temperatures change nothing.
            draw: Which of several samples this is.
            affinity: Of no use here.

        Raises:
            OutOfWorldError: The first message is not a question of the testbed's world.
        """
        return await asyncio.to_thread(self._reply, messages, sampling, draw)

    def _reply(self, messages: Sequence[Message], sampling: Sampling, draw: int) -> ChatReply:
        question = tell_problem(find_problem(messages[0].content if messages else ""))
        lesson = teach(question, teacher=self._teacher, draw=draw, seed=sampling.seed or 0)
        tokens = _tokens()
        thinking, steps = tokens.encode(lesson.thinking), tokens.encode(lesson.steps)
        whole = len(thinking) + len(steps)
        limit = whole if sampling.max_tokens is None else sampling.max_tokens
        thinking, steps = thinking[:limit], steps[: max(0, limit - len(thinking))]
        return ChatReply(
            content=tokens.decode(steps),
            reasoning=tokens.decode(thinking),
            finish_reason=FinishReason.STOP if limit >= whole else FinishReason.LENGTH,
            usage=Usage(
                prompt_tokens=len(tokens.encode_chat(messages)),
                completion_tokens=len(thinking) + len(steps),
                reasoning_tokens=len(thinking),
            ),
            model=self._teacher.value,
        )

    async def aclose(self) -> None:
        """Nothing is held open."""


class WeakModel:
    """The weak model as a `ChatModel` that refuses what it never learnt to read.

    It is computed in float32, and on the CPU where the recipe names no device, as its figures were.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Describe the model; nothing is read yet.

        Args:
            spec: `batch_size`, `batching` and `device` say how to run it.
        """
        changes: dict[str, object] = {
            "backend": Backend.TRANSFORMERS,
            "model": str(WEAK_MODEL_FOLDER),
            "tokenizer": None,
            "dtype": "float32",
            "device": spec.device or "cpu",
        }
        self._inner = TransformersModel(spec.model_copy(update=changes))

    @property
    def identity(self) -> dict[str, Any]:
        """Name and a digest of the weights; not where they lie."""
        weights = self._inner.identity["weights"]
        return {"backend": Backend.TESTBED.value, "model": WEAK, "weights": weights}

    def stats(self) -> LocalStats:
        """What it has done so far, also after it was closed."""
        return self._inner.stats()

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """Ask once; see `ChatModel.chat`.

        Args:
            messages: The last one is a bare question, or the prompt SOLVE or HINT around it.
            sampling: Without a temperature it is greedy; without `max_tokens` a reply ends after
                `LONGEST_REPLY` tokens.
            draw: Which of several samples this is.
            affinity: Passed on.

        Raises:
            OutOfWorldError: The last message holds no question of the testbed's world.
            ModelError: As `TransformersModel.chat`.
        """
        find_problem(messages[-1].content if messages else "")
        limited = replace(sampling, max_tokens=sampling.max_tokens or LONGEST_REPLY)
        reply = await self._inner.chat(messages, sampling=limited, draw=draw, affinity=affinity)
        return replace(reply, model=WEAK)

    async def read(self, passages: Sequence[Passage]) -> list[tuple[Fit, ...] | None]:
        """How well texts fit the model; see `PassageReader.read`."""
        return await self._inner.read(passages)

    async def aclose(self) -> None:
        """End the model's thread and free its memory."""
        await self._inner.aclose()


@lru_cache(maxsize=1)
def _tokens() -> Tokens:
    return Tokens.load(WEAK_MODEL_FOLDER)
