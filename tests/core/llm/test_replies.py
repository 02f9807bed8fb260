import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.llm.replies import (
    ReplyFormatError,
    decode_json,
    error_message,
    parse_completion,
    shortened,
    split_thinking,
)
from weak2wise_core.records import ChatReply, FinishReason, Usage

untagged = st.text(max_size=60).filter(lambda text: "think>" not in text)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = ("choices", "message", "content", "reasoning", "usage", "model", "error", "finish_reason")


def completion(message: object = None, **fields: Any) -> dict[str, Any]:
    """A completion object with one choice; fields replace those of the object."""
    message = {"role": "assistant", "content": "ok"} if message is None else message
    choice = {"index": 0, "message": message, "finish_reason": fields.pop("finish_reason", "stop")}
    return {"model": "m-1", "choices": [choice], **fields}


def parsed(**message: Any) -> ChatReply:
    """The record of a reply with this message."""
    return parse_completion(completion(message))


@given(untagged, untagged)
def test_thinking_in_tags_is_separated_from_what_follows(thought: str, content: str) -> None:
    """A closed thinking block and the visible text come apart again, blanks around them aside."""
    expected = (thought.strip() or None, content.strip())
    assert split_thinking(f"<think>{thought}</think>{content}") == expected
    assert split_thinking(f" \n<think>{thought}</think>{content}") == expected


@given(untagged, untagged)
def test_the_opening_tag_may_be_missing(thought: str, content: str) -> None:
    """A template that opens the thinking itself leaves only the closing tag in the reply."""
    assert split_thinking(f"{thought}</think>{content}") == (
        thought.strip() or None,
        content.strip(),
    )


@given(untagged)
def test_thinking_that_is_never_closed_leaves_no_content(thought: str) -> None:
    """A reply cut inside its thinking has no visible text that could pass for an answer."""
    assert split_thinking(f"<think>{thought}") == (thought.strip() or None, "")


@given(untagged)
def test_text_without_tags_is_left_alone(text: str) -> None:
    """Where there is no tag the content keeps every character."""
    assert split_thinking(text) == (None, text)


def test_a_sentence_that_mentions_the_opening_tag_is_content() -> None:
    """Only a block that is opened first or closed is thinking."""
    text = "Models write <think> before they think."
    assert split_thinking(text) == (None, text)
    assert split_thinking("Sure. <think>2 + 2</think> Four.") == ("2 + 2", "Sure.  Four.")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_is_found_under_either_name(field: str) -> None:
    """DeepSeek's and vLLM's field give the same record, with every character kept."""
    reply = parsed(content="\n\n## Step", **{field: " first,\n"})
    assert (reply.reasoning, reply.content) == (" first,\n", "\n\n## Step")


@pytest.mark.parametrize("blank", [None, "", " \n", [], {}])
def test_a_blank_thinking_field_does_not_hide_tags_in_the_content(blank: object) -> None:
    """An empty or malformed field counts as none, and the content is searched for tags."""
    reply = parsed(content="<think>2 + 2</think>4", reasoning_content=blank)
    assert (reply.reasoning, reply.content) == ("2 + 2", "4")
    assert parsed(content="4", reasoning=blank).reasoning is None


def test_the_second_field_speaks_when_the_first_is_null() -> None:
    """A server that sends both names fills only one of them."""
    assert parsed(content="4", reasoning_content=None, reasoning="2 + 2").reasoning == "2 + 2"


