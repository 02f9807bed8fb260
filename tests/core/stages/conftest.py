"""What stage tests share: a question, replies, handles on scripted models, a rule checker."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.gateway import Gateway, ModelHandle
from weak2wise_core.llm.scripted import Script, ScriptedModel
from weak2wise_core.records import Message, Question

Handle = Callable[[Script], tuple[ModelHandle, ScriptedModel]]


@pytest.fixture
def question() -> Question:
    """A question whose answer is 42."""
    return Question(id="q1", question="What is 6 times 7?", answer="42")


@pytest.fixture(scope="session")
def checker() -> Iterator[AnswerChecker]:
    """The rule-based checker."""
    with AnswerChecker() as opened:
        yield opened


@pytest.fixture
def handle() -> Handle:
    """Makes a handle on a scripted model, and returns the model to look at its calls."""

    def make(script: Script) -> tuple[ModelHandle, ScriptedModel]:
        model = ScriptedModel(script)
        spec = ModelSpec(backend=Backend.TESTBED, model="scripted")
        return Gateway(in_flight=8).handle(model, spec=spec, name="m", stage="s"), model

    return make


def prompt_of(messages: Sequence[Message]) -> str:
    """The last turn of a conversation."""
    return messages[-1].content
