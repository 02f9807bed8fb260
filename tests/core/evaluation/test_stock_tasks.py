"""Laws of stock tasks: as they are, labelled as such, refused where a chat cannot answer them."""

import json
from pathlib import Path

import pytest

from tests.core.evaluation.conftest import Evaluate, Write
from weak2wise_core.errors import UsageError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.scripted import ScriptedModel

pytestmark = pytest.mark.slow  # the harness reads the definitions of fourteen thousand tasks


@pytest.fixture(autouse=True)
def stock_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of our own where the stock task looks for its dataset first: in this folder."""
    datasets = pytest.importorskip("datasets", reason="needs the extra eval")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "Maxwell-Jia" / "AIME_2024"
    folder.mkdir(parents=True)
    rows = [{"ID": str(n), "Problem": f"What is {n}?", "Answer": n} for n in (30, 33)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)


async def test_a_stock_task_is_asked_and_graded_as_it_is(
    evaluate: Evaluate, additions: Write
) -> None:
    """Its own prompt, sampling and limit; its grader sees the visible text, and no 033."""

    def script(messages: object, sampling: Sampling, draw: int) -> str:
        text = messages[-1].content  # type: ignore[index]
        if text.startswith("Question:"):
            return "<think>hm</think>\\boxed{030}" if "30" in text else "\\boxed{33} Question: next"
        return "\\boxed{0}"

    model = ScriptedModel(script)
    found = await evaluate(model, additions(1), stock_tasks=["aime24"])
    (stock,) = found.stock
    assert (stock.task, stock.questions) == ("aime24", 2)
    assert stock.metrics == {"exact_match,none": 0.5}  # ours calls 030 right
    assert [one.name for one in found.benchmarks] == ["additions"]
    (asked,) = {call.sampling for call in model.calls if "Question" in call.messages[0].content}
    assert (asked.temperature, asked.max_tokens, asked.seed) == (0.0, 32_768, 0)
    assert model.calls[0].messages[-1].role == "user"


async def test_an_unknown_task_is_named(evaluate: Evaluate) -> None:
    """Nothing is asked."""
    model = ScriptedModel(lambda *_: "x")
    with pytest.raises(UsageError, match="has no task 'no_such_task'"):
        await evaluate(model, stock_tasks=["no_such_task"])
    assert not model.calls


async def test_tasks_that_need_likelihoods_are_refused(
    evaluate: Evaluate, tmp_path: Path, additions: Write
) -> None:
    """A chat model writes an answer; it does not weigh given ones. Nothing is asked."""
    folder = tmp_path / "allenai" / "sciq"
    folder.mkdir(parents=True)
    row = {"question": "?", "support": "", "correct_answer": "a"}
    row |= {f"distractor{n}": str(n) for n in (1, 2, 3)}
    for split in ("train", "validation", "test"):
        (folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    model = ScriptedModel(lambda *_: "x")
    with pytest.raises(UsageError, match="sciq needs log-likelihoods"):
        await evaluate(model, additions(1), stock_tasks=["sciq"])
    assert not model.calls
