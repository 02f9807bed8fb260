"""A reply of a local model is fixed by its request; batches, limits and failures are its own."""

import asyncio
import json
import random
import shutil
import sys
import threading

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.errors import (
    FatalModelError,
    InputFileError,
    MissingExtraError,
    RecipeError,
    RequestRefusedError,
    UsageError,
)
from weak2wise_core.llm.engine import Engine, load_engine
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.records import FinishReason, Message

torch = pytest.importorskip("torch")

CONTEXT = 256
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GREEDY = Sampling(temperature=0.0, max_tokens=24)
WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=24)


def tokenizer_in(folder) -> None:
    """A byte-level BPE of 300 tokens with three special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Tom has 12 apples and buys 7 more. 12 + 7 = 19"] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    marks = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(marks))
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def model_in(folder) -> None:
    """Random Qwen2 weights, wide enough apart that no two tokens tie, stored in half precision."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(config)
    # many end tokens, so that random replies stop at many lengths
    model.generation_config = GenerationConfig(eos_token_id=[2, *range(40, 55)], pad_token_id=0)
    model.to(torch.float16).save_pretrained(folder)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A whole model of a few thousand parameters."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    model_in(path)
    tokenizer_in(path)
    return path


@pytest.fixture(scope="session")
def engine(folder):
    """The model, loaded and warm: the first batch imports much."""
    engine = load_engine(spec(folder))
    engine.answer([engine.prompt(question(0), sampling=GREEDY, draw=0)], dropped=lambda row: False)
    return engine


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the model that a test may change."""
    return shutil.copytree(folder, tmp_path / "tiny")


@pytest.fixture
async def model(folder):
    """A model with batches of eight."""
    model = TransformersModel(spec(folder, batch_size=8))
    yield model
    await model.aclose()


def spec(folder, **settings) -> ModelSpec:
    """A specification of a model on the CPU."""
    settings = {"device": "cpu", **settings}
    return ModelSpec(backend=Backend.TRANSFORMERS, model=str(folder), **settings)


def question(number: int) -> list[Message]:
    """Conversations of many lengths."""
    return [Message(role="user", content=f"{number} + {number} = " * (number % 7 + 1))]


async def ask_all(model, requests, *, batch_order=None):
    """Ask at once, in some order; replies come back in the order of the requests."""
    order = batch_order or list(range(len(requests)))
    tasks = {}
    async with asyncio.TaskGroup() as group:
        for place in order:
            messages, sampling, draw = requests[place]
            call = model.chat(messages, sampling=sampling, draw=draw)
            tasks[place] = group.create_task(call)
    return [tasks[place].result() for place in range(len(requests))]


async def ask_fresh(folder, requests, **settings):
    """The replies of a model opened for these requests alone."""
    model = TransformersModel(spec(folder, **settings))
    try:
        return await ask_all(model, requests)
    finally:
        await model.aclose()


async def test_a_greedy_reply_is_that_of_the_transformers_library(model, engine):
    """Text, length and finish reason equal plain `generate` on the one prompt."""
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(model._spec.model, dtype=torch.float32)
    replies = await ask_all(model, [(question(n), GREEDY, 0) for n in range(8)])
    for number, reply in enumerate(replies):
        ids = engine.tokens.encode_chat(question(number))
        output = plain.generate(
            torch.tensor([ids]), max_new_tokens=24, attention_mask=torch.ones(1, len(ids))
        )[0, len(ids) :].tolist()
        ended = output[-1] in engine._end_ids
        assert reply.content == engine.tokens.decode(output[:-1] if ended else output)
        assert reply.usage.completion_tokens == len(output)
        assert reply.usage.prompt_tokens == len(ids)
        assert reply.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)


async def test_the_other_requests_of_a_batch_do_not_change_a_reply(folder, model):
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
    together = await ask_all(model, requests, batch_order=order)
    alone = await ask_fresh(folder, requests, batch_size=1)
    odd = await ask_fresh(folder, requests[::-1], batch_size=5)
    assert together == alone == odd[::-1]
    assert model.stats().mean_batch > 4


async def test_draws_differ_where_the_model_samples_and_agree_where_it_is_greedy(model):
    """Twelve draws are twelve replies; a temperature of 0 has only one."""
    warm = await ask_all(model, [(question(3), WARM, draw) for draw in range(12)])
    assert len({reply.content for reply in warm}) > 9
    greedy = await ask_all(model, [(question(3), GREEDY, draw) for draw in range(4)])
    assert len({reply.content for reply in greedy}) == 1
    seeded = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=1)
    assert (await model.chat(question(3), sampling=seeded, draw=0)) != warm[0]


async def test_each_request_of_a_batch_has_its_own_limit(model, engine):
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


async def test_a_prompt_is_never_cut(model, engine):
    """Prompt and limit may fill the context to the last token; one more is refused by numbers."""
    used = len(engine.tokens.encode_chat(question(6)))
    left = CONTEXT - used
    exact = Sampling(temperature=0.0, max_tokens=left)
    assert (await model.chat(question(6), sampling=exact, draw=0)).usage.prompt_tokens == used
    over = Sampling(temperature=0.0, max_tokens=left + 1)
    with pytest.raises(RequestRefusedError, match=rf"{used} tokens .* {left + 1}, .* {CONTEXT}"):
        await model.chat(question(6), sampling=over, draw=0)
    long = [Message(role="user", content="word " * CONTEXT)]
    with pytest.raises(RequestRefusedError, match="Lower max_tokens"):
        await model.chat(long, sampling=Sampling(), draw=0)


async def test_without_a_limit_a_reply_may_take_the_rest_of_the_context(copy):
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


class Cramped:
    """A model whose memory holds two rows, or that fails in another way."""

    def __init__(self, model, *, error: str = "CUDA out of memory. Tried to allocate") -> None:
        self._model = model
        self._error = error
        self.sizes: list[int] = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def generate(self, **batch):
        """Fail on three rows or more."""
        self.sizes.append(len(batch["input_ids"]))
        if len(batch["input_ids"]) > 2:
            raise RuntimeError(self._error)
        return self._model.generate(**batch)


async def test_a_batch_that_exceeds_the_memory_is_answered_in_smaller_ones(folder):
    """The replies are those of a model with room enough."""
    from transformers import AutoModelForCausalLM

    cramped = Cramped(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
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


def test_other_failures_of_the_model_are_not_taken_for_a_lack_of_memory(engine):
    """Only the words of the memory errors count; anything else goes up as it is."""
    prompts = [engine.prompt(question(n), sampling=GREEDY, draw=0) for n in range(3)]
    for error, kind in (
        ("CUDA out of memory. Tried to allocate 2 GiB", MemoryError),
        ("DefaultCPUAllocator: can't allocate memory", MemoryError),
        ("CUDA error: device-side assert triggered", RuntimeError),
    ):
        cramped = Engine(Cramped(engine._model, error=error), tokens=engine.tokens)
        with pytest.raises(kind, match=error[:20]):
            cramped.answer(prompts, dropped=lambda row: False)


def test_a_batch_that_nobody_waits_for_ends_at_once(engine):
    """Rows that were dropped stop; a row that is waited for goes on to its end."""
    long = Sampling(temperature=1.0, max_tokens=30)
    prompts = [engine.prompt(question(5), sampling=long, draw=draw) for draw in range(8)]
    whole = engine.answer(prompts, dropped=lambda row: False)
    cut = engine.answer(prompts, dropped=lambda row: True)
    assert {answer.completion_tokens for answer in cut} == {1}
    assert max(answer.completion_tokens for answer in whole) > 1
    assert engine.answer(prompts, dropped=lambda row: row != 3)[3] == whole[3]


async def test_a_cancelled_call_disturbs_no_other(folder):
    """Cancelling one call, while loading or later, leaves the replies of the others."""
    model = TransformersModel(spec(folder, batch_size=4))
    requests = [(question(number), WARM, 0) for number in range(10)]
    tasks = [
        asyncio.create_task(model.chat(messages, sampling=sampling, draw=draw))
        for messages, sampling, draw in requests
    ]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await tasks[1]
    tasks[9].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await model.aclose()
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:9] == (await ask_fresh(folder, requests))[1:9]


async def test_closing_ends_the_thread_and_fails_what_waits(folder):
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


def test_one_model_serves_several_event_loops(folder):
    """A loop that has ended does not take the model with it."""
    model = TransformersModel(spec(folder))
    replies = [asyncio.run(model.chat(question(1), sampling=GREEDY, draw=0)) for _ in range(2)]
    asyncio.run(model.aclose())
    assert replies[0] == replies[1]


async def test_thinking_is_taken_apart_also_where_the_prompt_opens_it(copy):
    """A reply that was cut inside its thinking has no content, though it shows no tag."""
    (copy / "chat_template.jinja").write_text(
        TEMPLATE.replace("assistant\n", "assistant\n<think>\n")
    )
    [reply] = await ask_fresh(copy, [(question(2), Sampling(temperature=0.0, max_tokens=6), 0)])
    assert reply.content == ""
    assert reply.reasoning


async def test_without_a_temperature_the_models_own_settings_decide(copy, caplog):
    """Greedy where generation_config.json is silent, sampled where it says so; more is named."""
    silent = Sampling(max_tokens=24)
    draws = [(question(3), silent, draw) for draw in range(6)]
    assert len({reply.content for reply in await ask_fresh(copy, draws)}) == 1
    own = json.loads((copy / "generation_config.json").read_text())
    own |= {"do_sample": True, "temperature": 0.9, "no_repeat_ngram_size": 3}
    (copy / "generation_config.json").write_text(json.dumps(own))
    assert len({reply.content for reply in await ask_fresh(copy, draws)}) > 3
    assert "sets no_repeat_ngram_size, which" in caplog.text


def test_weights_stored_in_half_precision_compute_in_float32_on_a_cpu(folder, engine):
    """`dtype: auto` follows the device, not the file; an explicit one is obeyed."""
    assert {weight.dtype for weight in engine._model.parameters()} == {torch.float32}
    assert not engine._model.training
    half = load_engine(spec(folder, dtype="bfloat16"))
    assert {weight.dtype for weight in half._model.parameters()} == {torch.bfloat16}


def test_identity_follows_the_content_of_a_folder_and_not_its_path(folder, copy):
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


async def test_a_reply_names_the_model_without_its_path(model, folder):
    """The returned model id tells apart two folders of one name."""
    reply = await model.chat(question(1), sampling=GREEDY, draw=0)
    assert reply.model == f"tiny@{model.identity['weights'][:12]}"


async def test_stats_add_up(model):
    """Requests and tokens are those of the replies; a burst runs in batches."""
    replies = await ask_all(model, [(question(n), WARM, 0) for n in range(24)])
    stats = model.stats()
    assert stats.requests == 24
    assert stats.generated_tokens == sum(reply.usage.completion_tokens for reply in replies)
    assert stats.prompt_tokens == sum(reply.usage.prompt_tokens for reply in replies)
    assert stats.busy_s > 0
    assert 3 <= stats.mean_batch <= 8


async def test_a_missing_torch_says_what_to_install(folder, monkeypatch):
    """Every call gets the same advice; none hangs."""
    monkeypatch.setitem(sys.modules, "torch", None)
    model = TransformersModel(spec(folder))
    calls = [model.chat(question(n), sampling=GREEDY, draw=0) for n in range(3)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await model.aclose()
    for outcome in outcomes:
        assert isinstance(outcome, MissingExtraError)
        assert "pip install 'weak2wise[local]'" in str(outcome)


def test_what_cannot_be_loaded_is_named_with_advice(folder, copy):
    """No weights, no tokenizer, no such folder, no such device: each says what to do."""
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(FatalModelError, match="cannot be loaded on cpu"):
        load_engine(spec(copy))
    (copy / "model.safetensors").unlink()
    with pytest.raises(FatalModelError, match=r"config\.json and weights"):
        load_engine(spec(copy))
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="tokenizer:"):
        load_engine(spec(copy))
    with pytest.raises(InputFileError, match="does not exist"):
        TransformersModel(spec(copy / "nowhere"))
    with pytest.raises(FatalModelError, match=r"not available here, only .*cpu"):
        load_engine(spec(folder, device="abacus"))


def test_fields_that_only_servers_take_are_refused(folder):
    """Nothing in a recipe is ignored in silence."""
    with pytest.raises(RecipeError, match="extra_body"):
        TransformersModel(spec(folder, extra_body={"top_k": 5}))


@pytest.mark.gpu
async def test_a_gpu_gives_the_same_reply_to_the_same_batch(folder):
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
