"""A training under way: what it reports after every step, and when it must stop."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weak2wise_core.errors import TrainingError
from weak2wise_core.training.events import EventKind, TrainingEvent

if TYPE_CHECKING:
    from transformers import TrainerCallback

Emit = Callable[[TrainingEvent], None]


class Watch:
    """What a training reports, and when it must stop."""

    def __init__(
        self,
        *,
        emit: Emit,
        stop_asked: Callable[[], bool],
        on_saved: Callable[[int], Path],
        resumed_from: Path | None,
    ) -> None:
        """Prepare to watch one training.

        Args:
            emit: Takes events; their job is filled in by it.
            stop_asked: Whether somebody asked for an end.
            on_saved: Called by the first process when a step's checkpoint lies there.
            resumed_from: The checkpoint that the training goes on from.
        """
        self.stopped = False
        """The training ended before its time because somebody asked for it."""
        self._emit = emit
        self._stop_asked = stop_asked
        self._on_saved = on_saved
        self._resumed_from = resumed_from
        self._began = time.monotonic()
        self._tokens_before = 0

    def say(self, kind: EventKind, state: Any, **fields: Any) -> None:
        """Emit an event with the step and the time."""
        seconds = round(time.monotonic() - self._began, 3)
        step, steps = state.global_step, state.max_steps
        self._emit(TrainingEvent(kind=kind, step=step, steps=steps, seconds=seconds, **fields))

    def begin(self, state: Any) -> None:
        """Say where the training begins."""
        counts = [entry["num_tokens"] for entry in state.log_history if "num_tokens" in entry]
        self._tokens_before = int(counts[-1]) if counts else 0
        folder = "" if self._resumed_from is None else str(self._resumed_from)
        self.say(EventKind.STARTED, state, folder=folder)

    def note(self, logs: Mapping[str, Any], state: Any) -> None:
        """Report a step; the summary at the end has no loss.

        Raises:
            TrainingError: The loss is no number.
        """
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} at step {state.global_step} of {state.max_steps}: the "
                "training diverged. Lower training.learning_rate, and start it again"
            )
        tokens = self._tokens_before + int(logs["num_tokens"])  # counted since a resumption
        state.log_history[-1]["num_tokens"] = tokens
        rate = logs["learning_rate"]
        self.say(EventKind.STEP, state, loss=logs["loss"], learning_rate=rate, tokens=tokens)

    def steer(self, state: Any, control: Any, *, device: Any) -> None:
        """Stop between two steps if one process was asked to; never save after the last."""
        if state.global_step >= state.max_steps:
            control.should_save = False  # the model itself is about to be saved
        elif _any_process(self._stop_asked(), device=device):
            self.stopped = control.should_save = control.should_training_stop = True

    def saved(self, state: Any) -> None:
        """Mark a checkpoint once every process has written its part."""
        _wait_for_all()
        if state.is_world_process_zero:
            folder = self._on_saved(state.global_step)
            self.say(EventKind.SAVED, state, folder=str(folder))


def make_watcher(watch: Watch) -> "TrainerCallback":
    """The callback through which the trainer tells its progress."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        """Passes the trainer's calls on."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            """Before the first step of this process."""
            watch.begin(state)

        def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
            """After every step."""
            watch.note(more["logs"], state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """After every step, before it is logged."""
            watch.steer(state, control, device=args.device)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            """After every checkpoint."""
            watch.saved(state)

    return Watcher()


def _any_process(flag: bool, *, device: Any) -> bool:
    """Whether the flag is up in any process of this training."""
    import torch

    if not torch.distributed.is_initialized():
        return flag
    raised = torch.tensor(int(flag), device=device)
    torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
    return bool(raised.item())


def _wait_for_all() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.barrier()
