"""From the bytes of a streamed reply to one chat completion object.

A stream is a series of server-sent events; each carries a piece of the reply as JSON. Pieces are
put together into the object that the server would have sent without streaming, so that one parser
serves both.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from weak2wise_core.llm.replies import (
    REASONING_FIELDS,
    ReplyFormatError,
    ReportedError,
    decode_json,
    error_message,
)

DONE = b"[DONE]"


class EventReader:
    """Cuts a stream of bytes into the data of its events, wherever the network cut it.

    Lines end at LF or CRLF only: a JSON text may hold other characters, such as U+2028, that
    Unicode calls line ends.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take in the next bytes; yields the data of each event that is now whole."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._pieces.append(line)
            yield from self._line(b"".join(self._pieces))
            self._pieces.clear()
        self._pieces.append(rest)

    def close(self) -> Iterator[bytes]:
        """End of the stream; yields a last event that no blank line closed."""
        yield from self.feed(b"\n\n")

    def _line(self, line: bytes) -> Iterator[bytes]:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            yield b"\n".join(self._data)
            self._data.clear()


class CompletionAssembler:
    """Puts the pieces of a streamed reply together."""

    def __init__(self) -> None:
        self._texts: dict[str, list[object]] = {name: [] for name in ("content", *REASONING_FIELDS)}
        self._finish_reason: str | None = None
        self._model: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def add(self, data: bytes) -> None:
        """Take in the data of one event.

        Raises:
            ReplyFormatError: It is not JSON, or reports an error.
        """
        if data.strip() == DONE:
            return
        chunk = decode_json(data)
        if not isinstance(chunk, Mapping):
            raise ReplyFormatError(f"an event of the stream holds a {type(chunk).__name__}")
        message = error_message(chunk)
        if message is not None:
            wrote = any(self._texts.values())
            raise (ReplyFormatError if wrote else ReportedError)(
                f"the stream reports an error: {message}"
            )
        self._model = self._model or chunk.get("model")
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            if isinstance(choice, Mapping) and not choice.get("index"):
                self._add_choice(choice)

    def completion(self) -> dict[str, Any]:
        """The whole reply, in the form of a reply that was not streamed.

        Raises:
            ReplyFormatError: The stream stopped before the model did.
        """
        if self._finish_reason is None:
            raise ReplyFormatError("the stream stopped without a finish reason")
        return {
            "model": self._model,
            "choices": [{"message": self._texts, "finish_reason": self._finish_reason}],
            "usage": self._usage,
        }

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            return
        for name, pieces in self._texts.items():
            piece = delta.get(name)
            if isinstance(piece, list):
                pieces.extend(piece)
            elif piece is not None:
                pieces.append(piece)
