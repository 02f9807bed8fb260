"""Laws of `weak2wise evaluate` and its flow, over a server on the loopback interface."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from flows.commands.app import app
from testbed.questions import held_out_questions
from tests.core.evaluation.shapes import (
    CHOICES,
    NEVER_33,
    NOT_SAME,
    SAME,
    choice_replies,
    gold_letter,
    unfinished_replies,
    whole_replies,
)
from weak2wise_core.config import BenchmarkSettings, EvaluationSettings, ModelSpec
from weak2wise_core.errors import Weak2WiseError
from weak2wise_core.evaluation.choices import LETTERS, in_order

pytest.importorskip("lm_eval", reason="needs the extra eval")
runner = CliRunner()
Canned = tuple[dict[str, object], Reply]
Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs `weak2wise evaluate` with its data below `tmp_path`: exit code, output, messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("WEAK2WISE_FOLDERS")

    def run(*arguments: object) -> tuple[int, str, str]:
        result = runner.invoke(app, ["evaluate", *map(str, arguments)])
        if isinstance(result.exception, Weak2WiseError):
            return result.exception.exit_code, result.stdout, str(result.exception)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def lines(path: Path, rows: Sequence[object]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def server_of(canned: Sequence[Canned]) -> LoopbackServer:
    """A server that knows one reply to each question."""
    replies = {str(row["Question"]): reply for row, reply in canned}

    def answer(request: dict[str, Any]) -> Reply:
        return replies[request["messages"][-1]["content"].partition("\n")[0]]

    return LoopbackServer(answer)


def question(number: int) -> str:
    """A question unlike the others, in one line."""
    return f"Question number {number}: what is it?"


def aime(*, right: bool) -> Iterator[Canned]:
    """The same answer to every question, or every shape of no such answer."""
    wrong = [*whole_replies(34), *unfinished_replies(33), *(Reply(content=t) for t in NEVER_33)]
    for number, reply in enumerate(whole_replies(33) if right else wrong):
        yield {"Question": question(number), "Answer": 33}, reply


def math(*, right: bool) -> Iterator[Canned]:
    """Answers in another notation, or other answers."""
    for number, (gold, answer) in enumerate(SAME if right else NOT_SAME):
        yield (
            {"Question": question(number), "Answer": gold},
            Reply(content=f"\\boxed{{{answer}}}"),
        )


def gpqa(*, right: bool) -> Iterator[Canned]:
    """The right choice by letter and text, or the one that is shown under the next letter."""
    for number, _ in enumerate(choice_replies("A", "x")):
        text = question(number)
        shown = in_order(text, CHOICES)
        place = (LETTERS.index(gold_letter(text)) + (not right)) % len(LETTERS)
        row: dict[str, object] = {"Question": text, "Correct Answer": CHOICES[0]}
        row |= {f"Incorrect Answer {n}": CHOICES[n] for n in (1, 2, 3)}
        yield row, list(choice_replies(LETTERS[place], shown[place]))[number]


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize(
    ("kind", "canned"), [("aime24", aime), ("math500", math), ("gpqa_diamond", gpqa)]
)
def test_canned_answers_are_all_right_or_all_wrong(
    invoke: Invoke,
    engine: None,
    tmp_path: Path,
    kind: str,
    canned: Callable[..., Iterator[Canned]],
    right: bool,
) -> None:
    """Every shape of a right answer gives 100%, and of a wrong one 0%, through the command line."""
    pairs = list(canned(right=right))
    path = lines(tmp_path / f"{kind}.jsonl", [row for row, _ in pairs])
    with server_of(pairs) as server:
        code, output, errors = invoke(
            "m", "--base-url", server.base_url, "--benchmark", f"{kind}={path}", "--json"
        )
    assert code == 0, errors
    found = json.loads(output)["benchmarks"][kind]
    assert found["answers"] == len(pairs)
    assert found["pass_at_1"] == float(right)
    assert found["refused"] == 0


@pytest.mark.slow
def test_repeats_are_asked_with_seeds_of_their_own(
    invoke: Invoke, engine: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The server sees k seeds for each question, the limit and the sampling of the evaluation.

    Asked again, nothing reaches the server. A file that a person types may lie anywhere.
    """
    pairs = [({"Question": question(n), "Answer": n}, Reply(content=f"{n}")) for n in range(3)]
    path = lines(tmp_path_factory.mktemp("mine") / "aime.jsonl", [row for row, _ in pairs])
    with server_of(pairs) as server:
        arguments = ["m", "--base-url", server.base_url, "--benchmark", f"aime24={path}"]
        options = ["--samples", 4, "--set", "evaluation.max_tokens=77", "--json"]
        code, output, errors = invoke(*arguments, *options, "--name", "first")
        assert code == 0, errors
        again = invoke(*arguments, *options, "--limit", 2)
        assert json.loads(again[1])["benchmarks"]["aime24"]["questions"] == 2
        bodies = [one.body for one in server.requests]
    seeds = sorted((body["messages"][0]["content"], body["seed"]) for body in bodies)
    assert seeds == [(question(n), seed) for n in range(3) for seed in range(4)]
    assert {body["max_tokens"] for body in bodies} == {77}
    assert {(body["temperature"], body["top_p"]) for body in bodies} == {(0.6, 0.95)}
    facts = json.loads(output)
    assert (facts["name"], facts["run"]["calls"]) == ("first", 12)
    assert Path(facts["folder"]).parent == tmp_path / "data" / "evaluations" / "first"


