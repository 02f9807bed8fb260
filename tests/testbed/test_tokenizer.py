"""The tokenizer: nothing is lost, digits stand alone, thinking tags survive."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from testbed.models import WEAK_MODEL_FOLDER
from testbed.questions import pool_questions
from testbed.tokenizer import THINKING, VOCABULARY, build_tokenizer, render_chat
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.records import Message


@pytest.fixture(scope="module")
def stored() -> Tokenizer:
    """The tokenizer that lies beside the weights."""
    return Tokenizer.from_file(str(WEAK_MODEL_FOLDER / "tokenizer.json"))


@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back(stored: Tokenizer, text: str) -> None:
    """Byte-level tokens can spell everything."""
    ids = stored.encode(text, add_special_tokens=False).ids
    assert stored.decode(ids, skip_special_tokens=False) == text


def test_every_digit_is_a_token_of_its_own(stored: Tokenizer) -> None:
    """Arithmetic is done digit by digit."""
    tokens = stored.encode("Then 17 + 5 = 22.", add_special_tokens=False).tokens
    assert [token for token in tokens if any(map(str.isdigit, token))] == ["1", "7", "5", "2", "2"]


def test_thinking_tags_are_single_tokens_that_survive(stored: Tokenizer) -> None:
    """A fine-tuned model writes them, so they must not vanish with the special tokens."""
    ids = stored.encode("<think> 2 </think> 2<|im_end|>", add_special_tokens=False).ids
    assert {stored.token_to_id(tag) for tag in THINKING} <= set(ids)
    assert stored.decode(ids, skip_special_tokens=True) == "<think> 2 </think> 2"


def test_the_vocabulary_has_the_size_of_the_model(stored: Tokenizer) -> None:
    """Every row of the embedding belongs to a token."""
    assert stored.get_vocab_size() == VOCABULARY


def test_pretraining_rendered_what_the_chat_template_renders() -> None:
    """Conversations in pretraining and in use are the same text."""
    tokens = Tokens.load(WEAK_MODEL_FOLDER)
    assert not tokens.uses_chatml
    assert tokens.render([Message(role="user", content="a\n\nb")]) == render_chat("a\n\nb")


def test_the_same_texts_give_the_same_bytes(tmp_path: Path) -> None:
    """Training a tokenizer is deterministic."""
    texts = [question.question for question in pool_questions(count=200, seed=1)]
    for name in ("a", "b"):
        build_tokenizer(texts, folder=tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "tokenizer.json" in files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
