"""Taking the replies of OpenAI-compatible servers apart.

Servers differ in where they put the thinking: `reasoning_content` (DeepSeek), `reasoning` (vLLM),
parts of type `thinking` (Mistral), or `<think>...</think>` inside the content, at times without
the opening tag, at times never closed. Everything here is pure, so that stored raw replies are
read by the same code as live ones.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from weak2wise_core.records import ChatReply, FinishReason, Usage

OPENING_TAG = "<think>"
CLOSING_TAG = "</think>"
REASONING_FIELDS = ("reasoning_content", "reasoning")

_BROKEN_OFF = frozenset({"insufficient_system_resource", "abort", "error"})
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_THINKING_PARTS = frozenset({"thinking", "reasoning"})
_ABSURD = 1 << 40
"""No reply has as many tokens; tables add them up in 64 bits, and larger ones would end a build."""


class ReplyFormatError(ValueError):
    """A server sent something that is no chat completion."""

    usage: Usage = Usage()
    """What the server counted for it all the same."""

    @property
    def may_cost(self) -> bool:
        """Whether the server may charge for it."""
        return True


class ForeignReplyError(ReplyFormatError):
    """A server sent neither a completion nor an error, whole: it may be another kind of server."""

    @property
    def may_cost(self) -> bool:
        """Only if it counted tokens: there is no text of a model in it."""
        return self.usage.counted


class ReportedError(ReplyFormatError):
    """A server sent an error in place of a completion."""

    @property
    def may_cost(self) -> bool:
        """Only if it counted tokens: there is no text of a model in it."""
        return self.usage.counted


def decode_json(data: bytes) -> Any:
    """Decode JSON, also where it holds NaN or half of a surrogate pair.

    Raises:
        ReplyFormatError: It is not JSON, or not all of it.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReplyFormatError(f"the body is not JSON ({error}): {shortened(data)!r}") from None


