"""Laws of an evaluation: what is asked, what is counted, what is never asked twice."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.core.evaluation.conftest import Evaluate, Write
from weak2wise_core.config import Backend, BudgetSettings, EvaluationSettings, ModelSpec
from weak2wise_core.errors import (
    BudgetReachedError,
    EvaluationError,
    FatalModelError,
    ModelError,
    RequestRefusedError,
    TransientModelError,
    UsageError,
)
from weak2wise_core.evaluation.models import check_model, model_label, model_spec, settled
from weak2wise_core.evaluation.records import Counts
from weak2wise_core.gateway import Gateway
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.scripted import ScriptedModel
from weak2wise_core.records import ChatReply, FinishReason, Message, Usage, Verdict
from weak2wise_core.stores.replies import ReplyStore


def doubled(messages: Sequence[Message], *, by: int = 0) -> str:
    """The right answer to an addition, or one that is off."""
    return f"\\boxed{{{2 * int(messages[-1].content.split()[0]) + by}}}"


def calculator(*wrong: str) -> ScriptedModel:
    """A model that adds, but not in these questions."""
    return ScriptedModel(
        lambda messages, _sampling, _draw: doubled(
            messages, by=int(messages[-1].content.split("?")[0] in wrong)
        )
    )


async def test_accuracy_is_the_share_of_right_answers(evaluate: Evaluate, additions: Write) -> None:
    """One verdict a question, in the order of the file, and the question is all that is asked."""
    model = calculator("1 + 1", "3 + 3", "4 + 4")
    found = await evaluate(model, additions(5))
    (result,) = found.benchmarks
    assert result.accuracy == 0.4
    assert [item.id for item in result.items] == ["q0", "q1", "q2", "q3", "q4"]
    assert [item.verdicts[0] is Verdict.CORRECT for item in result.items] == [1, 0, 1, 0, 0]
    assert min(call.messages[0].content for call in model.calls) == "0 + 0?"
    assert all(len(call.messages) == 1 for call in model.calls)


async def test_k_samples_are_k_draws(evaluate: Evaluate, additions: Write) -> None:
    """Each draw is asked once, graded by itself, and pass@1 is the mean over questions."""
    model = ScriptedModel(lambda messages, _, draw: doubled(messages, by=int(draw > 0)))
    found = await evaluate(model, additions(3), samples=4)
    assert sorted(call.draw for call in model.calls) == sorted([0, 1, 2, 3] * 3)
    assert found.benchmarks[0].accuracy == 0.25
    assert found.benchmarks[0].items[0].verdicts == (Verdict.CORRECT, *[Verdict.INCORRECT] * 3)
    assert found.majorities == {"additions": 0.0}
    assert [sample.draw for sample in found.samples[:4]] == [0, 1, 2, 3]


async def test_the_most_frequent_answer_counts_for_maj_at_k(
    evaluate: Evaluate, additions: Write
) -> None:
    """Two right answers of four outvote two that differ from each other."""
    model = ScriptedModel(lambda messages, _, draw: doubled(messages, by=[5, 0, 7, 0][draw]))
    found = await evaluate(model, additions(2), samples=4)
    assert found.benchmarks[0].accuracy == 0.5
    assert found.majorities == {"additions": 1.0}


async def test_the_settings_decide_how_the_model_is_asked(
    evaluate: Evaluate, additions: Write
) -> None:
    """Limit, seed and sampling are those of the evaluation; what it leaves open is the model's."""
    spec = ModelSpec(
        backend=Backend.TESTBED, model="m", temperature=1.5, top_p=0.5, max_tokens=7, seed=1
    )
    model = calculator()
    await evaluate(model, additions(1), model=spec, temperature=0.2, max_tokens=99, seed=40)
    await evaluate(model, additions(1), model=spec, temperature=None, top_p=None)
    assert [call.sampling for call in model.calls] == [
        Sampling(temperature=0.2, top_p=0.95, max_tokens=99, seed=40),
        Sampling(temperature=1.5, top_p=0.5, max_tokens=7, seed=0),
    ]


async def test_without_a_limit_an_answer_may_fill_the_context(
    evaluate: Evaluate, additions: Write
) -> None:
    """A number of ours would be refused by every model whose whole context is not longer."""
    model = calculator()
    await evaluate(model, additions(1))
    assert [call.sampling.max_tokens for call in model.calls] == [None]


async def test_several_benchmarks_of_one_kind_stay_apart(
    evaluate: Evaluate, additions: Write
) -> None:
    """Results are by name; questions of the same text are asked once and counted twice."""
    gateway = Gateway(in_flight=8)
    found = await evaluate(
        calculator("1 + 1"), additions(2), additions(4, name="more"), gateway=gateway
    )
    assert {one.name: one.accuracy for one in found.benchmarks} == {"additions": 0.5, "more": 0.75}
    assert [len(found.of(name)) for name in ("additions", "more")] == [2, 4]


