"""Continuous batching of a real model: the replies of plain batches, and errors that are raised."""

import asyncio
import collections
import contextlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.llm.tiny_model import GREEDY, WARM, question, spec, tiny_model
from weak2wise_core.config import Batching
from weak2wise_core.errors import FatalModelError
from weak2wise_core.llm.continuous import PAGE
from weak2wise_core.llm.engine import Engine
from weak2wise_core.llm.jobs import Answer, Prompt
from weak2wise_core.llm.loading import load_engine
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.measuring import Way
from weak2wise_core.llm.packing import StreamPlan
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.session import StreamFailedError
from weak2wise_core.records import ChatReply, FinishReason, Message

torch = pytest.importorskip("torch")

ROOMY = StreamPlan(slots=8, longest=256, cache_tokens=8 * 256, step_tokens=1024)
NARROW = StreamPlan(slots=3, longest=256, cache_tokens=256, step_tokens=32)
"""Prompts are computed in parts, and there is room for one whole request only."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of a few thousand parameters."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def engine(folder: Path) -> Engine:
    """The model, loaded."""
    return load_engine(spec(folder))


def requests(count: int) -> list[tuple[list[Message], Sampling, int]]:
    """Greedy and sampled requests of many lengths and limits."""
    kinds = (GREEDY, WARM, Sampling(temperature=0.7, max_tokens=9), Sampling(temperature=1.0))
    return [
        (question(number), kinds[number % len(kinds)], draw)
        for number in range(count)
        for draw in range(2)
    ]


def prompts_of(engine: Engine, count: int) -> list[Prompt]:
    """The same requests, ready for the model."""
    return [
        engine.prompt(messages, sampling=sampling, draw=draw)
        for messages, sampling, draw in requests(count)
    ]


def plainly(engine: Engine, prompts: Sequence[Prompt]) -> list[Answer]:
    """The answers of plain batches of one."""
    return [engine.answer([one], dropped=lambda row: False)[0] for one in prompts]


def streamed(engine: Engine, prompts: Sequence[Prompt], plan: StreamPlan) -> list[Answer]:
    """The answers of one session."""
    answers: dict[int, Answer] = {}
    with contextlib.closing(engine.open_stream(plan)) as stream:
        for number, prompt in enumerate(prompts):
            stream.add(number, prompt)
        while len(answers) < len(prompts):
            answers |= dict(stream.finished(5))
        assert stream.steps > 1
    return [answers[number] for number in range(len(prompts))]


async def ask_all(folder: Path, count: int, **settings: Any) -> tuple[list[ChatReply], Any]:
    """The replies of a model opened for these requests alone, and what it did."""
    model = TransformersModel(spec(folder, **settings))
    try:
        calls = [
            model.chat(messages, sampling=sampling, draw=draw)
            for messages, sampling, draw in requests(count)
        ]
        return list(await asyncio.gather(*calls)), model.stats()
    finally:
        await model.aclose()


@pytest.mark.parametrize("plan", [ROOMY, NARROW])
def test_replies_are_those_of_plain_batches(engine: Engine, plan: StreamPlan) -> None:
    """Greedy and sampled, in parts or whole, also where a request is put back for lack of room."""
    prompts = prompts_of(engine, 12)
    assert streamed(engine, prompts, plan) == plainly(engine, prompts)


def test_a_repetition_penalty_sees_prompt_and_reply(folder: Path, tmp_path: Path) -> None:
    """What the model's settings ask of plain batches holds in continuous ones."""
    copy = shutil.copytree(folder, tmp_path / "tiny")
    own = json.loads((copy / "generation_config.json").read_text())
    own |= {"repetition_penalty": 1.3, "top_k": 20}
    (copy / "generation_config.json").write_text(json.dumps(own))
    engine = load_engine(spec(copy))
    prompts = prompts_of(engine, 6)
    penalised = streamed(engine, prompts, ROOMY)
    assert penalised == plainly(engine, prompts)
    without = load_engine(spec(folder))
    assert penalised != plainly(without, prompts_of(without, 6))


