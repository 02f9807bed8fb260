"""The pretraining mix: what the weak model read, and what it must never have read."""

import random
import re
from itertools import islice

import pytest

from testbed.documents import MIX, WRITERS, Document, documents
from testbed.language import find_problem, read_problem
from testbed.pretrain import tokenizer_texts
from testbed.tokenizer import END_OF_TEXT, END_OF_TURN, render_chat
from testbed.world import VALUES, Operation, Share, share_of

STORY = re.compile(r"[A-Z][a-z]+ begins with .*? have in the end\?")


@pytest.mark.parametrize("kind", WRITERS)
def test_no_document_holds_a_reserved_chain(kind: str) -> None:
    """What a dataset is built from, or a model tested on, is in no pretraining document."""
    rng = random.Random(11)
    for _ in range(400):
        document = WRITERS[kind](rng)
        stories = STORY.findall(document.prompt + document.text)
        assert len(stories) == (0 if kind == "drill" else 1)
        assert all(share_of(read_problem(story)) is Share.PRETRAINING for story in stories)


def test_the_tokenizer_was_trained_on_unreserved_chains_too() -> None:
    """The texts behind the tokenizer leak no reserved chain either."""
    for text in tokenizer_texts(random.Random(2), count=400):
        assert all(
            share_of(read_problem(story)) is Share.PRETRAINING for story in STORY.findall(text)
        )


def test_kinds_come_in_the_proportions_of_the_mix() -> None:
    """Drills and worked examples are plain text; the rest are conversations."""
    drawn = list(islice(documents(random.Random(4)), 2_000))
    plain = sum(not document.prompt for document in drawn) / len(drawn)
    assert plain == pytest.approx(MIX["drill"] + MIX["worked"], abs=0.04)
    assert sum(MIX.values()) == pytest.approx(1)


def test_documents_are_fixed_by_the_random_state() -> None:
    """The same seed reads the same documents."""
    first = list(islice(documents(random.Random(4)), 50))
    assert list(islice(documents(random.Random(4)), 50)) == first


@pytest.mark.parametrize("kind", ["direct", "hint"])
def test_conversations_are_the_prompts_of_the_method(kind: str) -> None:
    """Every conversation asks as filter, Step-Mask or a bare question would, and is answered."""
    rng = random.Random(5)
    for _ in range(300):
        document = WRITERS[kind](rng)
        problem = find_problem(_user_turn(document))
        assert document.text.endswith(rf"\boxed{{{problem.answer}}}{END_OF_TURN}")
        assert ("## Hint" in document.prompt) is (kind == "hint")


def test_a_hint_is_answered_by_the_last_operation_alone() -> None:
    """The habit without which no masked hint helps: one equation, the last one, then the box."""
    rng = random.Random(6)
    for _ in range(300):
        document = WRITERS["hint"](rng)
        problem = find_problem(_user_turn(document))
        last, before = problem.operations[-1], problem.values[-2]
        equation = f"{before} {last.kind} {last.amount} = {problem.answer}."
        assert document.text.startswith(f"{equation} \\boxed")


def test_no_hint_shows_its_final_step() -> None:
    """The model never sees a final answer in a hint, as in the method."""
    rng = random.Random(7)
    hints = [WRITERS["hint"](rng).prompt for _ in range(300)]
    assert not any("Final" in hint for hint in hints)
    assert all("\n\n(to be continued...)\n\nPlease reason" in hint for hint in hints)


def test_equations_of_drills_and_worked_examples_are_true() -> None:
    """Arithmetic is taught without a mistake."""
    rng = random.Random(8)
    for kind in ("drill", "worked"):
        for _ in range(200):
            text = WRITERS[kind](rng).text
            assert text.endswith(END_OF_TEXT)
            for before, sign, amount, after in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)\.", text):
                operation = Operation(kind=sign, amount=int(amount))
                assert operation.apply(int(before)) == int(after)
                assert int(after) in VALUES


def _user_turn(document: Document) -> str:
    before, after = render_chat("\0").split("\0")
    return document.prompt.removeprefix(before).removesuffix(after)