@pytest.mark.slow
def test_a_recipe_lends_its_models_budget_and_evaluation(
    invoke: Invoke, engine: None, tmp_path: Path
) -> None:
    """At its budget an evaluation stops with exit code 1; with more it goes on, asking the rest.

    A model of the recipe goes by its name there; against another it is compared question by
    question.
    """
    pairs = [({"Question": question(n), "Answer": n}, Reply(content=f"{n}")) for n in range(6)]
    path = lines(tmp_path / "aime.jsonl", [row for row, _ in pairs])

    def answer(request: dict[str, Any]) -> str:
        number = int(request["messages"][0]["content"].split()[2].strip(":"))
        return str(number + (request["model"] == "bad" and number > 0))

    with LoopbackServer(answer) as server:
        served = {"backend": "openai", "base_urls": [server.base_url]}
        recipe = {
            "dataset": "d",
            "questions": {"path": str(path)},
            "models": {
                "weak": served | {"model": "good"},
                "strong": [served | {"name": "other", "model": "bad"}],
            },
            "judging": {"method": "rule"},
            "truncation": {"method": "rule"},
            "evaluation": {"benchmarks": [{"kind": "aime24", "path": str(path)}]},
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(json.dumps(recipe))
        code, output, _ = invoke("weak", "--recipe", file, "--set", "budget.calls=4")
        assert (code, "StoppedAtBudget" in output) == (1, True)
        assert not list((tmp_path / "data").glob("evaluations/*"))
        code, output, errors = invoke("weak", "--recipe", file, "--against", "other", "--json")
        assert code == 0, errors
        facts = json.loads(output)
        assert len(server.requests) == 12
        assert (facts["run"]["calls"], facts["run"]["stored"]) == (8, 4)
        compared = facts["comparisons"]["aime24"]
        assert (compared["better"], compared["worse"]) == (5, 0)
        assert compared["p_value"] == pytest.approx(2 / 2**5)
        results = tmp_path / "data" / "evaluations" / "bad"
        code, output, errors = invoke("weak", "--recipe", file, "--against", results)
        assert code == 0, errors
        assert "Against bad" in output
        assert "5/0" in output
        assert len(server.requests) == 12


@pytest.mark.slow
async def test_the_flow_evaluates_a_model_folder(
    engine: None, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, as the event about a trained model names it, runs in this process.

    The testbed's weak model answers between 5% and 18% of unseen questions; known base: 7% to 13%.
    """
    monkeypatch.chdir(repository)
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
    from flows.evaluation import evaluation

    rows = [
        {"id": one.id, "question": one.question, "answer": one.answer}
        for one in held_out_questions(count=200, seed=3)
    ]
    path = lines(tmp_path / "data.jsonl", rows)
    benchmark = BenchmarkSettings.model_validate({"kind": "math500", "path": path})
    settings = EvaluationSettings(benchmarks=(benchmark,), temperature=0, max_tokens=64)
    state = await evaluation(
        str(repository / "testbed" / "weak_model"), settings, return_state=True
    )
    published: Any = await state.aresult()
    found = published.results["benchmarks"]["math500"]
    assert 0.05 <= found["pass_at_1"] <= 0.18
    assert (found["questions"], found["unjudged"], found["cut"]) == (200, 0, 0)
    assert published.results["model"]["model"] == "weak_model"


@pytest.mark.slow
async def test_the_flow_reads_only_what_it_may(
    engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever fills in a form on a server names no file outside of the allowed folders."""
    monkeypatch.delenv("WEAK2WISE_FOLDERS")
    from flows.evaluation import evaluation

    path = lines(tmp_path / "secret.jsonl", [{"question": "?", "answer": 1}])
    benchmark = BenchmarkSettings.model_validate({"kind": "math500", "path": path})
    settings = EvaluationSettings(benchmarks=(benchmark,))
    model = ModelSpec.model_validate(
        {"backend": "openai", "model": "m", "base_urls": ["http://127.0.0.1:9/v1"]}
    )
    state: Any = await evaluation(model, settings, return_state=True)
    with pytest.raises(Weak2WiseError, match=r"may not read:\n  evaluation.benchmarks.0.path"):
        await state.aresult()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["m"], "no benchmark is named"),
        (["m", "--benchmark", "good.jsonl"], "write KIND=FILE"),
        (["m", "--benchmark", "mmlu=good.jsonl"], "aime24, math500, gpqa_diamond"),
        (["m", "--benchmark", "math500=absent.jsonl"], "absent.jsonl does not exist"),
        (["m", "--benchmark", "math500=bad.jsonl"], "row 2: no field 'problem' or 'question'"),
        (["empty", "--benchmark", "math500=good.jsonl"], "has no configuration"),
        (["./nothing", "--benchmark", "math500=good.jsonl"], "does not exist"),
        (["m", "--set", "evaluation.colour=1"], "evaluation.colour: unknown key"),
        (["m", "--set", "step_mask.beta=1"], "without a recipe write evaluation.KEY=VALUE"),
        (["m", "--api-key-env", "KEY"], "--base-url"),
        (["m", "--base-url", "localhost:8000"], "does not begin with http"),
        (["m", "--benchmark", "math500=good.jsonl", "--against", "./gone"], "gone does not exist"),
    ],
)
def test_bad_usage_is_one_sentence(
    invoke: Invoke, tmp_path: Path, arguments: list[str], found: str
) -> None:
    """Exit code 2, before the task engine is started."""
    lines(tmp_path / "good.jsonl", [{"question": "?", "answer": 1}])
    lines(tmp_path / "bad.jsonl", [{"question": "?", "answer": 1}, {"text": "?"}])
    (tmp_path / "empty").mkdir()
    code, output, message = invoke(*arguments)
    assert (code, output) == (2, "")
    assert found in message


def test_without_the_extra_the_message_says_what_to_install(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that can be copied."""
    monkeypatch.setattr("weak2wise_core.evaluation.harness.find_spec", lambda _: None)
    path = lines(tmp_path / "good.jsonl", [{"question": "?", "answer": 1}])
    code, _, message = invoke("m", "--benchmark", f"math500={path}")
    assert code == 2
    assert "pip install 'weak2wise[eval]'" in message
