"""Teachers that are language models: what they learnt from, and what they say."""

import random
from itertools import islice
from pathlib import Path

import pytest

from testbed.apprentices import (
    FOLDER,
    NAMES,
    TRAINING,
    ApprenticeModel,
    School,
    documents,
    teach_apprentice,
)
from testbed.language import read_problem
from testbed.models import MODELS, WEAK_MODEL_FOLDER, open_testbed_model
from testbed.pretrain import Training
from testbed.questions import pool_questions
from testbed.world import Share, share_of
from weak2wise_core.config import Backend, GenerateSettings, ModelSpec
from weak2wise_core.errors import OutOfWorldError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.prompts import GENERATE
from weak2wise_core.records import Message, Question, Verdict
from weak2wise_core.traces import candidate_from_reply

pytest.importorskip("torch")


def spec(name: str) -> ModelSpec:
    """An apprentice as a recipe names it."""
    return ModelSpec(backend=Backend.TESTBED, model=name, batch_size=16)


def conversation(question: Question) -> list[Message]:
    """The paper's messages to a strong model."""
    return [
        Message(role="user", content=question.question),
        Message(role="assistant", content=question.answer),
        Message(role="user", content=GENERATE.text),
    ]


def test_no_lesson_is_about_a_chain_of_the_pool_or_the_test() -> None:
    """What the apprentices say about those is their own."""
    for document in islice(documents(random.Random(1)), 60):
        question = document.prompt.partition("user\n")[2].partition("\n")[0]
        assert share_of(read_problem(question)) is Share.PRETRAINING
        assert document.text.startswith("<think>")
        assert "</think>\n## " in document.text


def test_a_training_makes_a_folder_that_can_be_asked(tmp_path: Path) -> None:
    """Two steps teach nothing, but the parts fit; the same seed gives the same bytes."""
    tiny = Training(seed=3, steps=2, rows=1, length=512, tokenizer_texts=0)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        teach_apprentice(School(weak=WEAK_MODEL_FOLDER, out=tmp_path / name), training=tiny)
    first, second = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert {path.name for path in FOLDER.iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }
    opened = ApprenticeModel(spec("lm-teacher-a"), folder=tmp_path / "one")
    assert opened.identity["weights"] != ApprenticeModel(spec("lm-teacher-a")).identity["weights"]


def test_the_stored_model_says_how_it_was_trained() -> None:
    """Its settings lie beside it, and are those that the program uses."""
    import json
    from dataclasses import asdict

    assert json.loads((FOLDER / "training.json").read_text()) == asdict(TRAINING)


async def test_both_apprentices_give_usable_candidates_that_differ() -> None:
    """Thinking, titled steps and the told answer; each draw and each name says something else."""
    questions = pool_questions(count=3, seed=7)
    said = []
    for name in NAMES:
        model = open_testbed_model(spec(name))
        try:
            for question in questions:
                for draw in range(2):
                    reply = await model.chat(conversation(question), sampling=Sampling(), draw=draw)
                    candidate = candidate_from_reply(
                        question,
                        strong_model=name,
                        draw=draw,
                        reply=reply,
                        check=lambda gold, found: (
                            Verdict.CORRECT if gold == found else Verdict.INCORRECT
                        ),
                        settings=GenerateSettings(),
                    )
                    assert reply.model == name
                    said.append((candidate.refusal, reply.reasoning, reply.content))
            again = await model.chat(conversation(questions[0]), sampling=Sampling(), draw=0)
            assert (again.reasoning, again.content) in [one[1:] for one in said]
            with pytest.raises(OutOfWorldError):
                await model.chat(
                    [Message(role="user", content="2 + 2?")], sampling=Sampling(), draw=0
                )
        finally:
            await model.aclose()
    assert sum(refusal is None for refusal, _, _ in said) >= 10
    assert len({one[1:] for one in said}) >= 10


def test_apprentices_are_among_the_models_that_a_recipe_may_name() -> None:
    """With identities of their own."""
    assert set(NAMES) < set(MODELS)
    identities = [open_testbed_model(spec(name)).identity for name in NAMES]
    assert identities[0] != identities[1]
