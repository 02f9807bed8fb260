"""Continuous batching of the transformers library, as a `Stream`.

Keys and values lie in pages, and requests that begin alike share the pages of what they share. The
library runs its own thread, and where that fails it writes to its log and ends; here failures are
errors again.
"""

import contextlib
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from weak2wise_core.llm.jobs import Answer, Prompt
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.llm.memory import empty_cache, shortage
from weak2wise_core.llm.packing import StreamPlan
from weak2wise_core.llm.paged_choosing import PagedChooser
from weak2wise_core.llm.session import StreamFailedError

PAGE = 32
"""Tokens of a page; what two prompts share is shared in whole pages."""
PAGE_OF_FLASH_ATTENTION = 256
"""The smallest page that its kernels read."""

LOST_AFTER = 50
"""Looks at a library that has nothing to do, although requests are not answered."""

Read = Callable[[Sequence[int], Prompt], Answer]
"""Makes an answer of generated tokens."""


class PagedStream:
    """One session of the library's continuous batching."""

    def __init__(self, model: Any, *, plan: StreamPlan, end_ids: Sequence[int], read: Read) -> None:
        """Start the library's thread.

        Args:
            model: A causal language model in evaluation mode, on its device.
            plan: The room that is made.
            end_ids: Tokens that end a reply.
            read: Makes an answer of generated tokens.

        Raises:
            StreamFailedError: The library cannot batch this model continuously.
        """
        self._model = model
        self._read = read
        self._prompts: dict[str, Prompt] = {}
        self._failure: str | None = None
        self._idle_looks = 0
        self._chooser = PagedChooser(model.device)
        self._attention = model.config._attn_implementation  # noqa: SLF001 - there is no other name
        try:
            self._manager = _start(model, plan=plan, end_ids=end_ids, chooser=self._chooser)
        except (ValueError, AttributeError, ImportError, NotImplementedError) as error:
            self._restore_attention()
            raise _cannot(model, error) from error

    @property
    def steps(self) -> int:
        """Passes through the model so far."""
        return getattr(self._manager, "current_batch", 0)

    def add(self, number: int, prompt: Prompt) -> None:
        """Take a request."""
        name = str(number)
        self._prompts[name] = prompt
        self._chooser.expect(name, prompt.choice, seed=prompt.seed)
        self._manager.add_request(
            list(prompt.ids), request_id=name, max_new_tokens=prompt.limit
        )  # where the thread has ended, this does nothing, and `finished` says why it has

    def drop(self, number: int) -> None:
        """Forget a request."""
        self._manager.cancel_request(str(number))
        self._forget(str(number))

    def finished(self, timeout_s: float) -> list[tuple[int, Answer]]:
        """See `Stream.finished`."""
        if self._failure is None:
            answers = self._answers(timeout_s)
            if answers:
                return answers
        self._raise_failure()
        self._raise_loss()
        return []

    def close(self) -> None:
        """End the library's thread, give its memory back, and the model its attention."""
        self._manager.stop(block=True, hard_stop=True)
        self._manager.destroy()
        del self._manager
        self._restore_attention()
        empty_cache(self._model.device.type)

    def _answers(self, timeout_s: float) -> list[tuple[int, Answer]]:
        answers = []
        output = self._manager.get_result(timeout=timeout_s)
        while output is not None:
            if output.error is not None:
                self._failure = output.error
            elif (prompt := self._forget(output.request_id)) is not None:
                answer = self._read(output.generated_tokens, prompt)
                answers.append((int(output.request_id), answer))
            output = self._manager.get_result(timeout=0)
        return answers

    def _forget(self, name: str) -> Prompt | None:
        self._chooser.forget(name)
        return self._prompts.pop(name, None)

    def _raise_failure(self) -> None:
        status = self._manager.background_thread_status
        if self._failure is None and status.fatal_error is None and self._manager.is_running():
            return
        # requests are told of a failure before the failure itself is noted: wait for the end
        self._manager.stop(block=True, hard_stop=True)
        error = status.fatal_error or RuntimeError(self._failure or "its thread has ended")
        if (reason := shortage(error)) is not None:
            traceback.clear_frames(error.__traceback__)  # they hold the tensors of the failed step
            raise MemoryError(reason)
        raise _cannot(self._model, error) from error

    def _raise_loss(self) -> None:
        """Nobody is to wait for a request of which the library knows nothing."""
        processor = self._manager.batch_processor
        working = processor is None or processor.has_pending_requests()
        waiting = working or not self._manager.input_queue.empty()
        self._idle_looks = 0 if waiting or not self._prompts else self._idle_looks + 1
        if self._idle_looks >= LOST_AFTER:
            raise _cannot(self._model, f"requests that were lost: {len(self._prompts)}")

    def _restore_attention(self) -> None:
        if self._model.config._attn_implementation != self._attention:  # noqa: SLF001
            self._model.set_attn_implementation(self._attention)


def _start(model: Any, *, plan: StreamPlan, end_ids: Sequence[int], chooser: PagedChooser) -> Any:
    with IMPORTING:
        from transformers import ContinuousBatchingConfig, GenerationConfig

    # it has a handler of its own, which prints tracebacks of what is raised here anyway
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
    flash = _use_flash_attention(model)
    page = PAGE_OF_FLASH_ATTENTION if flash else PAGE
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,  # the chooser has drawn already: its arg-max is the draw
            eos_token_id=list(end_ids) or None,
            max_new_tokens=1,  # every request says its own
        ),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=page,
            num_blocks=-(-plan.cache_tokens // page),
            max_batch_tokens=plan.step_tokens,
            max_requests_per_batch=plan.slots,
            use_cuda_graph=False,  # the noise is drawn between the steps
            use_async_batching=False,
            auto_switch_to_flash=False,  # it would fetch kernels from the hub
        ),
    )
    manager.logit_processor = chooser
    manager.start()
    return manager


def _use_flash_attention(model: Any) -> bool:
    """Switch to flash attention where it is installed; without it masks cost most of the gain."""
    from transformers.utils.import_utils import is_flash_attn_2_available

    half = model.dtype.itemsize == 2
    if model.device.type != "cuda" or not half or not is_flash_attn_2_available():
        return False
    with contextlib.suppress(ValueError, ImportError):  # not every model has it
        model.set_attn_implementation("flash_attention_2")
        return True
    return False


def _cannot(model: Any, reason: object) -> StreamFailedError:
    return StreamFailedError(
        f"continuous batching of {type(model).__name__} failed ({reason}). Set `batching: plain` "
        "for this model in the recipe"
    )
