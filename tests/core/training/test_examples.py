"""Laws of the gates: no example is cut, none loses its thinking, whatever the template does."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.training.schooling import (
    CLOSING,
    STRIPPING,
    STRIPPING_AND_OPENING,
    rows,
    training_rows,
    write_rows,
)
from weak2wise_core.errors import InputFileError, TrainingRefusedError
from weak2wise_core.llm.tokens import CHATML, Tokens
from weak2wise_core.training.examples import (
    IGNORED,
    EncodedExample,
    check_prepared,
    encode_rows,
    read_rows,
)
from weak2wise_core.training.gates import check_reply


def with_template(tokens: Tokens, template: str) -> Tokens:
    """The same tokenizer with another chat template."""
    tokenizer = copy.deepcopy(tokens.tokenizer)
    tokenizer.chat_template = template
    return Tokens(tokenizer, name="a model")


def encoded(tokens: Tokens, content: list[dict[str, Any]], longest: int = 1024) -> Any:
    """Rows as examples."""
    return encode_rows(training_rows(content), tokens=tokens, longest=longest)


def answering(reply: str) -> list[dict[str, Any]]:
    """One row with this reply."""
    (row,) = rows(1)
    return [row | {"completion": [{"role": "assistant", "content": reply}]}]


@pytest.mark.parametrize("template", [CHATML, STRIPPING, STRIPPING_AND_OPENING])
def test_the_whole_reasoning_is_in_the_loss(tokens: Tokens, template: str) -> None:
    """Also with a template that deletes the thinking of an assistant's turn."""
    content = rows(3)
    for row, example in zip(
        content, encoded(with_template(tokens, template), content), strict=True
    ):
        reply = row["completion"][0]["content"]
        counted = [number for number in example.labels if number != IGNORED]
        said = str(tokens.tokenizer.decode(counted))
        assert said.removeprefix("<think>").split() == f"{reply[7:]}<|im_end|>".split()
        assert example.labels[: len(example.prompt)] == [IGNORED] * len(example.prompt)
        assert len(example.labels) == len(example.input_ids) == len(example)


@pytest.mark.parametrize("template", [STRIPPING, STRIPPING_AND_OPENING])
def test_the_templates_of_these_tests_do_delete_the_thinking(tokens: Tokens, template: str) -> None:
    """Rendering the whole conversation would train on the answer alone."""
    (row,) = rows(1)
    turns = [*row["prompt"], *row["completion"]]
    rendered = tokens.tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)
    reasoning = row["completion"][0]["content"].split("</think>")[0]
    assert reasoning.removeprefix("<think>").strip() not in rendered


def test_a_template_that_opens_the_thinking_does_not_double_the_tag(tokens: Tokens) -> None:
    """The tag stands once, in the prompt, and the response goes on after it."""
    (example,) = encoded(with_template(tokens, STRIPPING_AND_OPENING), rows(1))
    text = tokens.tokenizer.decode(example.input_ids)
    assert text.count("<think>") == 1
    assert str(tokens.tokenizer.decode(example.prompt)).endswith("<think>\n")
    assert not tokens.tokenizer.decode(example.response)[0].isspace()


def test_the_prompt_is_what_the_model_reads_when_it_is_asked(tokens: Tokens) -> None:
    """Training and asking tokenize a question the same way."""
    content = rows(2)
    for row, example in zip(training_rows(content), encoded(tokens, content), strict=True):
        asked = f"<|im_start|>user\n{row.prompt[0].content}<|im_end|>\n<|im_start|>assistant\n"
        assert tokens.tokenizer.decode(example.prompt) == asked


@pytest.mark.parametrize(
    "reply",
    [
        "46",
        "The answer is 46.",
        "26 - 3 = 23. </think> 46",
        "<think> 26 - 3 = 23.",
        "<think> </think> 46",
        "<think> 26 - 3 = 23. </think> ",
        "Well. <think> 26 - 3 = 23. </think> 46",
    ],
)
def test_an_example_that_lost_its_thinking_stops_the_run(tokens: Tokens, reply: str) -> None:
    """One such example among good ones, and nothing is trained; it is named."""
    content = rows(3)
    content[1]["completion"][0]["content"] = reply
    with pytest.raises(TrainingRefusedError, match=f"{content[1]['id']}.*lost its thinking"):
        encoded(tokens, content)


def test_a_command_inside_the_reasoning_stops_the_run(tokens: Tokens) -> None:
    """A reply that would end its own turn early is refused."""
    with pytest.raises(TrainingRefusedError, match="im_end"):
        encoded(tokens, answering("<think> 1 <|im_end|> 2 </think> 3"))


def test_a_template_that_forbids_thinking_is_refused(tokens: Tokens) -> None:
    """A generation prompt that closes the thinking never asks for what would be trained."""
    with pytest.raises(TrainingRefusedError, match="closes the thinking"):
        encoded(with_template(tokens, CLOSING), rows(1))