def test_content_may_come_in_parts() -> None:
    """Text parts are joined, thinking parts become the thinking."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "2 "}, {"text": "+ 2"}]},
        {"type": "text", "text": "The answer"},
        " is ",
        {"type": "text", "text": "4"},
    ]
    reply = parsed(content=parts)
    assert (reply.reasoning, reply.content) == ("2 + 2", "The answer is 4")


def test_null_content_is_empty_content() -> None:
    """A model that only thought has said nothing, which is not an error of the server."""
    assert parsed(content=None, reasoning="hm").content == ""
    assert parsed().content == ""


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tool_calls", FinishReason.OTHER),
        (None, FinishReason.OTHER),
        (3, FinishReason.OTHER),
    ],
)
def test_every_finish_reason_has_a_name(sent: object, expected: FinishReason) -> None:
    """What is unknown or missing is OTHER, never STOP."""
    assert parse_completion(completion(finish_reason=sent)).finish_reason is expected


def test_usage_is_read_in_every_dialect() -> None:
    """Reasoning and cached tokens are found where OpenAI and where DeepSeek put them."""
    openai = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "completion_tokens_details": {"reasoning_tokens": 15},
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    deepseek = {"prompt_tokens": 10, "completion_tokens": 20, "prompt_cache_hit_tokens": 8}
    assert parse_completion(completion(usage=openai)).usage == Usage(
        prompt_tokens=10, completion_tokens=20, reasoning_tokens=15, cached_tokens=8
    )
    assert parse_completion(completion(usage=deepseek)).usage.cached_tokens == 8


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {},
        {"prompt_tokens": None, "prompt_tokens_details": None, "completion_tokens_details": 3},
        {"prompt_tokens": -1, "completion_tokens": "7", "prompt_cache_hit_tokens": True},
        {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
        {"prompt_tokens": 1 << 61, "completion_tokens": 1e18},  # eight of them overflow a table
    ],
)
def test_usage_that_is_missing_or_absurd_counts_nothing(usage: object) -> None:
    """Token counts are whole numbers from 0, whatever the server sends."""
    assert parse_completion(completion(usage=usage)).usage == Usage()


def test_the_model_id_is_the_one_that_the_reply_names() -> None:
    """A missing id is empty, not guessed."""
    assert parse_completion(completion(model="m-0925")).model == "m-0925"
    assert parse_completion(completion(model=None)).model == ""


@pytest.mark.parametrize(
    ("obj", "named"),
    [
        ({"error": {"message": "no capacity", "code": "overloaded"}}, "no capacity (overloaded)"),
        ({"error": "no capacity"}, "no capacity"),
        ({"choices": [{"error": {"code": 502}}]}, "without a message"),
        ({"choices": []}, "no choices"),
        ({"choices": None}, "no choices"),
        ({"choices": ["text"]}, "no choices"),
        ({"choices": [{"message": None}]}, "no message"),
        ({"choices": [{"message": {"content": 4}}]}, "int"),
        ({"choices": [{"message": {"content": [4]}}]}, "int"),
        ({}, "no choices"),
        ([], "list"),
        ("ok", "str"),
    ],
)
def test_what_is_no_completion_is_refused_with_its_reason(obj: Any, named: str) -> None:
    """An error in place of a reply never becomes an empty reply."""
    with pytest.raises(ReplyFormatError, match=named.replace("(", r"\(").replace(")", r"\)")):
        parse_completion(obj)


def test_an_empty_error_field_is_no_error() -> None:
    """Some servers send "error": null with every good reply."""
    assert parse_completion(completion(error=None)).content == "ok"
    assert error_message({"error": {}}) is None


@given(json_values, st.sampled_from(FIELDS), st.sampled_from(FIELDS))
def test_whatever_json_arrives_is_a_reply_or_a_format_error(
    value: Any, outer: str, inner: str
) -> None:
    """No field of any type makes the parser fail in another way."""
    for obj in (
        value,
        {outer: value},
        completion(**{outer: value}),
        completion({outer: value, inner: value}),
        {"choices": [{inner: value}]},
    ):
        with contextlib.suppress(ReplyFormatError):
            assert isinstance(parse_completion(obj), ChatReply)


@given(st.text(max_size=30))
def test_json_is_decoded_with_any_text(text: str) -> None:
    """Escaped or not, every string survives the way through JSON."""
    for ascii_only in (True, False):
        assert decode_json(json.dumps([text], ensure_ascii=ascii_only).encode()) == [text]


def test_numbers_and_surrogates_that_strict_json_lacks_are_accepted() -> None:
    """NaN among log probabilities or half an emoji does not cost the reply."""
    body = b'{"choices": [{"logprobs": NaN, "message": {"content": "a\\ud83d\\ude00b\\ud83d"}}]}'
    assert parse_completion(decode_json(body)).content == "a\U0001f600b\ufffd"


def test_half_a_pair_in_an_error_or_a_model_id_is_replaced() -> None:
    """Both stand in tables, which hold whole characters only: one reply must not end a build."""
    body = b'{"error": {"message": "no \\ud83d room", "code": "x\\ud800"}}'
    assert error_message(decode_json(body)) == "no \ufffd room (x\ufffd)"
    assert parse_completion(completion(model="m\ud83d")).model == "m\ufffd"


@pytest.mark.parametrize("body", [b"", b'{"choices": [', b"<html>", b"[" * 200_000, b"\xff\xfe"])
def test_a_body_that_is_not_json_is_named(body: bytes) -> None:
    """Cut, foreign and hostile bodies are format errors with a short message."""
    with pytest.raises(ReplyFormatError, match="not JSON") as caught:
        decode_json(body)
    assert len(str(caught.value)) < 600


@given(st.text() | st.binary(), st.integers(10, 50))
def test_a_shortened_text_is_one_short_line(text: str | bytes, limit: int) -> None:
    """Messages of servers fit on a line."""
    line = shortened(text, limit=limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
