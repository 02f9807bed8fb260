"""Models that answer from the reply store only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.planning.meter import Row
from weak2wise_core.records import ChatReply, Message, Usage
from weak2wise_core.stores.replies import request_key

Lookup = Callable[[str], ChatReply | None]
"""The reply under a key of the reply store, or None."""


class NotStoredError(Exception):
    """The reply store has no reply to a request; caught where the request is counted."""

    def __init__(self, row: Row, key: str) -> None:
        super().__init__(f"{row.stage}, {row.model}: no stored reply")
        self.row = row
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModels:
    """The models of a recipe, as far as a reply store can speak for them."""

    identities: Mapping[str, Mapping[str, Any]]
    """What decides a model's replies beside the request, by its name; see `ChatModel.identity`."""
    samplings: Mapping[str, Sampling]
    lookup: Lookup | None
    """None where there is no store."""

    def key(self, name: str, messages: Sequence[Message], *, draw: int) -> str:
        """The key under which the reply of a model lies."""
        return request_key(self.identities[name], messages, self.samplings[name], draw)

    def find(self, key: str) -> ChatReply | None:
        """The reply under a key, or None."""
        return None if self.lookup is None else self.lookup(key)


class StoredModel:
    """One model at one stage; what it is asked for and has is told to `note`."""

    def __init__(
        self, models: StoredModels, row: Row, *, note: Callable[[Row, str, Usage], None]
    ) -> None:
        self._models = models
        self._row = row
        self._note = note

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        draw: int = 0,
        affinity: str = "",  # noqa: ARG002 - a store has no replicas
    ) -> ChatReply:
        """The stored reply; never waits.

        Raises:
            NotStoredError: There is none.
            StoreError: It is damaged.
        """
        if self._models.lookup is None:
            raise NotStoredError(self._row, f"missing-{next(_NUMBERS)}")
        key = self._models.key(self._row.model, messages, draw=draw)
        reply = self._models.lookup(key)
        if reply is None:
            raise NotStoredError(self._row, key)
        self._note(self._row, key, reply.usage)
        return reply


_NUMBERS = count()