def test_a_tokenizer_that_cannot_write_the_reasoning_is_refused(tokens: Tokens) -> None:
    """Tokens that read back as something else are not the reasoning."""
    (example,) = encoded(tokens, answering("<think> 26 - 3 = 23. </think> 46"))
    wanted = "26 - 3 = 23.</think>46"
    check_reply(example.response, wanted=wanted, name="q", tokens=tokens)
    for kept in (slice(None, -2), slice(3, None)):
        with pytest.raises(TrainingRefusedError, match="q: "):
            check_reply(example.response[kept], wanted=wanted, name="q", tokens=tokens)


def test_a_reply_without_its_end_is_refused(tokens: Tokens) -> None:
    """A model that never sees the end of turn would never learn to stop."""
    (example,) = encoded(tokens, answering("<think> 1. </think> 2"))
    with pytest.raises(TrainingRefusedError, match="learn to stop"):
        check_reply(example.response[:-1], wanted="1.</think>2", name="q", tokens=tokens)


def test_a_longer_example_is_refused_by_name_with_its_tokens(tokens: Tokens) -> None:
    """The gate names what is too long, and how long it is; at the limit nothing is refused."""
    content = rows(8)
    lengths = [len(example) for example in encoded(tokens, content)]
    limit = sorted(lengths)[-2] - 1
    assert len(encoded(tokens, content, max(lengths))) == 8
    with pytest.raises(TrainingRefusedError) as refused:
        encoded(tokens, content, limit)
    for row, length in zip(content, lengths, strict=True):
        assert (f"{row['id']} ({length:,} tokens)" in str(refused.value)) == (length > limit)
    assert f"{limit:,} tokens" in str(refused.value)


def test_of_many_long_examples_five_are_named(tokens: Tokens) -> None:
    """All are counted."""
    with pytest.raises(TrainingRefusedError, match=r"8 of 8 examples.* and 3 more"):
        encoded(tokens, rows(8), longest=10)


def row_of(example: EncodedExample) -> dict[str, Any]:
    """An example as a row of the trainer."""
    return {"input_ids": example.input_ids, "labels": example.labels}


def packed(examples: list[EncodedExample]) -> dict[str, Any]:
    """Several examples in one row of the trainer."""
    return {
        "input_ids": [number for one in examples for number in one.input_ids],
        "labels": [number for one in examples for number in one.labels],
        "seq_lengths": [len(one) for one in examples],
    }


def test_what_the_trainer_holds_may_be_in_any_order_and_packed(tokens: Tokens) -> None:
    """Nothing is lost by that."""
    first, second, third = encoded(tokens, rows(3))
    check_prepared([row_of(third), row_of(first), row_of(second)], examples=[first, second, third])
    check_prepared([packed([third, first]), packed([second])], examples=[first, second, third])


@pytest.mark.parametrize("fault", ["cut", "masked", "missing", "prompt"])
def test_what_the_trainer_cut_or_masked_stops_the_run(tokens: Tokens, fault: str) -> None:
    """Truncation, another label, an example left out, a prompt in the loss: each is found."""
    first, second = encoded(tokens, rows(2))
    row = row_of(second)
    at = len(second.prompt)
    faulty = {
        "cut": [{name: values[:-1] for name, values in row.items()}],
        "masked": [row | {"labels": [*row["labels"][:at], IGNORED, *row["labels"][at + 1 :]]}],
        "missing": [],
        "prompt": [row | {"labels": row["input_ids"]}],
    }
    with pytest.raises(TrainingRefusedError, match=second.id):
        check_prepared([row_of(first), *faulty[fault]], examples=[first, second])


@given(cut=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_the_same_example_twice_must_be_held_twice(tokens: Tokens, cut: int) -> None:
    """Equal examples are counted, not just found."""
    (example,) = encoded(tokens, rows(1))
    held = [row_of(example)] * cut
    check_prepared(held, examples=[example] * cut)
    with pytest.raises(TrainingRefusedError):
        check_prepared(held, examples=[example] * (cut + 1))


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Also with line separators of Unicode inside a text, and without a last line end."""
    content = rows(2)
    content[0]["completion"][0]["content"] = "<think> one\u2028two </think> 3"
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in content))
    assert list(read_rows(path)) == training_rows(content)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", "no training row"),
        ("not json", "line 1"),
        ('{"id": "a"}', "prompt"),
        ('{"id": "a", "prompt": [], "completion": []}', "prompt"),
        (json.dumps(rows(1)[0] | {"completion": rows(1)[0]["prompt"]}), "assistant"),
    ],
)
def test_a_line_that_is_no_row_is_an_error(tmp_path: Path, line: str, found: str) -> None:
    """The message says where and what."""
    path = tmp_path / "train.jsonl"
    path.write_text(line)
    with pytest.raises(InputFileError, match=found):
        list(read_rows(path))


def test_rows_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(InputFileError, match=r"absent\.jsonl"):
        list(read_rows(tmp_path / "absent.jsonl"))
    assert write_rows(tmp_path / "one.jsonl", rows(1)).exists()
