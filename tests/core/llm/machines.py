"""Stand-ins for a loaded model, for tests of the queue in front of it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

from weak2wise_core.llm.batching import BatchQueue, Machine
from weak2wise_core.llm.jobs import Answer, Dropped, Prompt
from weak2wise_core.llm.measuring import Contest, Way
from weak2wise_core.llm.packing import StreamPlan
from weak2wise_core.llm.sampling import Choice
from weak2wise_core.llm.session import StreamFailedError
from weak2wise_core.records import FinishReason

WAIT_S = 10
Answerer: TypeAlias = Callable[[Sequence[Prompt], Dropped], Sequence[Answer]]


def prompt(length: int, *, limit: int = 4, seed: int = 0) -> Prompt:
    """A request of so many prompt tokens."""
    return Prompt(ids=(7,) * length, limit=limit, choice=Choice(temperature=0.0), seed=seed)


def answer_to(one: Prompt) -> Answer:
    """An answer that names its request."""
    return Answer(
        text=f"{len(one.ids)}/{one.seed}", finish_reason=FinishReason.STOP, completion_tokens=2
    )


class PlainMachine:
    """A model that knows plain batches only."""

    device = "paper"
    memory_tokens = 100_000

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    def contest(self) -> Contest:
        """There is one way."""
        return Contest((Way.PLAIN,))

    def answer(self, prompts: Sequence[Prompt], *, dropped: Dropped) -> Sequence[Answer]:
        """Answer one batch."""
        return self._answerer(prompts, dropped)

    def open_stream(self, plan: StreamPlan) -> "FakeStream":
        """There is none."""
        raise StreamFailedError("no streams here")


class FakeStream:
    """Answers requests that fit into its slots, as many at a look as a test allows.

    A request takes as many looks as it has tokens in its limit.
    """

    def __init__(self, machine: "StreamMachine", plan: StreamPlan) -> None:
        self.plan = plan
        self.steps = 0
        self.closed = False
        self._machine = machine
        self._left: dict[int, tuple[Prompt, int]] = {}

    def add(self, number: int, prompt: Prompt) -> None:
        """Take a request."""
        assert not self.closed
        assert prompt.most_tokens <= self.plan.longest
        self._left[number] = (prompt, prompt.limit)

    def drop(self, number: int) -> None:
        """Forget a request."""
        self._machine.dropped.append(self._left.pop(number)[0])

    def finished(self, timeout_s: float) -> Sequence[tuple[int, Answer]]:
        """One step for the requests that have a slot."""
        self._machine.look(self, [one for one, _ in self._left.values()])
        self.steps += 1
        working = list(self._left)[: self.plan.slots]
        for number in working:
            one, looks = self._left[number]
            self._left[number] = (one, looks - 1)
        done = [number for number in working if not self._left[number][1]]
        return [(number, answer_to(self._left.pop(number)[0])) for number in done]

    def close(self) -> None:
        """End it."""
        self.closed = True


class StreamMachine(PlainMachine):
    """A model that can be batched in both ways; `look` may hold or fail what a stream does."""

    def __init__(
        self,
        *ways: Way,
        look: Callable[[FakeStream, Sequence[Prompt]], None] = lambda stream, prompts: None,
        sample: int = 1,
        warm_up: int = 0,
    ) -> None:
        super().__init__(self._at_once)
        self.look = look
        self.streams: list[FakeStream] = []
        self.batches: list[int] = []
        self.dropped: list[Prompt] = []
        self.rivals = Contest(ways, sample=sample, warm_up=warm_up)

    def contest(self) -> Contest:
        """Between the ways of this test."""
        return self.rivals

    def open_stream(self, plan: StreamPlan) -> FakeStream:
        """Start a session."""
        assert all(stream.closed for stream in self.streams)
        self.streams.append(FakeStream(self, plan))
        return self.streams[-1]

    def _at_once(self, prompts: Sequence[Prompt], dropped: Dropped) -> list[Answer]:
        assert all(stream.closed for stream in self.streams)
        self.batches.append(len(prompts))
        return [answer_to(one) for one in prompts]


@contextmanager
def queue_of(model: Answerer | Machine, *, batch_size: int) -> Iterator[BatchQueue]:
    """A queue with a thread of its own that ends with the block."""
    machine = PlainMachine(model) if callable(model) else model
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield BatchQueue(lambda: machine, executor=executor, batch_size=batch_size)
