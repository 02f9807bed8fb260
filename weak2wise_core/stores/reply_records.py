"""A model reply as the bytes of one record: JSON, compressed with Zstandard.

Never pickle: a record must be readable by another version, another language and a person.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

import orjson
import zstandard

from weak2wise_core.records import ChatReply, FinishReason, Usage

_LEVEL: Final = 3
_CAN_PACK_ALL: Final = "multi_compress_to_buffer" in zstandard.backend_features
_MOST_BYTES: Final = 1 << 30
"""A record that says it is longer is damaged, and must not be given the memory it asks for."""


def to_json(reply: ChatReply) -> bytes:
    """The reply as one JSON object.

    A reply can hold half of a surrogate pair (a length limit cuts an emoji in two), which UTF-8
    cannot; it is then written with escapes, because a reply that was paid for is not refused.
    """
    try:
        return orjson.dumps(reply)
    except TypeError:
        return json.dumps(dataclasses.asdict(reply)).encode("ascii")


def from_json(data: bytes) -> ChatReply:
    """The reply that `to_json` wrote.

    Raises:
        ValueError: The bytes are not the JSON of a reply.
    """
    try:
        fields = _loads(data)
        fields["usage"] = Usage(**fields["usage"])
        fields["finish_reason"] = FinishReason(fields["finish_reason"])
        return ChatReply(**fields)
    except (TypeError, KeyError) as error:
        raise ValueError(f"not the fields of a reply: {error}") from error


def _loads(data: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        fields = json.loads(data)  # halves of surrogate pairs
    if not isinstance(fields, dict):
        raise TypeError(f"a {type(fields).__name__}")
    return fields


class Packer:
    """Compresses and decompresses records; for one thread at a time."""

    def __init__(self) -> None:
        # the checksum (4 bytes) finds a record that the disk returned changed
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, records: Sequence[bytes]) -> list[bytes]:
        """Compress, each record for itself.

        All in one call where the library can: after every call a thread waits until a busy event
        loop lets it go on.
        """
        if _CAN_PACK_ALL and records:
            packed = self._compressor.multi_compress_to_buffer(list(records))
            return [packed[place].tobytes() for place in range(len(packed))]
        return [self._compressor.compress(record) for record in records]

    def unpack(self, body: bytes) -> bytes:
        """Decompress.

        Raises:
            ValueError: The record is damaged.
        """
        try:
            size = zstandard.get_frame_parameters(body).content_size
            if size > _MOST_BYTES:
                raise ValueError("its length is not credible")
            return self._decompressor.decompress(body)
        except (zstandard.ZstdError, TypeError) as error:
            raise ValueError(str(error)) from error