async def test_stored_answers_are_not_asked_again(
    evaluate: Evaluate, additions: Write, tmp_path: Path
) -> None:
    """The second evaluation gives the same samples and makes no call; more samples add theirs."""
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        model, found = calculator(), []
        for samples in (2, 2, 3):
            gateway = Gateway(in_flight=8, store=store)
            found.append(await evaluate(model, additions(3), gateway=gateway, samples=samples))
    assert found[0] == found[1]
    assert len(model.calls) == 9
    assert [one for one in found[2].samples if one.draw < 2] == list(found[0].samples)


async def test_missing_answers_are_no_result_and_the_others_are_kept(
    evaluate: Evaluate, additions: Write, tmp_path: Path
) -> None:
    """A passing failure is neither right nor wrong: started again, only its question is asked."""
    fails = [True]

    def script(messages: Sequence[Message], _: Sampling, __: int) -> str | ModelError:
        lost = fails[0] and messages[-1].content.startswith("2")
        return TransientModelError("the server is gone") if lost else doubled(messages)

    model = ScriptedModel(script)
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        with pytest.raises(EvaluationError, match=r"1 of 4 answers .* the server is gone"):
            await evaluate(model, additions(), gateway=Gateway(in_flight=8, store=store))
        fails[0] = False
        found = await evaluate(model, additions(), gateway=Gateway(in_flight=8, store=store))
    assert found.benchmarks[0].accuracy == 1
    assert len(model.calls) == 5


async def test_a_refused_question_is_counted_and_not_right(
    evaluate: Evaluate, additions: Write
) -> None:
    """What a server will never answer is shown with its reason."""

    def script(messages: Sequence[Message], _: Sampling, __: int) -> str | ModelError:
        refused = messages[-1].content.startswith("2")
        return RequestRefusedError("too long") if refused else doubled(messages)

    found = await evaluate(ScriptedModel(script), additions())
    sample = found.samples[2]
    assert (sample.verdict, sample.error, sample.cut) == (Verdict.UNJUDGED, "too long", False)
    assert found.benchmarks[0].accuracy == 0.75
    counts = Counts.of(found.samples)
    assert (counts.refused, counts.unjudged, counts.correct) == (1, 0, 3)


async def test_refused_questions_alone_are_no_result(evaluate: Evaluate, additions: Write) -> None:
    """A model that refuses everything was not evaluated."""
    model = ScriptedModel(lambda *_: RequestRefusedError("no such model"))
    with pytest.raises(EvaluationError, match="every request was refused"):
        await evaluate(model, additions())


async def test_a_hopeless_model_ends_the_evaluation(evaluate: Evaluate, additions: Write) -> None:
    """A wrong key or address is the error itself."""
    with pytest.raises(FatalModelError, match="wrong key"):
        await evaluate(ScriptedModel(lambda *_: FatalModelError("wrong key")), additions())


async def test_the_budget_ends_the_evaluation(evaluate: Evaluate, additions: Write) -> None:
    """What was paid for is kept, and no call is made above the cap."""
    model = calculator()
    gateway = Gateway(in_flight=2, budget=BudgetSettings(calls=3))
    with pytest.raises(BudgetReachedError):
        await evaluate(model, additions(9), gateway=gateway)
    assert len(model.calls) == 3


async def test_cut_thinking_and_reached_limits_are_counted(
    evaluate: Evaluate, additions: Write
) -> None:
    """Cut thinking is wrong whatever it says; a reply that reached its limit is graded."""
    replies = {
        "0": ("\\boxed{0}", None, FinishReason.LENGTH),  # the model thinks, so this is a thought
        "1": ("", "so \\boxed{2}", FinishReason.LENGTH),
        "2": ("\\boxed{4} and so on", "a thought", FinishReason.LENGTH),
        "3": ("\\boxed{6}", "a thought", FinishReason.STOP),
    }

    def script(messages: Sequence[Message], _: Sampling, __: int) -> ChatReply:
        content, reasoning, finish = replies[messages[-1].content[0]]
        usage = Usage(prompt_tokens=5, completion_tokens=10)
        return ChatReply(
            content=content, reasoning=reasoning, finish_reason=finish, usage=usage, model="m-1"
        )

    found = await evaluate(ScriptedModel(script), additions())
    assert [sample.cut for sample in found.samples] == [True, True, False, False]
    assert [sample.verdict for sample in found.samples[1:]] == [
        Verdict.INCORRECT,
        Verdict.CORRECT,
        Verdict.CORRECT,
    ]
    counts = Counts.of(found.samples)
    assert (counts.cut, counts.length, counts.completion_tokens) == (2, 3, 40)
    assert found.returned == {"m-1": 4}