def test_a_shared_beginning_changes_no_reply(engine: Engine) -> None:
    """Prompts that share pages get the replies that they get alone, and are computed once."""
    long = "Tom has 12 apples and buys 7 more. " * 6
    prompts = [
        engine.prompt(
            [Message(role="user", content=long + str(number))],
            sampling=Sampling(temperature=0.0, max_tokens=12),
            draw=0,
        )
        for number in range(6)
    ]
    alone = plainly(engine, prompts)
    answers: dict[int, Answer] = {}
    with (
        steps_of(engine) as sizes,
        contextlib.closing(engine.open_stream(ROOMY)) as stream,
    ):
        for number, prompt in enumerate(prompts):  # each finds the pages of the one before it
            stream.add(number, prompt)
            while number not in answers:
                answers |= dict(stream.finished(5))
    assert [answers[number] for number in range(6)] == alone
    generated = sum(answer.completion_tokens for answer in alone)
    beginnings = 5 * (len(prompts[0].ids) // PAGE - 1) * PAGE
    assert sum(sizes) <= sum(len(one.ids) for one in prompts) + generated - beginnings


async def test_a_model_answers_continuously_where_the_recipe_says_so(folder: Path) -> None:
    """The replies are equal, and the figures say how they were made."""
    plain, _ = await ask_all(folder, 12, batch_size=4, batching="plain")
    continuous, stats = await ask_all(folder, 12, batch_size=4, batching="continuous")
    assert continuous == plain
    assert stats.way is Way.CONTINUOUS
    assert stats.device == "cpu"
    assert stats.generated_tokens == sum(reply.usage.completion_tokens for reply in plain)
    assert 0 < stats.slots_used <= 1
    assert not [thread for thread in threading.enumerate() if "generation" in thread.name]


async def test_the_way_of_batching_is_no_part_of_a_reply_s_key(folder: Path) -> None:
    """Replies of one way are found by the other."""
    specs = [spec(folder, batching=way.value) for way in Batching]
    assert len({json.dumps(TransformersModel(one).identity, sort_keys=True) for one in specs}) == 1
    assert len({json.dumps(one.identity(), sort_keys=True) for one in specs}) == 1


def test_only_a_gpu_measures_which_way_is_faster(folder: Path, engine: Engine) -> None:
    """On a CPU `auto` means plain batches; what a recipe names is taken."""
    assert engine.contest().ways == (Way.PLAIN,)
    named = load_engine(spec(folder, batching="continuous"))
    assert named.contest().ways == (Way.CONTINUOUS,)
    engine._model = type("OnGpu", (), {"device": torch.device("cuda")})()
    assert tuple(engine.contest().ways) == (Way.PLAIN, Way.CONTINUOUS)


@contextlib.contextmanager
def steps_of(
    engine: Engine, *, error: Exception | None = None, failures: int = 1
) -> Iterator[list[int]]:
    """Tokens of every step of the model, of which the first ones may fail."""
    sizes: list[int] = []

    def look(module: object, args: object, kwargs: dict[str, Any]) -> None:
        sizes.append(kwargs["input_ids"].shape[-1])
        if error is not None and len(sizes) <= failures:
            raise error

    handle = engine._model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()


async def test_a_session_that_exceeds_the_memory_is_halved(
    folder: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The replies are those of a model with room enough; no request is lost."""
    roomy, _ = await ask_all(folder, 12, batch_size=8)
    cramped = load_engine(spec(folder, batching="continuous"))
    model = TransformersModel(spec(folder, batch_size=8))
    model._engine = model._executor.submit(lambda: cramped)
    error = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand more")
    with steps_of(cramped, error=error, failures=2):
        calls = [
            model.chat(messages, sampling=sampling, draw=draw)
            for messages, sampling, draw in requests(12)
        ]
        assert await asyncio.gather(*calls) == roomy
    await model.aclose()
    for slots in (8, 4):
        assert f"{slots} requests did not fit into memory (CUDA out of memory. T" in caplog.text
    assert "2 requests did not fit" not in caplog.text


async def test_a_failure_of_the_model_is_an_error_with_advice(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library only logs it; here every call gets it, and nothing is printed."""
    model = TransformersModel(spec(folder, batching="continuous"))
    broken = model._executor.submit(load_engine, spec(folder, batching="continuous"))
    model._engine = broken
    engine = await asyncio.wrap_future(broken)
    with steps_of(engine, error=RuntimeError("device-side assert triggered")):
        calls = [model.chat(question(n), sampling=GREEDY, draw=0) for n in range(3)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await model.aclose()
    for outcome in outcomes:
        assert isinstance(outcome, FatalModelError)
        assert "device-side assert triggered" in str(outcome)
        assert "batching: plain" in str(outcome)
    assert "Traceback" not in capfd.readouterr().err


def test_a_model_that_cannot_be_batched_continuously_is_named(engine: Engine) -> None:
    """Layers of another kind than attention have no pages."""
    engine._model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(StreamFailedError, match="linear_attention"):
        engine.open_stream(ROOMY)
    engine._model.config.layer_types = ["full_attention", "full_attention"]
    engine._model.config._attn_implementation = "flex_attention"
    with pytest.raises(StreamFailedError, match="flex_attention"):
        engine.open_stream(ROOMY)


def test_a_dropped_request_ends_and_its_neighbour_does_not(engine: Engine) -> None:
    """Nothing is heard of it any more."""
    long = Sampling(temperature=1.0, max_tokens=200)
    prompts = [engine.prompt(question(5), sampling=long, draw=draw) for draw in range(2)]
    whole = plainly(engine, prompts)
    with contextlib.closing(engine.open_stream(ROOMY)) as stream:
        for number, prompt in enumerate(prompts):
            stream.add(number, prompt)
        stream.drop(0)
        answers: list[tuple[int, Answer]] = []
        while not answers:
            answers += stream.finished(5)
    assert answers == [(1, whole[1])]


def test_a_request_that_the_library_loses_is_not_waited_for(engine: Engine) -> None:
    """It knows of nothing to do while a request is not answered: that is a failure, said aloud."""
    [prompt] = plain_prompts = prompts_of(engine, 1)[:1]
    with contextlib.closing(engine.open_stream(ROOMY)) as stream:
        stream.add(0, prompt)
        answers: list[tuple[int, Answer]] = []
        while not answers:
            answers += stream.finished(5)
        assert [answer for _, answer in answers] == plainly(engine, plain_prompts)
        stream._manager.add_request = lambda *args, **kwargs: None
        stream.add(1, prompt)
        with pytest.raises(StreamFailedError, match="requests that were lost: 1"):
            collections.deque((stream.finished(0.001) for _ in range(10_000)), maxlen=0)


@pytest.mark.gpu
async def test_both_ways_of_a_gpu_give_whole_replies(folder: Path) -> None:
    """In float32 they are equal; `auto` measures, and takes one of them."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = {"device": "cuda", "dtype": "float32", "batch_size": 4}
    plain, _ = await ask_all(folder, 12, batching="plain", **on_gpu)
    continuous, stats = await ask_all(folder, 12, batching="continuous", **on_gpu)
    assert continuous == plain
    assert stats.way is Way.CONTINUOUS
    measured, _ = await ask_all(folder, 60, batching="auto", **on_gpu)
    assert measured[:24] == plain
    half, _ = await ask_all(folder, 12, batching="continuous", device="cuda", batch_size=4)
    assert all(reply.usage.completion_tokens for reply in half)
    assert {reply.finish_reason for reply in half} <= {FinishReason.STOP, FinishReason.LENGTH}
