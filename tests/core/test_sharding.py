"""Laws of content-defined shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.records import Question
from weak2wise_core.sharding import shards_of

IDS = st.lists(st.text(max_size=8), unique=True, max_size=80)
LARGEST = st.integers(1, 10)


def questions(ids: list[str]) -> list[Question]:
    """Questions that differ in their ids only."""
    return [Question(id=one, question="q", answer="a") for one in ids]


@given(IDS, LARGEST)
def test_every_question_is_in_one_shard_of_bounded_size(ids: list[str], largest: int) -> None:
    """Sharding loses nothing, repeats nothing and respects the limit."""
    shards = shards_of(questions(ids), largest=largest)
    assert sorted(one.id for shard in shards for one in shard.questions) == sorted(ids)
    assert all(0 < len(shard.questions) <= largest for shard in shards)
    assert len({shard.name for shard in shards}) == len(shards)


@given(IDS, LARGEST, st.randoms())
def test_the_order_of_the_input_does_not_matter(
    ids: list[str], largest: int, random: object
) -> None:
    """The same questions in another order are the same shards."""
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert shards_of(questions(ids), largest=largest) == shards_of(
        questions(shuffled), largest=largest
    )


@given(IDS.filter(bool), st.integers(2, 10))
def test_an_inserted_question_leaves_other_shards_alone(ids: list[str], largest: int) -> None:
    """Of the shards before an insertion at most one is not there afterwards."""
    *rest, _ = ids
    before = {shard.questions for shard in shards_of(questions(rest), largest=largest)}
    after = {shard.questions for shard in shards_of(questions(ids), largest=largest)}
    assert len(before - after) <= 1


def test_two_questions_with_one_id_are_refused() -> None:
    """No bit of a hash can tell equal ids apart."""
    with pytest.raises(ValueError, match="share an id"):
        shards_of(questions(["x", "x"]), largest=1)
