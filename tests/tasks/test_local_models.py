"""What a run tells of the models in this process."""

import asyncio

import pytest

from tasks.local_models import LocalModels, sentence
from testbed.models import open_testbed_model
from testbed.questions import pool_questions
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.llm.protocol import ChatModel, Sampling
from weak2wise_core.llm.scripted import ScriptedModel
from weak2wise_core.records import Message

pytest.importorskip("torch")


def opened(name: str) -> ChatModel:
    """A model of the testbed."""
    return open_testbed_model(ModelSpec(backend=Backend.TESTBED, model=name))


async def test_the_figures_of_a_local_model_are_told_once_and_after_it_is_closed() -> None:
    """Under its first name; a model that was not asked, a program and a server are left out."""
    local = LocalModels()
    weak, teacher = opened("weak"), opened("teacher-a")
    for name, model in (("weak", weak), ("judge", weak), ("strong", teacher)):
        local.watch(name, model)
    local.watch("unused", opened("weak"))
    local.watch("scripted", ScriptedModel(lambda *_: "yes"))
    assert local.rows() == []
    questions = pool_questions(count=5, seed=3)
    calls = [
        weak.chat([Message(role="user", content=one.question)], sampling=Sampling(), draw=0)
        for one in questions
    ]
    replies = await asyncio.gather(*calls)
    await weak.aclose()
    [row] = local.rows()
    assert (row["model"], row["device"], row["batching"]) == ("weak", "cpu", "plain")
    assert row["requests"] == 5
    assert row["generated_tokens"] == sum(reply.usage.completion_tokens for reply in replies)
    assert row["tokens_per_s"] > 0
    assert 0 < row["slots_used"] <= 1
    assert 0 < row["busy_share"] <= 1


def test_a_sentence_says_how_fast_and_how_full_a_model_was() -> None:
    """Speed while at work, the share of slots that gave tokens, and the share of time."""
    row = {
        "model": "weak",
        "device": "cuda:0",
        "batching": "continuous",
        "tokens_per_s": 1234.5,
        "slots_used": 0.789,
        "busy_share": 0.5,
    }
    assert sentence(row) == (
        "weak on cuda:0, continuous batches: 1,234 tokens/s while at work, "
        "79% of its slots used, at work 50% of the time"
    )
