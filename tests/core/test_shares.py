"""Laws of divided limits: the parts of several processes add up to what one may."""

from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import Recipe
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import Question
from weak2wise_core.sharding import shards_of
from weak2wise_core.shares import Spending, dealt, divided, most_processes, shares

counts = st.integers(1, 40)


def recipe(in_flight: int, *, rpm: int | None = None, calls: int | None = None) -> Recipe:
    """A recipe with limits."""
    model = {"backend": "openai", "model": "m", "base_urls": ["http://127.0.0.1:1"], "rpm": rpm}
    return parse_recipe(
        {
            "dataset": "d",
            "questions": {"path": "q.jsonl"},
            "models": {"weak": model, "strong": [model | {"name": "s"}]},
            "judging": {"method": "rule"},
            "truncation": {"method": "rule"},
            "budget": {"calls": calls, "usd": 3.0},
            "execution": {"in_flight": in_flight},
        }
    )


@given(counts, counts)
def test_shares_add_up_and_are_fair(whole: int, parts: int) -> None:
    """No part differs from another by more than one."""
    found = shares(whole, parts)
    assert sum(found) == whole
    assert max(found) - min(found) <= 1


@given(counts, counts, counts, st.integers(0, 30))
def test_processes_together_may_what_one_may(
    in_flight: int, rpm: int, calls: int, spent: int
) -> None:
    """Calls in flight, a model's limit and what is left of the budget; each process has a call."""
    whole = recipe(in_flight, rpm=rpm, calls=calls)
    parts = divided(whole, most_processes(whole), spent=Spending(calls=spent, usd=1.0))
    assert sum(one.execution.in_flight for one in parts) == in_flight
    assert sum(one.models.weak.rpm or 0 for one in parts) == rpm
    assert sum(one.models.strong[0].rpm or 0 for one in parts) == rpm
    assert min(one.execution.in_flight for one in parts) >= 1
    assert min(one.models.weak.rpm or 0 for one in parts) >= 1
    assert sum(one.budget.calls or 0 for one in parts) == max(calls - spent, 0)
    assert sum(one.budget.usd or 0 for one in parts) <= 2.0 + 1e-9


@given(st.integers(1, 60), st.integers(1, 6))
def test_every_shard_is_dealt_once(number: int, parts: int) -> None:
    """No group has more questions than another plus one shard."""
    questions = [Question(id=f"q{n}", question="?", answer="1") for n in range(number)]
    shards = shards_of(questions, largest=5)
    groups = dealt(shards, parts)
    assert sorted(one.name for group in groups for one in group) == [one.name for one in shards]
    sizes = [sum(len(one.questions) for one in group) for group in groups]
    assert max(sizes) - min(sizes) <= 5
