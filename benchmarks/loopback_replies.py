"""What the loopback server can send: replies, and everything that can be wrong with them."""

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson


class Fault(StrEnum):
    """What goes wrong with one reply."""

    RATE_LIMITED = "rate_limited"
    """Status 429 with Retry-After."""
    SERVER_ERROR = "server_error"
    """Status 500."""
    OVERLOADED = "overloaded"
    """Status 503 with a page of HTML."""
    RESET = "reset"
    """The connection is reset before a byte of the reply."""
    HANG = "hang"
    """No byte until the client gives up."""
    CUT_BODY = "cut_body"
    """The connection ends in the middle of the body."""
    WRONG_JSON = "wrong_json"
    """Half of the JSON, delivered as if it were whole."""
    WRONG_CONTENT_TYPE = "wrong_content_type"
    """A page of HTML with status 200."""
    ERROR_IN_OK = "error_in_ok"
    """Status 200 with an error object."""
    FOREIGN_JSON = "foreign_json"
    """Status 200 with a JSON object of another program."""
    EMPTY_CHOICES = "empty_choices"
    STREAM_STOPS = "stream_stops"
    """A stream that ends without a finish reason; JSON replies are cut like WRONG_JSON."""
    NULL_CONTENT = "null_content"
    NULL_FIELDS = "null_fields"
    """Usage, model, id and finish reason are null; a stream without finish reason is broken off."""
    MISSING_FIELDS = "missing_fields"
    """No usage, model, id or finish reason; a stream without finish reason is broken off."""
    NO_MESSAGE = "no_message"
    """A choice whose message is null; a stream of empty pieces without an end."""
    LENGTH = "length"
    """Half of the content, with finish reason length."""
    CONTENT_FILTER = "content_filter"
    LARGE = "large"
    """One more megabyte of content."""
    OTHER_MODEL = "other_model"
    """Another model id than was asked for."""


LASTING_FAULTS = frozenset(
    {
        Fault.NULL_CONTENT,
        Fault.NULL_FIELDS,
        Fault.MISSING_FIELDS,
        Fault.LENGTH,
        Fault.CONTENT_FILTER,
        Fault.LARGE,
        Fault.OTHER_MODEL,
    }
)
"""Faults that come with a reply; after all others a client has to ask again."""

_DEFAULT_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server sends for one request."""

    content: Any = "ok"
    """Text, None or a list of parts."""
    reasoning: str | None = None
    reasoning_field: str = "reasoning_content"
    finish_reason: str | None = "stop"
    model: str | None = None
    """The model id that the reply names; None repeats the request's."""
    usage: Mapping[str, Any] | None = field(default_factory=lambda: dict(_DEFAULT_USAGE))
    delay_s: float = 0.0
    """Seconds before the first byte."""
    pause_s: float = 0.0
    """Seconds between two pieces of the body."""
    fault: Fault | None = None
    status: int = 200
    error: str = "refused by the script"
    """The message that goes with any other status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent as the body in place of a completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Faults by rate: the same requests fail in the same way, in whatever order they come."""

    rates: Mapping[Fault, float]
    seed: int = 0
    retry_after: str = "0"

    def fault(self, body: bytes, *, asked_before: int) -> Fault | None:
        """The fault of one request, by its content and how often it has been sent before."""
        digest = hashlib.blake2b(body, digest_size=8, salt=struct.pack("qq", self.seed, 0))
        digest.update(struct.pack("q", asked_before))
        position = int.from_bytes(digest.digest(), "big") / 2**64
        for fault, rate in self.rates.items():
            position -= rate
            if position < 0:
                return fault
        return None


def completion_object(body: dict[str, Any], reply: Reply, *, fault: Fault | None) -> dict[str, Any]:
    """The chat completion that answers a request, spoilt by the fault."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.reasoning is not None:
        message[reply.reasoning_field] = reply.reasoning
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    completion: dict[str, Any] = {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": reply.model or body.get("model"),
        "choices": [choice],
    }
    if reply.usage is not None:
        completion["usage"] = dict(reply.usage)
    _spoil(completion, fault)
    return completion


def _spoil(completion: dict[str, Any], fault: Fault | None) -> None:
    if fault in _SPOILED_COMPLETIONS:
        _SPOILED_COMPLETIONS[fault](completion)
    if fault in _SPOILED_CHOICES:
        _SPOILED_CHOICES[fault](completion["choices"][0])


def _null_fields(completion: dict[str, Any]) -> None:
    completion.update(dict.fromkeys(("id", "created", "model", "usage")))
    completion["choices"][0]["finish_reason"] = None


def _missing_fields(completion: dict[str, Any]) -> None:
    message = completion["choices"][0]["message"]
    completion.clear()
    completion["choices"] = [{"message": message}]


def _cut_by_length(choice: dict[str, Any]) -> None:
    content = choice["message"]["content"]
    choice["message"]["content"] = content[: len(content) // 2]
    choice["finish_reason"] = "length"


def _enlarged(choice: dict[str, Any]) -> None:
    choice["message"]["content"] += "x" * (1 << 20)


_SPOILED_COMPLETIONS: Mapping[Fault | None, Callable[[dict[str, Any]], None]] = {
    Fault.EMPTY_CHOICES: lambda completion: completion.update(choices=[]),
    Fault.NULL_FIELDS: _null_fields,
    Fault.MISSING_FIELDS: _missing_fields,
    Fault.OTHER_MODEL: lambda completion: completion.update(model=f"{completion['model']}-0925"),
}
_SPOILED_CHOICES: Mapping[Fault | None, Callable[[dict[str, Any]], None]] = {
    Fault.NULL_CONTENT: lambda choice: choice["message"].update(content=None),
    Fault.NO_MESSAGE: lambda choice: choice.update(message=None, finish_reason=None),
    Fault.LENGTH: _cut_by_length,
    Fault.CONTENT_FILTER: lambda choice: choice.update(finish_reason="content_filter"),
    Fault.LARGE: _enlarged,
}


def stream_events(
    completion: dict[str, Any], *, body: dict[str, Any], piece_chars: int = 7
) -> list[bytes]:
    """The server-sent events that deliver a completion object piece by piece."""
    frame = {name: value for name, value in completion.items() if name not in {"choices", "usage"}}
    deltas: list[dict[str, Any]] = []
    for choice in completion["choices"]:
        deltas.append({"delta": {"role": "assistant", "content": ""}, "finish_reason": None})
        for name, text in (choice["message"] or {}).items():
            if name != "role" and isinstance(text, str):
                size = max(piece_chars, len(text) // 1000)
                cuts = [text[start : start + size] for start in range(0, len(text), size)]
                deltas += [{"delta": {name: cut}, "finish_reason": None} for cut in cuts]
        deltas.append({"delta": {}, "finish_reason": choice.get("finish_reason")})
    chunks = [frame | {"choices": [{"index": 0, **delta}]} for delta in deltas]
    if body.get("stream_options", {}).get("include_usage") and "usage" in completion:
        chunks.append(frame | {"choices": [], "usage": completion["usage"]})
    events = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    return [b": keep-alive\n\n", *events, b"data: [DONE]\n\n"]
