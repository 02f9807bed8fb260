import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.loopback_replies import Reply, completion_object, stream_events
from weak2wise_core.llm.replies import ReplyFormatError, parse_completion
from weak2wise_core.llm.streaming import CompletionAssembler, EventReader
from weak2wise_core.records import ChatReply, FinishReason

REQUEST = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80)


def assembled(chunks: list[bytes]) -> ChatReply:
    """The record of a reply that arrives in these chunks of bytes."""
    reader, assembler = EventReader(), CompletionAssembler()
    for chunk in chunks:
        for data in reader.feed(chunk):
            assembler.add(data)
    for data in reader.close():
        assembler.add(data)
    return parse_completion(assembler.completion())


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """The same bytes in pieces that end at the cuts."""
    edges = [0, *sorted(position % (len(data) + 1) for position in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(
    content=texts,
    reasoning=st.none() | texts,
    field=st.sampled_from(["reasoning_content", "reasoning"]),
    finish_reason=st.sampled_from(["stop", "length", "content_filter"]),
    piece_chars=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=8),
    crlf=st.booleans(),
)
def test_a_streamed_reply_equals_the_whole_one(
    content: str,
    reasoning: str | None,
    field: str,
    finish_reason: str,
    piece_chars: int,
    cuts: list[int],
    crlf: bool,
) -> None:
    """However model and network cut a reply, it is put together to the same record."""
    reply = Reply(
        content=content, reasoning=reasoning, reasoning_field=field, finish_reason=finish_reason
    )
    whole = completion_object(REQUEST, reply, fault=None)
    stream = b"".join(stream_events(whole, body=REQUEST, piece_chars=piece_chars))
    stream = stream.replace(b"\n", b"\r\n") if crlf else stream
    assert assembled(cut(stream, cuts)) == parse_completion(whole)


def test_line_separators_of_unicode_do_not_end_an_event() -> None:
    """U+2028, U+0085 and form feeds are legal inside JSON strings."""
    text = "a\u2028b\u0085c\u000bd"
    whole = completion_object(REQUEST, Reply(content=text), fault=None)
    data = b"".join(stream_events(whole, body=REQUEST, piece_chars=99))
    assert "\u2028".encode() in data
    assert assembled([data]).content == text


def events(*chunks: str, done: bool = True) -> list[bytes]:
    """A stream with these pieces of JSON."""
    lines = [f"data: {chunk}\n\n".encode() for chunk in chunks]
    return [*lines, b"data: [DONE]\n\n"] if done else lines


def test_comments_and_other_fields_are_skipped() -> None:
    """Keep-alive lines and event names carry nothing of the reply."""
    chunk = '{"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}'
    stream = [b": keep-alive\n\n", b"event: message\nid: 1\ndata:", chunk.encode(), b"\n\n"]
    assert assembled(stream).content == "4"


def test_data_may_span_lines_and_need_not_end_in_a_blank_one() -> None:
    """Several data lines are one event; the end of the stream ends the last one."""
    stream = b'data: {"choices": [{"delta": {"content": "4"},\ndata: "finish_reason": "stop"}]}'
    assert assembled([stream]).content == "4"


def test_half_characters_are_joined_across_pieces() -> None:
    """An emoji that a server cut into surrogates arrives as one character."""
    stream = events(
        '{"choices": [{"delta": {"content": "\\ud83d"}}]}',
        '{"choices": [{"delta": {"content": "\\ude00"}, "finish_reason": "stop"}]}',
    )
    assert assembled(stream).content == "\U0001f600"


def test_null_deltas_and_foreign_choices_are_skipped() -> None:
    """Only the first choice counts; a delta may be null, its parts a list."""
    stream = events(
        '{"model": "m-7", "choices": [{"index": 0, "delta": null}]}',
        '{"choices": [{"index": 1, "delta": {"content": "no"}}], "usage": null}',
        '{"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "4"}]}}]}',
        '{"choices": [{"index": 0, "delta": {"content": null}, "finish_reason": "length"}]}',
        '{"choices": [], "usage": {"prompt_tokens": 3}}',
    )
    reply = assembled(stream)
    assert (reply.content, reply.model, reply.usage.prompt_tokens) == ("4", "m-7", 3)
    assert reply.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        ([], "without a finish reason"),
        (events('{"choices": [{"delta": {"content": "4"}}]}'), "without a finish reason"),
        (events('{"choices": []}'), "without a finish reason"),
        (events('{"error": {"message": "no capacity"}}'), "no capacity"),
        (events('{"choices": [{"del', done=False), "not JSON"),
        (events("[1]"), "list"),
    ],
)
def test_a_stream_that_is_no_reply_is_refused_with_its_reason(stream: Any, named: str) -> None:
    """A stream that stops early never passes for a short reply."""
    with pytest.raises(ReplyFormatError, match=named):
        assembled(stream)
