import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import SFTFormatSettings
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.records import GoldenReasoning, GoldenSource, Question, SFTExample, Truncation
from weak2wise_core.sft import (
    example,
    fits,
    llama_factory_entry,
    sft_prompt,
    sft_response,
    to_conversational,
)

QUESTION = Question(id="q", question="What is 2 + 2?", answer="4")

texts = st.text(st.characters(codec="utf-8", exclude_characters="<>")).filter(str.strip)


def golden(reasoning: str = "2 + 2 = 4.", question_id: str = "q") -> GoldenReasoning:
    """The golden reasoning of a question."""
    return GoldenReasoning(
        question_id=question_id,
        strong_model="teacher",
        draw=2,
        source=GoldenSource.STEP_MASK,
        score=0.75,
        golden_reasoning=reasoning,
        truncation=Truncation.ENDPOINT,
        normal_tokens=10,
        golden_tokens=5,
        spent=(),
    )


def row(reasoning: str = "2 + 2 = 4.") -> SFTExample:
    """The training example of a reasoning, counted in words."""
    return example(
        golden(reasoning),
        question=QUESTION,
        settings=SFTFormatSettings(),
        count_tokens=lambda prompt, response: len(prompt.split()) + len(response.split()),
    )


def test_a_response_has_the_form_of_figure_6() -> None:
    """One blank inside each tag, and the answer after the thinking."""
    assert sft_response("\n2 + 2\n= 4.\n\n", answer=" 4 ") == "<think> 2 + 2\n= 4. </think> 4"


@given(texts, texts)
def test_a_response_can_be_taken_apart_again(reasoning: str, answer: str) -> None:
    """Thinking and answer are read back as they were, but for white space at their ends."""
    response = sft_response(reasoning, answer=answer)
    thinking, _, rest = response.removeprefix("<think> ").partition(" </think> ")
    assert (thinking, rest) == (reasoning.strip(), answer.strip())


@pytest.mark.parametrize(
    "text",
    [
        "a </think> b",
        "<think>a",
        "a </THINK>",
        "a < / think >",
        "x <|im_end|> y",
        "<|endoftext|>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "",
        " \n",
    ],
)
def test_what_a_chat_template_would_obey_is_refused(text: str) -> None:
    """A tag or control token inside the text would end the thinking or the turn too early."""
    with pytest.raises(TraceFormatError, match=r"golden reasoning .* leave this trace out"):
        sft_response(text, answer="4")
    with pytest.raises(TraceFormatError, match=r"answer .* leave this trace out"):
        sft_response("fine", answer=text)


@pytest.mark.parametrize("text", ["a < b, |c| > d", "<thinking>", "if x <| y |> z", "think"])
def test_comparisons_and_words_are_no_control_tokens(text: str) -> None:
    """Only what looks like a token in whole is refused."""
    assert text in sft_response(text, answer="4")


def test_a_prompt_is_the_question_alone() -> None:
    """Figure 6 trains on the bare question; a suffix is ours and stands after a blank line."""
    assert sft_prompt(QUESTION, settings=SFTFormatSettings()) == "What is 2 + 2?"
    suffix = SFTFormatSettings(prompt_suffix="Think first.")
    assert sft_prompt(QUESTION, settings=suffix) == "What is 2 + 2?\n\nThink first."


def test_an_example_carries_its_origin_and_its_length() -> None:
    """Which trace it is, how it was cut, and the tokens of prompt and response together."""
    made = row()
    assert (made.prompt, made.response) == ("What is 2 + 2?", "<think> 2 + 2 = 4. </think> 4")
    assert (made.strong_model, made.draw, made.score) == ("teacher", 2, 0.75)
    assert (made.truncation, made.answer, made.tokens) == (Truncation.ENDPOINT, "4", 13)


def test_the_reasoning_of_another_question_is_an_error() -> None:
    """A mixed-up pair is never trained on."""
    with pytest.raises(ValueError, match="other does not belong to q"):
        example(
            golden(question_id="other"),
            question=QUESTION,
            settings=SFTFormatSettings(),
            count_tokens=lambda *_: 1,
        )


def test_what_training_would_cut_does_not_fit() -> None:
    """Fault of the reference code: long examples were cut silently, and lost their answer."""
    made = row()
    assert fits(made, settings=SFTFormatSettings(max_tokens=13))
    assert not fits(made, settings=SFTFormatSettings(max_tokens=12))


def test_a_row_of_the_jsonl_file_is_conversational() -> None:
    """TRL finds a user's prompt and an assistant's completion, and nothing called messages."""
    line = json.loads(json.dumps(to_conversational(row())))
    assert line["prompt"] == [{"role": "user", "content": "What is 2 + 2?"}]
    assert line["completion"] == [{"role": "assistant", "content": "<think> 2 + 2 = 4. </think> 4"}]
    assert {key: line[key] for key in ("id", "answer", "truncation", "tokens")} == {
        "id": "q",
        "answer": "4",
        "truncation": "endpoint",
        "tokens": 13,
    }
    assert "messages" not in line


@pytest.mark.slow
def test_trl_reads_a_row_as_prompt_and_completion() -> None:
    """TRL's own reader renders both parts, and the completion keeps its thinking."""
    data_utils = pytest.importorskip("trl.data_utils", reason="needs the train extra")
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    line = to_conversational(row())
    assert data_utils.is_conversational(line)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.BPE())
    )
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    rendered = data_utils.apply_chat_template(dict(line), tokenizer)
    assert rendered["prompt"] == "[user]What is 2 + 2?[assistant]"
    assert rendered["completion"] == "<think> 2 + 2 = 4. </think> 4"


def test_the_llama_factory_entry_names_columns_of_the_example() -> None:
    """Its alpaca reader wants text columns, and takes only those that the entry names."""
    entry = llama_factory_entry("gr1k", file_name="train.parquet")["gr1k"]
    assert entry["file_name"] == "train.parquet"
    assert entry["formatting"] == "alpaca"
    assert entry["columns"] == {"prompt": "prompt", "response": "response"}
    assert all(isinstance(getattr(row(), column), str) for column in entry["columns"].values())
