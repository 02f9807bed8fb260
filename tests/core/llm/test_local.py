"""A reply of a local model is fixed by its request; batches, limits and failures are its own."""

import asyncio
import gc
import json
import random
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.core.llm.tiny_model import (
    CONTEXT,
    END_IDS,
    GREEDY,
    TEMPLATE,
    WARM,
    Cramped,
    question,
    spec,
    tiny_model,
)
from weak2wise_core.errors import (
    FatalModelError,
    MissingExtraError,
    RecipeError,
    RequestRefusedError,
)
from weak2wise_core.llm.engine import Engine
from weak2wise_core.llm.loading import load_engine
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.records import ChatReply, FinishReason, Message

torch = pytest.importorskip("torch")

Request: TypeAlias = tuple[list[Message], Sampling, int]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of a few thousand parameters."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tokens(folder: Path) -> Tokens:
    """Its tokenizer."""
    return Tokens.load(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may change."""
    return shutil.copytree(folder, tmp_path / "tiny")


@pytest.fixture
async def model(folder: Path) -> AsyncIterator[TransformersModel]:
    """A model with batches of eight."""
    model = TransformersModel(spec(folder, batch_size=8))
    yield model
    await model.aclose()


async def ask_all(
    model: TransformersModel, requests: Sequence[Request], *, order: Sequence[int] | None = None
) -> list[ChatReply]:
    """Ask at once, in some order; replies come back in the order of the requests."""
    tasks = {}
    async with asyncio.TaskGroup() as group:
        for place in order or range(len(requests)):
            messages, sampling, draw = requests[place]
            call = model.chat(messages, sampling=sampling, draw=draw)
            tasks[place] = group.create_task(call)
    return [tasks[place].result() for place in range(len(requests))]


async def ask_fresh(folder: Path, requests: Sequence[Request], **settings: Any) -> list[ChatReply]:
    """The replies of a model opened for these requests alone."""
    model = TransformersModel(spec(folder, **settings))
    try:
        return await ask_all(model, requests)
    finally:
        await model.aclose()


@pytest.mark.parametrize("penalty", [1.0, 1.3])
async def test_a_greedy_reply_is_that_of_the_transformers_library(
    copy: Path, tokens: Tokens, penalty: float
) -> None:
    """Text, length and finish reason equal plain `generate` on the one prompt without padding."""
    from transformers import AutoModelForCausalLM

    own = json.loads((copy / "generation_config.json").read_text())
    own["repetition_penalty"] = penalty
    (copy / "generation_config.json").write_text(json.dumps(own))
    plain: Any = AutoModelForCausalLM.from_pretrained(copy, dtype=torch.float32)
    replies = await ask_fresh(copy, [(question(n), GREEDY, 0) for n in range(8)])
    for number, reply in enumerate(replies):
        ids = tokens.encode_chat(question(number))
        output = plain.generate(
            torch.tensor([ids]), max_new_tokens=24, attention_mask=torch.ones(1, len(ids))
        )[0, len(ids) :].tolist()
        ended = output[-1] in END_IDS
        assert reply.content == tokens.decode(output[:-1] if ended else output)
        assert reply.usage.completion_tokens == len(output)
        assert reply.usage.prompt_tokens == len(ids)
        assert reply.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)


async def test_the_other_requests_of_a_batch_do_not_change_a_reply(
    folder: Path, model: TransformersModel
) -> None:
    """Greedy and sampled replies are the same alone, in batches of 8, and in any company."""
    requests = [
        (
            question(number),
            (GREEDY, WARM, Sampling(temperature=0.7, max_tokens=9))[number % 3],
            draw,
        )
        for number in range(16)
        for draw in range(2)
    ]
    order = random.Random(5).sample(range(len(requests)), len(requests))
    together = await ask_all(model, requests, order=order)
    alone = await ask_fresh(folder, requests, batch_size=1)
    odd = await ask_fresh(folder, requests[::-1], batch_size=5)
    assert together == alone == odd[::-1]
    assert model.stats().mean_batch > 4


async def test_draws_differ_where_the_model_samples_and_agree_where_it_is_greedy(
    model: TransformersModel,
) -> None:
    """Twelve draws are twelve replies; a temperature of 0 has only one."""
    warm = await ask_all(model, [(question(3), WARM, draw) for draw in range(12)])
    assert len({reply.content for reply in warm}) > 9
    greedy = await ask_all(model, [(question(3), GREEDY, draw) for draw in range(4)])
    assert len({reply.content for reply in greedy}) == 1
    seeded = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=1)
    assert (await model.chat(question(3), sampling=seeded, draw=0)) != warm[0]


async def test_each_request_of_a_batch_has_its_own_limit(
    model: TransformersModel, tokens: Tokens
) -> None:
    """A lower limit gives the beginning of the longer reply, and LENGTH unless it ended before."""
    limits = [1, 2, 5, 9, 17, 40]
    requests = [
        (question(number), Sampling(temperature=1.0, max_tokens=limit), 0)
        for number in range(8)
        for limit in limits
    ]
    replies = await ask_all(model, requests)
    reasons = set()
    for start in range(0, len(replies), len(limits)):
        longest = replies[start + len(limits) - 1]
        for limit, reply in zip(limits, replies[start:], strict=False):
            used = min(limit, longest.usage.completion_tokens)
            assert reply.usage.completion_tokens == used
            stopped = longest.finish_reason is FinishReason.STOP
            ended = stopped and limit >= longest.usage.completion_tokens
            assert reply.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)
            assert longest.content.startswith(reply.content.rstrip("\ufffd"))
            reasons.add(reply.finish_reason)
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}


async def test_a_prompt_is_never_cut(model: TransformersModel, tokens: Tokens) -> None:
    """Prompt and limit may fill the context to the last token; one more is refused by numbers."""
    used = len(tokens.encode_chat(question(6)))
    left = CONTEXT - used
    exact = Sampling(temperature=0.0, max_tokens=left)
    assert (await model.chat(question(6), sampling=exact, draw=0)).usage.prompt_tokens == used
    over = Sampling(temperature=0.0, max_tokens=left + 1)
    with pytest.raises(RequestRefusedError, match=rf"{used} tokens .* {left + 1}, .* {CONTEXT}"):
        await model.chat(question(6), sampling=over, draw=0)
    long = [Message(role="user", content="word " * CONTEXT)]
    with pytest.raises(RequestRefusedError, match="Lower max_tokens"):
        await model.chat(long, sampling=Sampling(), draw=0)


async def test_without_a_limit_a_reply_may_take_the_rest_of_the_context(copy: Path) -> None:
    """No max_tokens means: until the model ends, or the context does."""
    own = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**own, "eos_token_id": 2}))
    requests = [(question(n), Sampling(temperature=0.0), 0) for n in range(6)]
    replies = await ask_fresh(copy, requests)
    full = [
        reply.usage.prompt_tokens + reply.usage.completion_tokens == CONTEXT
        for reply in replies
        if reply.finish_reason is FinishReason.LENGTH
    ]
    assert full
    assert all(full)


async def test_a_batch_that_exceeds_the_memory_is_answered_in_smaller_ones(folder: Path) -> None:
    """The replies are those of a model with room enough."""
    from transformers import AutoModelForCausalLM

    cramped: Any = Cramped(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    engine = Engine(cramped, tokens=Tokens.load(folder))
    model = TransformersModel(spec(folder, batch_size=8))
    model._engine = model._executor.submit(lambda: engine)
    requests = [(question(number), WARM, 0) for number in range(12)]
    try:
        replies = await ask_all(model, requests)
    finally:
        await model.aclose()
    assert replies == await ask_fresh(folder, requests, batch_size=8)
    assert max(cramped.sizes) > 2


async def test_a_cancelled_call_disturbs_no_other(folder: Path) -> None:
    """Cancelling one call, while loading or later, leaves the replies of the others."""
    model = TransformersModel(spec(folder, batch_size=4))
    go_on = threading.Event()
    model._executor.submit(go_on.wait)  # loading waits behind this, so that it can be cancelled
    requests = [(question(number), WARM, 0) for number in range(10)]
    tasks = [
        asyncio.create_task(model.chat(messages, sampling=sampling, draw=draw))
        for messages, sampling, draw in requests
    ]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    go_on.set()
    await tasks[1]
    tasks[9].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await model.aclose()
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:9] == (await ask_fresh(folder, requests))[1:9]


async def test_a_failure_to_load_that_nobody_waits_for_is_no_news(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of many calls one tells that the model cannot be loaded; the others were dropped."""
    model = TransformersModel(spec(folder, device="nowhere"))
    free = threading.Event()
    model._executor.submit(free.wait, 10)  # loading comes after this
    calls = [
        asyncio.ensure_future(model.chat(question(1), sampling=GREEDY, draw=n)) for n in range(3)
    ]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    free.set()
    with pytest.raises(FatalModelError, match="'nowhere' is not available"):
        await model.chat(question(1), sampling=GREEDY, draw=0)
    await model.aclose()
    del model, calls
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_closing_ends_the_thread_and_fails_what_waits(folder: Path) -> None:
    """After aclose no call hangs and no thread is left; closing twice is harmless."""
    model = TransformersModel(spec(folder, batch_size=2))
    await model.chat(question(1), sampling=GREEDY, draw=0)
    waiting = [
        asyncio.create_task(model.chat(question(n), sampling=Sampling(temperature=1.0), draw=n))
        for n in range(30)
    ]
    await asyncio.sleep(0.02)
    await model.aclose()
    await model.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert any(isinstance(outcome, FatalModelError) for outcome in outcomes)
    assert not any(thread.name.startswith("local-model") for thread in threading.enumerate())
    with pytest.raises(FatalModelError, match="was closed"):
        await model.chat(question(1), sampling=GREEDY, draw=0)


def test_one_model_serves_several_event_loops(folder: Path) -> None:
    """A loop that has ended does not take the model with it."""
    model = TransformersModel(spec(folder))
    replies = [asyncio.run(model.chat(question(1), sampling=GREEDY, draw=0)) for _ in range(2)]
    asyncio.run(model.aclose())
    assert replies[0] == replies[1]


async def test_thinking_is_taken_apart_also_where_the_prompt_opens_it(copy: Path) -> None:
    """A reply that was cut inside its thinking has no content, though it shows no tag."""
    (copy / "chat_template.jinja").write_text(
        TEMPLATE.replace("assistant\n", "assistant\n<think>\n")
    )
    [reply] = await ask_fresh(copy, [(question(2), Sampling(temperature=0.0, max_tokens=6), 0)])
    assert reply.content == ""
    assert reply.reasoning


async def test_without_a_temperature_the_models_own_settings_decide(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Greedy where generation_config.json is silent, sampled where it says so; more is named."""
    silent = Sampling(max_tokens=24)
    draws = [(question(3), silent, draw) for draw in range(6)]
    assert len({reply.content for reply in await ask_fresh(copy, draws)}) == 1
    own = json.loads((copy / "generation_config.json").read_text())
    own |= {"do_sample": True, "temperature": 0.9, "no_repeat_ngram_size": 3}
    (copy / "generation_config.json").write_text(json.dumps(own))
    assert len({reply.content for reply in await ask_fresh(copy, draws)}) > 3
    assert "sets no_repeat_ngram_size, which" in caplog.text


def test_identity_follows_the_content_of_a_folder_and_not_its_path(
    folder: Path, copy: Path
) -> None:
    """The same files elsewhere are the same model; other weights or another dtype are not."""
    identity = TransformersModel(spec(folder)).identity
    assert TransformersModel(spec(copy)).identity == identity
    assert str(folder.parent) not in json.dumps(identity)
    assert identity["backend"] == "transformers"
    assert TransformersModel(spec(copy, dtype="bfloat16")).identity != identity
    assert TransformersModel(spec(copy, tokenizer=str(folder))).identity != identity
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert TransformersModel(spec(copy)).identity != identity
    hub = TransformersModel(spec("Qwen/Qwen2.5-0.5B-Instruct")).identity
    assert (hub["model"], hub["weights"]) == ("Qwen/Qwen2.5-0.5B-Instruct", None)


async def test_a_reply_names_the_model_without_its_path(
    model: TransformersModel, folder: Path
) -> None:
    """The returned model id tells apart two folders of one name."""
    reply = await model.chat(question(1), sampling=GREEDY, draw=0)
    assert reply.model == f"tiny@{model.identity['weights'][:12]}"


async def test_stats_add_up(model: TransformersModel) -> None:
    """Requests and tokens are those of the replies; a burst runs in batches."""
    replies = await ask_all(model, [(question(n), WARM, 0) for n in range(24)])
    stats = model.stats()
    assert stats.requests == 24
    assert stats.generated_tokens == sum(reply.usage.completion_tokens for reply in replies)
    assert stats.prompt_tokens == sum(reply.usage.prompt_tokens for reply in replies)
    assert stats.busy_s > 0
    assert 3 <= stats.mean_batch <= 8


async def test_a_missing_torch_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call gets the same advice; none hangs."""
    monkeypatch.setitem(sys.modules, "torch", None)
    model = TransformersModel(spec(folder))
    calls = [model.chat(question(n), sampling=GREEDY, draw=0) for n in range(3)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await model.aclose()
    for outcome in outcomes:
        assert isinstance(outcome, MissingExtraError)
        assert "pip install 'weak2wise[local]'" in str(outcome)


def test_fields_that_only_servers_take_are_refused(folder: Path) -> None:
    """Nothing in a recipe is ignored in silence."""
    with pytest.raises(RecipeError, match="extra_body"):
        TransformersModel(spec(folder, extra_body={"top_k": 5}))


@pytest.mark.gpu
async def test_a_gpu_gives_the_same_reply_to_the_same_batch(folder: Path) -> None:
    """In bfloat16 on CUDA a rerun of the same batches agrees with itself."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    requests = [(question(number), WARM, draw) for number in range(8) for draw in range(2)]
    settings = {"device": "cuda", "batch_size": 1}
    first = await ask_fresh(folder, requests, **settings)
    assert first == await ask_fresh(folder, requests, **settings)
    engine = load_engine(spec(folder, device=None))
    assert engine._model.device.type == "cuda"
    assert engine._model.dtype == torch.bfloat16
    assert all(reply.usage.completion_tokens for reply in first)
