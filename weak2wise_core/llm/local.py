"""The `transformers` backend: a model folder or hub id, answered in this process.

What a reply depends on: weights, messages, sampling and draw. The other requests of a batch do not
matter beyond rounding: in float32 on a CPU replies were equal at every batch size that was tried;
in half precision, or on a GPU, batching may change the last bits of a score, and with them now and
then a word. Code that a hub repository brings along is never run.
"""

import asyncio
import functools
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import FatalModelError, RecipeError
from weak2wise_core.llm.batching import BatchQueue
from weak2wise_core.llm.engine import Engine
from weak2wise_core.llm.forced import Fit, Passage
from weak2wise_core.llm.loading import load_engine
from weak2wise_core.llm.measuring import LocalStats
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.replies import OPENING_TAG, split_thinking
from weak2wise_core.llm.weights import folder_digest, model_folder, model_name
from weak2wise_core.records import ChatReply, Message, Usage

_PASSAGES_AT_ONCE = 2048
"""Passages that are turned into tokens and sorted by length together."""


class TransformersModel:
    """A local model as a `ChatModel`. It is loaded when it is first asked, in a thread of its own.

    May be used from several event loops. A reply's usage counts the token that ends it.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Describe the model; nothing is read yet.

        Args:
            spec: `model` is a folder or a hub id, `tokenizer` likewise where it lies elsewhere;
                `batch_size`, `batching`, `device` and `dtype` say how to run it. `dtype: auto` is
                bfloat16 on an accelerator and float32 on a CPU, whatever the weights are stored as.

        Raises:
            RecipeError: The specification sets `extra_body`, which only servers take.
            InputFileError: `model` is a path and there is no such folder.
        """
        if spec.extra_body:
            raise RecipeError(
                f"extra_body of {spec.model} is for servers; the transformers backend sends no "
                "request. Remove it."
            )
        self._spec = spec
        self._folder = model_folder(spec.model)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        self._queue = BatchQueue(
            lambda: self._loading().result(), executor=self._executor, batch_size=spec.batch_size
        )
        self._engine: Future[Engine] | None = None
        self._first_call = threading.Lock()
        self._closed = False

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Backend, model, number format and, for a folder, a digest of what lies in it.

        A folder is named without its path, so that a copy elsewhere has the same identity.
        """
        folder = self._folder
        tokenizer = self._spec.tokenizer
        return {
            "backend": self._spec.backend.value,
            "model": self._spec.model if folder is None else folder.name,
            "dtype": self._spec.dtype,
            "weights": None if folder is None else folder_digest(folder),
            "tokenizer": None if tokenizer is None else model_name(tokenizer),
        }

    @functools.cached_property
    def _name(self) -> str:
        """The model id in replies; a folder's digest stands in it, so it is made only once."""
        return model_name(self._spec.model)

    def stats(self) -> LocalStats:
        """What it has done so far, also after it was closed."""
        return self._queue.stats

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        draw: int,
        affinity: str = "",  # noqa: ARG002 - there is one replica
    ) -> ChatReply:
        """Ask once; see `ChatModel.chat`.

        Args:
            messages: The conversation, oldest first.
            sampling: A temperature of 0 is greedy: every draw is the same. None leaves it to the
                model's generation_config.json, which is greedy where it does not say to sample.
                Without max_tokens a reply may take what is left of the context.
            draw: Which of several samples this is.
            affinity: Without effect: there is one replica.

        Raises:
            RequestRefusedError: Prompt and reply exceed the context or the memory, or the chat
                template does not take these roles.
            FatalModelError: The model cannot be loaded, has failed, or was closed.
            MissingExtraError: torch is not installed.
            UsageError: The tokenizer cannot be loaded.
        """
        # shielded: one cancelled call must not cancel the loading that others wait for
        loading = asyncio.wrap_future(self._loading())
        loading.add_done_callback(_seen)
        engine = await asyncio.shield(loading)
        prompt = await asyncio.to_thread(engine.prompt, messages, sampling=sampling, draw=draw)
        answer = await asyncio.wrap_future(self._queue.submit(prompt))
        opening = OPENING_TAG if engine.tokens.opens_thinking else ""
        reasoning, content = split_thinking(opening + answer.text)
        return ChatReply(
            content=content,
            reasoning=reasoning,
            finish_reason=answer.finish_reason,
            usage=Usage(prompt_tokens=len(prompt.ids), completion_tokens=answer.completion_tokens),
            model=self._name,
        )

    async def read(self, passages: Sequence[Passage]) -> list[tuple[Fit, ...] | None]:
        """How well texts fit the model; see `PassageReader.read`.

        Many passages are read in parts, so that answers come in between and memory stays bounded.
        """
        loading = asyncio.wrap_future(self._loading())
        loading.add_done_callback(_seen)
        engine = await asyncio.shield(loading)
        found: list[tuple[Fit, ...] | None] = []
        for start in range(0, len(passages), _PASSAGES_AT_ONCE):
            part = passages[start : start + _PASSAGES_AT_ONCE]
            reading = self._executor.submit(engine.read, part, batch_size=self._spec.batch_size)
            fits: list[tuple[Fit, ...] | None] = await asyncio.wrap_future(reading)
            found += fits
        return found

    async def aclose(self) -> None:
        """End the thread and free the model; calls that wait fail with `FatalModelError`."""
        self._closed = True
        self._queue.end(self._closed_error())
        await asyncio.to_thread(self._executor.shutdown)
        self._engine = None

    def _closed_error(self) -> FatalModelError:
        return FatalModelError(f"the model {self._spec.model} was closed; open a new one")

    def _loading(self) -> Future[Engine]:
        if self._closed:
            raise self._closed_error()
        with self._first_call:
            if self._engine is None:
                self._engine = self._executor.submit(load_engine, self._spec)
            return self._engine


def _seen(loading: "asyncio.Future[Engine]") -> None:
    """A failure is read by whoever still waits; nobody else is to be told on the error stream."""
    if not loading.cancelled():
        loading.exception()
