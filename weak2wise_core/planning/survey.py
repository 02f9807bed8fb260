"""Looking ahead for all questions of a build, with its reply store opened for reading only."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from weak2wise_core.errors import StoreError
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.planning.answering import StoredModels
from weak2wise_core.planning.replay import Outlook, look_ahead
from weak2wise_core.planning.scene import Scene
from weak2wise_core.records import Question
from weak2wise_core.stores.reply_reading import StoredReplies

_TRIES = 3


async def survey(
    questions: Sequence[Question],
    *,
    scene: Scene,
    identities: Mapping[str, Mapping[str, Any]],
    replies: Path,
) -> list[Outlook]:
    """How far a reply store takes every question.

    Args:
        questions: The questions of the build.
        scene: Its recipe and what is opened for it.
        identities: What decides the replies of its models, by their names.
        replies: The file of the reply store; it need not exist, and is not made.

    Returns:
        One outlook a question, in their order. A build that is at work meanwhile may be further.

    Raises:
        StoreError: The store is damaged, or is no reply store.
    """
    for number in range(_TRIES):
        with ExitStack() as opened:
            store = _opened(replies, opened)
            models = StoredModels(
                identities=identities,
                samplings=_samplings(scene),
                lookup=None if store is None else store.get,
            )
            try:
                found = [await look_ahead(one, scene=scene, models=models) for one in questions]
            except StoreError:
                if store is None or not store.changed or number == _TRIES - 1:
                    raise
                continue  # a build began to write what was read as a file that does not change
            if store is None or not store.changed:
                return found
    raise StoreError(f"reply store {replies} changes faster than it is read; try again")


def _opened(replies: Path, stack: ExitStack) -> StoredReplies | None:
    return stack.enter_context(StoredReplies(replies)) if replies.exists() else None


def _samplings(scene: Scene) -> dict[str, Sampling]:
    specs = scene.recipe.models.specs()
    return {name: Sampling.of(spec) for name, spec in specs.items()}
