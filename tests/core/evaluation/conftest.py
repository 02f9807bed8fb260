"""What evaluation tests share: a rule checker, questions in files, a scripted model to ask."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from weak2wise_core.config import Backend, EvaluationSettings, ModelSpec
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.evaluation.records import Evaluation
from weak2wise_core.gateway import Gateway
from weak2wise_core.llm.protocol import ChatModel

Evaluate = Callable[..., Awaitable[Evaluation]]
Write = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def checker() -> Iterator[AnswerChecker]:
    """The rule-based checker."""
    with AnswerChecker() as opened:
        yield opened


@pytest.fixture
def additions(tmp_path: Path) -> Write:
    """Writes a benchmark of as many additions, n + n; its settings."""

    def write(count: int = 4, *, kind: str = "math500", name: str = "additions") -> dict[str, str]:
        path = tmp_path / f"{name}.jsonl"
        rows = [{"id": f"q{n}", "question": f"{n} + {n}?", "answer": 2 * n} for n in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"kind": kind, "path": str(path), "name": name}

    return write


@pytest.fixture
def evaluate(checker: AnswerChecker) -> Evaluate:
    """Evaluates a scripted model; keyword arguments are settings."""
    pytest.importorskip("lm_eval", reason="needs the extra eval")
    from weak2wise_core.evaluation.running import evaluate as run

    async def call(
        chat: ChatModel,
        *benchmarks: Any,
        gateway: Gateway | None = None,
        model: ModelSpec | None = None,
        **settings: Any,
    ) -> Evaluation:
        return await run(
            model or ModelSpec(backend=Backend.TESTBED, model="scripted"),
            settings=EvaluationSettings.model_validate({"benchmarks": benchmarks} | settings),
            gateway=gateway or Gateway(in_flight=64),
            chat=chat,
            checker=checker,
            name="scripted",
        )

    return call
