"""Asking a model once, however many builds on one store want the same reply at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from weak2wise_core.records import ChatReply
from weak2wise_core.stores.replies import ReplyStore
from weak2wise_core.stores.reply_turns import Turn

SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.01, 0.25
"""Between two looks at a request that another build is asking."""

Ask = Callable[[Turn], Awaitable[ChatReply | None]]


class Answered(NamedTuple):
    """A reply that is in the store."""

    reply: ChatReply
    paid: bool
    """Whether this build asked for it."""


async def ask_in_turn(store: ReplyStore, key: str, ask: Ask, *, model: str, stage: str) -> Answered:
    """Ask for a reply and store it, or wait for another build that is asking the same.

    The turn is kept until the reply is written. Where the other build fails, it is our turn.

    Args:
        store: Where the reply is kept.
        key: Of the request.
        ask: Takes the turn as soon as it could ask, and asks; None where the turn is not ours.
            Nothing that others need is held while it is not running.
        model: The model as the recipe calls it.
        stage: The stage that asks.

    Raises:
        ModelError: The call failed.
        StoreError: The store cannot be read or written.
    """
    with store.turn(key) as turn:
        while True:
            if (reply := await ask(turn)) is not None:
                # A build that lost patience may have stored its own first: that one counts.
                kept = await store.aput(key, reply, model=model, stage=stage)
                return Answered(kept, paid=True)
            if (reply := await _stored_elsewhere(store, key, turn)) is not None:
                return Answered(reply, paid=False)


async def _stored_elsewhere(store: ReplyStore, key: str, turn: Turn) -> ChatReply | None:
    """The reply for which another build asked; None when the turn is ours."""
    pause_s = SHORTEST_WAIT_S
    while (reply := store.get(key)) is None and not turn.take():
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_WAIT_S)
    return reply