async def test_gpqa_shows_choices_and_asks_for_a_letter(evaluate: Evaluate, tmp_path: Path) -> None:
    """Four lettered lines and the wish for a letter in a box; the right letter is right."""
    row = {"Question": "Which {{x}}?", "Correct Answer": "right"}
    row |= {f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)}
    path = tmp_path / "gpqa.jsonl"
    path.write_text(json.dumps(row) + "\n")

    def script(messages: Sequence[Message], _: Sampling, __: int) -> str:
        asked = messages[0].content
        assert asked.startswith("Which {{x}}?\n\nA) ")
        assert asked.endswith("within \\boxed{}.\n\nThink!")
        line = next(one for one in asked.splitlines() if one.endswith(") right"))
        return f"\\boxed{{{line[0]}}}"

    settings = {"kind": "gpqa_diamond", "path": str(path)}
    found = await evaluate(ScriptedModel(script), settings, prompt_suffix="Think!")
    assert found.benchmarks[0].accuracy == 1


async def test_many_evaluations_at_once_do_not_wait_for_each_other(
    evaluate: Evaluate, additions: Write
) -> None:
    """More evaluations than threads in the shared pool: their models still answer."""

    class Threaded(ScriptedModel):
        async def chat(self, *args: object, **kwargs: object) -> ChatReply:
            await asyncio.to_thread(lambda: None)
            return await super().chat(*args, **kwargs)  # type: ignore[arg-type]

    model = Threaded(lambda messages, _sampling, _draw: doubled(messages))
    found = await asyncio.wait_for(
        asyncio.gather(*(evaluate(model, additions(2)) for _ in range(40))), timeout=60
    )
    assert {one.benchmarks[0].accuracy for one in found} == {1.0}


async def test_a_cancelled_evaluation_asks_no_more(evaluate: Evaluate, additions: Write) -> None:
    """Whoever gives up leaves no call and no thread behind."""
    asked = asyncio.Event()

    def script(messages: Sequence[Message], _: Sampling, __: int) -> str:
        raise AssertionError(f"{messages} was answered")

    class Slow(ScriptedModel):
        async def chat(self, *args: object, **kwargs: object) -> ChatReply:
            asked.set()
            return await super().chat(*args, **kwargs)  # type: ignore[arg-type]

    model = Slow(script, latency_s=30)
    running = asyncio.ensure_future(evaluate(model, additions(), gateway=Gateway(in_flight=2)))
    await asyncio.wait(
        [running, asyncio.ensure_future(asked.wait())], return_when="FIRST_COMPLETED"
    )
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(model.calls) <= 2


async def test_without_a_benchmark_nothing_is_asked(evaluate: Evaluate) -> None:
    """The message says how to name one."""
    with pytest.raises(UsageError, match="--benchmark aime24=FILE"):
        await evaluate(calculator())


def test_a_trained_model_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    """Its folder knows the suffix of its training prompts and its name; settings overrule it."""
    about = {"name": "gr1k-7b", "dataset": {"version": "1", "prompt_suffix": "Box it."}}
    (tmp_path / "training.json").write_text(json.dumps(about))
    spec = model_spec(str(tmp_path))
    settings = EvaluationSettings(stock_tasks=("aime24",))
    assert settled(spec, settings).prompt_suffix == "Box it."
    assert settled(spec, settings.model_copy(update={"prompt_suffix": ""})).prompt_suffix == ""
    assert model_label(spec) == "gr1k-7b"
    assert settled(model_spec("Qwen/Qwen2.5-7B-Instruct"), settings).prompt_suffix == ""
    assert model_label(model_spec("Qwen/Qwen2.5-7B-Instruct")) == "Qwen-Qwen2.5-7B-Instruct"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["config.json", "tokenizer.json"], r"no weights \(\*\.safetensors or \*\.bin\);"),
        (["config.json", "model.safetensors"], "no tokenizer"),
        ([], "no configuration .*, no weights .*, no tokenizer"),
    ],
)
def test_a_folder_that_is_no_model_is_found_out(
    tmp_path: Path, files: list[str], found: str
) -> None:
    """What it lacks is named before anything is loaded."""
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=found):
        check_model(model_spec(str(tmp_path)))


def test_a_folder_that_does_not_exist_is_no_hub_id(tmp_path: Path) -> None:
    """A mistyped path is not looked for on the hub."""
    with pytest.raises(UsageError, match="does not exist"):
        check_model(model_spec(str(tmp_path / "nothing")))
