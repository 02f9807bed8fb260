"""Laws of the training rows of an ablation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.ablation.making import PAPERS, outcomes, pool_of, recipe
from weak2wise_core.ablation.pools import Pool
from weak2wise_core.ablation.preparing import PreparedPool, Training, Workshop, prepare, trainings
from weak2wise_core.config import Backend, ModelSpec, Recipe
from weak2wise_core.config.ablation import Arm
from weak2wise_core.errors import FatalModelError, TransientModelError
from weak2wise_core.gateway import Asker, Gateway
from weak2wise_core.llm.scripted import ScriptedModel
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import Truncation

ALL = PAPERS
SERVED = {"backend": "openai", "model": "t", "base_urls": ["http://127.0.0.1:1/v1"]}


@pytest.fixture(scope="module")
def tokens(repository: Path) -> Tokens:
    """The testbed's tokenizer."""
    return Tokens.load(repository / "testbed" / "weak_model")


def by_model(**changes: Any) -> Recipe:
    """A recipe that lets a model say where to cut."""
    models = recipe().models.model_dump(mode="json", exclude_unset=True)
    return recipe(
        models=models | {"truncator": SERVED},
        truncation={"method": "endpoint", "over_tokens": 0},
        **changes,
    )


def four(question: str) -> list[Any]:
    """Four candidates of one question with four scores."""
    return [
        outcomes(bits, question=question, draw=draw)
        for draw, bits in enumerate(("111", "100", "000", "110"))
    ]


async def prepared(
    pool: Pool,
    settings: Recipe,
    tokens: Tokens,
    *,
    arms: tuple[Arm, ...] = ALL,
    truncator: Asker | None = None,
) -> PreparedPool:
    """What the arms train on with seeds 0 and 1."""
    workshop = Workshop(recipe=settings, tokens=tokens, prompts=PromptSet(), truncator=truncator)
    return await prepare(pool, arms, seeds=[0, 1], workshop=workshop)


async def test_every_arm_trains_on_the_same_questions(tokens: Tokens) -> None:
    """Each arm and seed has one row for each question, in the order of the file."""
    settings = recipe()
    pool = pool_of({name: four(name) for name in ("b", "a", "c")}, settings=settings)
    found = await prepared(pool, settings, tokens)
    assert list(found.rows) == trainings(ALL, seeds=[0, 1])
    assert found.questions == ("b", "a", "c")
    for rows in found.rows.values():
        assert tuple(row.question_id for row in rows) == ("b", "a", "c")
    highest = found.rows[Training(Arm.HIGHEST, 1)]
    assert {row.draw for row in highest} == {0}
    assert {row.score for row in highest} == {1.0}
    assert {row.draw for row in found.rows[Training(Arm.LOWEST, 0)]} == {2}


async def test_untruncated_differs_from_highest_in_the_cut_alone(tokens: Tokens) -> None:
    """The same traces, whole; every other arm is cut by the recipe's method."""
    settings = recipe()
    found = await prepared(pool_of({"q": four("q")}, settings=settings), settings, tokens)
    (cut,), (whole,) = (found.rows[Training(arm, 0)] for arm in (Arm.HIGHEST, Arm.UNTRUNCATED))
    assert (cut.draw, cut.score) == (whole.draw, whole.score)
    assert cut.response == "<think> Trace 0: so it is 42. </think> 42"
    assert whole.response == (
        "<think> Trace 0: so it is 42.\n\nWait, let me check. Yes. </think> 42"
    )
    methods = {one.arm: rows[0].truncation for one, rows in found.rows.items()}
    assert methods.pop(Arm.UNTRUNCATED) is Truncation.NOT_NEEDED
    assert set(methods.values()) == {Truncation.RULE}


@pytest.mark.parametrize(
    ("draw", "text", "reason"),
    [
        (2, "It is 42 " + "and so on " * 400, "over_length"),
        (2, "So <|im_end|> it is 42.", "bad_trace"),
    ],
)
async def test_a_question_that_one_arm_cannot_use_is_left_out_of_all(
    tokens: Tokens, draw: int, text: str, reason: str
) -> None:
    """Lowest cannot train on its trace, so highest does not either; the reason is counted."""
    settings = recipe(sft={"max_tokens": 300})
    pool = pool_of(
        {name: four(name) for name in ("a", "b")}, settings=settings, thinking={("a", draw): text}
    )
    found = await prepared(pool, settings, tokens, arms=(Arm.HIGHEST, Arm.LOWEST))
    assert found.questions == ("b",)
    assert found.left_out == {reason: 1}
    assert all(len(rows) == 1 for rows in found.rows.values())
    without = await prepared(pool, settings, tokens, arms=(Arm.HIGHEST,))
    assert without.questions == ("a", "b")


def scripted(say: Callable[[str], str]) -> tuple[Asker, ScriptedModel]:
    """A truncating model that answers a prompt with a sentence, or raises."""
    model = ScriptedModel(lambda messages, _sampling, _draw: say(messages[-1].content))
    spec = ModelSpec(backend=Backend.TESTBED, model="scripted")
    return Gateway(in_flight=8).handle(model, spec=spec, name="truncator", stage="s"), model


async def test_all_truncated_arms_are_cut_by_the_same_method(tokens: Tokens) -> None:
    """Where the recipe asks a model it is asked about every chosen trace, each of them once."""
    settings = by_model()
    asker, model = scripted(lambda _: "so it is 42.")
    pool = pool_of({"q": four("q")}, settings=settings)
    found = await prepared(pool, settings, tokens, truncator=asker)
    used = {
        row.draw for one, rows in found.rows.items() for row in rows
        if one.arm is not Arm.UNTRUNCATED
    }  # fmt: skip
    assert len(model.calls) == len(used)
    methods = {
        row.truncation for one, rows in found.rows.items() for row in rows
        if one.arm is not Arm.UNTRUNCATED
    }  # fmt: skip
    assert methods == {Truncation.ENDPOINT}


async def test_a_truncator_that_fails_costs_the_question_and_one_that_cannot_answer_the_run(
    tokens: Tokens,
) -> None:
    """A passing failure is counted; a wrong key ends the ablation."""
    settings = by_model()
    pool = pool_of({name: four(name) for name in ("a", "b")}, settings=settings)

    def flaky(prompt: str) -> str:
        if "7, a?" in prompt:
            raise TransientModelError("no reply")
        return "so it is 42."

    found = await prepared(pool, settings, tokens, truncator=scripted(flaky)[0])
    assert found.questions == ("b",)
    assert found.left_out == {"truncator_failed": 1}

    def fatal(_: str) -> str:
        raise FatalModelError("the key is wrong")

    with pytest.raises(FatalModelError):
        await prepared(pool, settings, tokens, truncator=scripted(fatal)[0])


async def test_random_chooses_anew_for_every_seed_and_the_others_do_not(tokens: Tokens) -> None:
    """A seed of random is another choice; a seed of highest is another training only."""
    settings = recipe()
    pool = pool_of({f"q{n}": four(f"q{n}") for n in range(12)}, settings=settings)
    found = await prepared(pool, settings, tokens)
    for arm in ALL:
        same = found.rows[Training(arm, 0)] == found.rows[Training(arm, 1)]
        assert same is (arm is not Arm.RANDOM), arm