def shortened(text: str | bytes, *, limit: int = 300) -> str:
    """The beginning of a text on one line, at most `limit` characters, each of them whole."""
    if isinstance(text, bytes):
        text = text[: 4 * limit].decode("utf-8", "replace")
    line = " ".join(_valid_unicode(text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def parse_completion(obj: Mapping[str, Any]) -> ChatReply:
    """Take a chat completion object apart.

    Args:
        obj: The decoded body of a reply, or the same object as a program stored it.

    Returns:
        The first choice. Token counts that are missing are 0, a model id that is missing is "".

    Raises:
        ReplyFormatError: The object reports an error, has no choice, or its text is not text.
    """
    try:
        return _parsed(obj)
    except ReplyFormatError as error:
        error.usage = parse_usage(_mapping(obj).get("usage"))
        raise


def _parsed(obj: Mapping[str, Any]) -> ChatReply:
    choice = _first_choice(obj)
    if str(choice.get("finish_reason")) in _BROKEN_OFF:
        raise ReplyFormatError(f"the server broke off ({choice['finish_reason']})")
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise ReplyFormatError("the first choice of the reply has no message")
    thought, content = _texts(message.get("content"))
    reasoning = _reasoning_field(message) or _blank_to_none(thought)
    if reasoning is None:
        reasoning, content = split_thinking(content)
    model = obj.get("model")
    return ChatReply(
        content=content,
        reasoning=reasoning,
        finish_reason=finish_reason(choice.get("finish_reason")),
        usage=parse_usage(obj.get("usage")),
        model=_valid_unicode(model) if isinstance(model, str) else "",
    )


def finish_reason(value: object) -> FinishReason:
    """Why a model stopped, from the word that a server uses for it."""
    return _FINISH_REASONS.get(str(value), FinishReason.OTHER)


def split_thinking(text: str) -> tuple[str | None, str]:
    r"""Separate thinking that stands inside the content from the visible text.

    Returns:
        The thinking (None where there is none or only blanks) and the content. Where tags were
        found both are stripped of surrounding blanks, else the content is the text as it came.

    Example:
        >>> split_thinking("<think>2 + 2 = 4</think>\n\nFour.")
        ('2 + 2 = 4', 'Four.')
        >>> split_thinking("2 + 2 = 4\n</think>\nFour.")
        ('2 + 2 = 4', 'Four.')
        >>> split_thinking("<think>2 + 2")
        ('2 + 2', '')
    """
    before, opening, after = text.partition(OPENING_TAG)
    if not opening or CLOSING_TAG in before:
        thought, closing, content = text.partition(CLOSING_TAG)
        return (_blank_to_none(thought), content.strip()) if closing else (None, text)
    thought, closing, content = after.partition(CLOSING_TAG)
    if before.strip() and not closing:
        return None, text  # a sentence that mentions the tag, not a thought that was cut
    return _blank_to_none(thought), (before + content).strip()


def parse_usage(usage: object) -> Usage:
    """Token counts of a reply; whatever is missing or no count is 0."""
    if not isinstance(usage, Mapping):
        return Usage()
    prompt_details = _mapping(usage.get("prompt_tokens_details"))
    completion_details = _mapping(usage.get("completion_tokens_details"))
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(completion_details.get("reasoning_tokens")),
        cached_tokens=_count(prompt_details.get("cached_tokens"))
        or _count(usage.get("prompt_cache_hit_tokens")),
    )


def error_message(obj: object) -> str | None:
    """What a server says went wrong, or None where the object reports no error."""
    error = obj.get("error") if isinstance(obj, Mapping) else None
    if not error:
        return None
    if not isinstance(error, Mapping):
        return shortened(str(error))
    message = shortened(str(error.get("message") or "an error without a message"))
    code = error.get("code") or error.get("type")
    code = shortened(code) if isinstance(code, str) else ""
    return message if code in message else f"{message} ({code})"


def _first_choice(obj: object) -> Mapping[str, Any]:
    if not isinstance(obj, Mapping):
        raise ForeignReplyError(f"the reply is a {type(obj).__name__}, not a chat completion")
    choices = obj.get("choices")
    first = choices[0] if isinstance(choices, list | tuple) and choices else None
    message = error_message(obj) or error_message(first)
    if message is not None:
        raise ReportedError(f"the reply reports an error: {message}")
    if "choices" not in obj:
        raise ForeignReplyError(f"the reply has no choices: {shortened(str(obj), limit=100)}")
    if not isinstance(first, Mapping):
        raise ReplyFormatError("the reply has no choices")
    return first


def _reasoning_field(message: Mapping[str, Any]) -> str | None:
    for field in REASONING_FIELDS:
        value = message.get(field)
        text = "".join(_texts(value)) if isinstance(value, str | list | tuple) else ""
        if text.strip():
            return text
    return None


def _texts(value: object) -> tuple[str, str]:
    """Thinking and visible text of a content field: a string, parts, or nothing."""
    if value is None:
        return "", ""
    if isinstance(value, str):
        return "", _valid_unicode(value)
    if not isinstance(value, list | tuple):
        raise ReplyFormatError(f"the content is a {type(value).__name__}, not text")
    return _joined_parts(value)


def _joined_parts(parts: Sequence[object]) -> tuple[str, str]:
    thought, visible = "", ""
    for part in parts:
        if isinstance(part, str):
            visible += part
        elif isinstance(part, Mapping) and part.get("type") in _THINKING_PARTS:
            inner = part.get("thinking", part.get("reasoning", part.get("text")))
            thought += "".join(_texts(inner))
        elif isinstance(part, Mapping):
            visible += "".join(_texts(part.get("text")))
        else:
            raise ReplyFormatError(f"a part of the content is a {type(part).__name__}, not text")
    return _valid_unicode(thought), _valid_unicode(visible)


def _valid_unicode(text: str) -> str:
    """Join surrogate pairs that a stream cut apart; what has lost its half becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value < _ABSURD else 0  # NaN compares as false


def _blank_to_none(text: str) -> str | None:
    return text.strip() or None
