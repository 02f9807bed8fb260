"""One request to a local model, from prompt to answer, as the queue and the model know it."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

from weak2wise_core.errors import ModelError, RequestRefusedError
from weak2wise_core.llm.sampling import Choice
from weak2wise_core.records import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One request, ready for the model."""

    ids: tuple[int, ...]
    limit: int
    """Most tokens of the reply."""
    choice: Choice
    seed: int

    @property
    def most_tokens(self) -> int:
        """Length of prompt and reply, if the reply takes all it may."""
        return len(self.ids) + self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model said to one prompt."""

    text: str
    finish_reason: FinishReason
    completion_tokens: int
    """Tokens generated for this reply, the one that ends it included."""


Dropped: TypeAlias = Callable[[int], bool]
"""Whether nobody waits any more for the row of this number."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A prompt and the future of its answer; two jobs with the same prompt are two jobs."""

    prompt: Prompt
    future: Future[Answer] = field(default_factory=Future)

    def resolve(self, outcome: Answer | ModelError) -> None:
        """Hand over the outcome, unless the one who asked has gone or has an outcome already."""
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Answer):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


def does_not_fit(prompt: Prompt, *, reason: str) -> RequestRefusedError:
    """The refusal of a prompt that exceeds the memory by itself."""
    return RequestRefusedError(
        f"a prompt of {len(prompt.ids)} tokens with a reply of up to {prompt.limit} tokens does "
        f"not fit into memory even alone ({reason}). Lower max_tokens, use a smaller dtype or "
        "model, or a device with more memory."
    )
