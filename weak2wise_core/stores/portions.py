"""What one shard of questions contributed to a build, as one file that is read by question.

Builds hand these files from the stages to the publication, also from one process to another, so
that no build holds the traces of all its questions in memory. A file is a row of compressed frames,
one a question, and a table of contents with a checksum at its end. It holds plain JSON, no code.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import zstandard

from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    GoldenReasoning,
    MaskOutcomes,
    SFTExample,
    TraceMeasure,
)
from weak2wise_core.stores.converting import maker
from weak2wise_core.stores.files import atomic_write_bytes

FORMAT: Final = "weak2wise.portions/1"
_MAGIC: Final = FORMAT.encode() + b"\n"
_TAIL: Final = struct.Struct("<Q32s")
"""Where the table of contents begins, and the SHA-256 of everything before this."""
_LEVEL: Final = 1  # texts shrink to a third; slower levels gain little


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """The rows of one question, each table by strong model and draw."""

    question_id: str
    attempts: tuple[Attempt, ...] = ()
    candidates: tuple[CandidateTrace, ...] = ()
    outcomes: tuple[MaskOutcomes, ...] = ()
    measures: tuple[TraceMeasure, ...] = ()
    golden: tuple[GoldenReasoning, ...] = ()
    train: tuple[SFTExample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortionFile:
    """A file of portions, of which only the table of contents is in memory."""

    path: Path
    frames: Mapping[str, tuple[int, int]]
    """Where the frame of each question begins and how long it is, in bytes."""
    facts: Mapping[str, Any]
    """Whatever `write_portions` was given beside the portions."""

    def read(self, question_id: str) -> Portion:
        """The portion of one question.

        Raises:
            InputFileError: The file is gone, or was changed since it was opened.
        """
        start, length = self.frames[question_id]
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                frame = file.read(length)
            plain = orjson.loads(zstandard.ZstdDecompressor().decompress(frame))
            portion: Portion = _MAKE(plain)
        except (OSError, ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
            raise _damaged(self.path, error) from error
        return portion


_MAKE: Final = maker(Portion)


def write_portions(
    path: Path, portions: Sequence[Portion], *, facts: Mapping[str, Any]
) -> PortionFile:
    """Write a file that is whole or absent.

    Args:
        path: Where it belongs.
        portions: One for each question that has rows.
        facts: Further plain values.

    Raises:
        StoreError: It cannot be written, or a text holds half of a surrogate pair.
    """
    compress = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress
    frames: dict[str, tuple[int, int]] = {}
    pieces, end = [_MAGIC], len(_MAGIC)
    for portion in portions:
        frame = compress(_encoded(portion, what=f"the rows of question {portion.question_id!r}"))
        frames[portion.question_id] = (end, len(frame))
        pieces.append(frame)
        end += len(frame)
    contents = _encoded({"frames": frames, "facts": facts}, what="the facts about a shard")
    pieces.append(compress(contents))
    body = b"".join(pieces)
    atomic_write_bytes(path, body + _TAIL.pack(end, hashlib.sha256(body).digest()))
    return PortionFile(path=path, frames=frames, facts=json.loads(contents)["facts"])


def open_portions(path: Path) -> PortionFile:
    """Read the table of contents of a file, after its checksum.

    Raises:
        InputFileError: It is missing, damaged or of another format.
    """
    try:
        data = path.read_bytes()
        body = data[: -_TAIL.size]
        contents, digest = _TAIL.unpack(data[-_TAIL.size :])
        if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
            raise ValueError(f"it is not a whole file of {FORMAT}")
        found = orjson.loads(zstandard.ZstdDecompressor().decompress(body[contents:]))
        frames = {name: (start, length) for name, (start, length) in found["frames"].items()}
        return PortionFile(path=path, frames=frames, facts=found["facts"])
    except (OSError, ValueError, KeyError, TypeError, struct.error, zstandard.ZstdError) as error:
        raise _damaged(path, error) from error


def _encoded(value: object, *, what: str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise StoreError(
            f"{what} cannot be stored ({error}). Correct or leave out the question with this text"
        ) from error


def _damaged(path: Path, error: Exception) -> InputFileError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return InputFileError(f"{path} cannot be read ({reason}); start the build again to mend it")
