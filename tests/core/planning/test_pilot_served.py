"""The pilot against a server that speaks HTTP: its interval holds what the build then pays."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tests.core.planning.world import World, lot
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.planning.pilot import pilot_of
from weak2wise_core.planning.plan import plan_of
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import Question

MakeWorld = Callable[..., World]
SEEDS = range(6)


def script(seed: int) -> Callable[[dict[str, Any]], Reply]:
    """Replies of very different lengths; a fifth of the questions is solved alone."""

    def answer(request: dict[str, Any]) -> Reply:
        chance = lot(seed, request)
        prompt, reply = 100 + int(200 * chance), int(40 / (1.02 - chance))
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": reply,
            "prompt_tokens_details": {"cached_tokens": prompt // 3},
            "completion_tokens_details": {"reasoning_tokens": reply // 2},
        }
        if request["model"] == "s":
            content = f"## Add\n1 + 1, by way {chance}, is two\n\n## Final Answer\n2"
            return Reply(content=content, reasoning="1 + 1 = 2.", usage=usage)
        hinted = "## Hint" in request["messages"][-1]["content"]
        solves = chance < (0.4 if hinted else 0.2)
        return Reply(content=r"\boxed{2}" if solves else r"\boxed{0}", usage=usage)

    return answer


def served_world(server: LoopbackServer, plain: World) -> World:
    """Models behind the server, with prices."""
    entry = {
        "backend": "openai",
        "base_urls": [server.base_url],
        "max_tokens": 2048,
        "usd_per_mtok": {"input": 1.0, "output": 4.0, "cached_input": 0.1},
    }
    recipe = parse_recipe(
        {
            "dataset": "served",
            "questions": {"path": "q.jsonl"},
            "models": {
                "weak": entry | {"model": "w"},
                "strong": [entry | {"name": "s", "model": "s"}],
            },
            "generate": {"samples_per_model": 2},
            "step_mask": {"granularity": 3, "policy": "race"},
            "judging": {"method": "rule"},
            "truncation": {"method": "rule"},
        }
    )
    models: Any = {
        name: OpenAIModel(spec, api_key="") for name, spec in recipe.models.specs().items()
    }
    return World(recipe=recipe, checker=plain.checker, models=models)


@pytest.mark.slow
async def test_most_pilots_expect_what_the_build_then_pays(world: MakeWorld) -> None:
    """Calls, reply tokens and money of the rest lie in the 90% interval for most seeds."""
    held = {"calls": 0, "completion_tokens": 0, "reasoning_tokens": 0, "usd": 0}
    for seed in SEEDS:
        with LoopbackServer(script(seed), record=False) as server:
            made = served_world(server, world())
            chosen = [
                Question(id=f"{seed}-{i}", question=f"What is 1 + 1, number {i}?", answer="2")
                for i in range(40)
            ]
            samples, _ = await made.run(pilot_of(chosen, size=15))
            outlooks = await made.look_ahead(chosen)
            plan = plan_of(made.scene, chosen, outlooks, rows=40, rejected=0, samples=samples)
            _, accounts = await made.run(chosen)
            assert plan.expected is not None
            for name in held:
                paid = sum(getattr(account, name) for account in accounts.values())
                expected = getattr(plan.expected, name)
                held[name] += expected.low <= paid <= expected.high
            for model in made.models.values():
                await model.aclose()
    assert all(count >= len(SEEDS) - 1 for count in held.values()), held
