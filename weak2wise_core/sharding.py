"""Content-defined shards: one inserted question changes one shard, not all of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from weak2wise_core.records import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Questions that travel together, in the order of their hashes."""

    name: str
    """The leading bits that the hashes of its question ids share."""
    questions: tuple[Question, ...]


def shards_of(questions: Sequence[Question], *, largest: int) -> list[Shard]:
    """Split questions into shards by a hash of their ids.

    A shard with more than `largest` questions is split by the next bit of the hash, and so on: the
    leaves of a binary tree. Inserting or removing a question changes the leaf that holds it, which
    may split in two or join its neighbour; every other leaf stays as it is.

    Args:
        questions: Questions with distinct ids, in any order.
        largest: Most questions in one shard, at least 1.

    Returns:
        The shards that hold a question, by name. The order of the input does not matter.

    Raises:
        ValueError: Two questions share an id, so that no bit tells them apart.
    """
    if len({question.id for question in questions}) < len(questions):
        raise ValueError("two questions share an id; load them with load_questions first")
    hashed = sorted(((_bits(one.id), one) for one in questions), key=lambda pair: pair[0])
    return _split(hashed, largest=largest, prefix="")


def _bits(question_id: str) -> str:
    digest = hashlib.sha256(question_id.encode()).digest()
    return f"{int.from_bytes(digest, 'big'):0256b}"


def _split(hashed: Sequence[tuple[str, Question]], *, largest: int, prefix: str) -> list[Shard]:
    if not hashed:
        return []
    if len(hashed) <= largest:
        name = prefix or "all"
        return [Shard(name=name, questions=tuple(question for _, question in hashed))]
    halves = ([one for one in hashed if one[0][len(prefix)] == bit] for bit in "01")
    return [
        shard
        for bit, half in zip("01", halves, strict=True)
        for shard in _split(half, largest=largest, prefix=prefix + bit)
    ]
