"""The training process: `python -m weak2wise_core.training.program JOB.json [JOB.json ...]`.

Trains one model after another. On standard output it writes one `TrainingEvent` a line and nothing
else; the libraries' own words go to standard error. Every job is checked before the first one
starts. Under `python -m torch.distributed.run` the first process speaks for all.

SIGTERM and SIGINT end it between two steps, with a checkpoint; started again it goes on from there.
With `--stop-when-stdin-closes` the end of its standard input does the same, so that it does not
outlive the process that started it.

Exit codes: 0 all models are there, 75 stopped, 2 refused before anything was trained, 1 failed.
"""

import argparse
import dataclasses
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from weak2wise_core.errors import TrainingStoppedError, UsageError, Weak2WiseError
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import TrainingJob, finished

STOPPED = 75
"""Exit code of a training that can be resumed; EX_TEMPFAIL of sysexits.h."""

_QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # the trainer would tell its makers about every training
    "TRANSFORMERS_VERBOSITY": "error",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the jobs named on the command line; the exit code."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    options = _parse(arguments)
    take_one_gpu()
    stop = StopRequest()
    stop.listen_to_signals()
    if options.stop_when_stdin_closes:
        stop.listen_to_stdin()
    speaker = Speaker(_claim_stdout(), first=os.environ.get("RANK", "0") == "0")
    return run([Path(path) for path in options.jobs], speaker=speaker, stop=stop)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m weak2wise_core.training.program",
        description="Train models, one JSON event a line on standard output.",
    )
    parser.add_argument("jobs", nargs="+", metavar="JOB.json", help="a TrainingJob")
    parser.add_argument(
        "--stop-when-stdin-closes",
        action="store_true",
        help="save a checkpoint and end when standard input does",
    )
    return parser.parse_args(arguments)


def take_one_gpu() -> None:
    """Let a process that trains alone see one GPU; the trainer refuses to spread over several."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        first, _, _ = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = first


def _claim_stdout() -> TextIO:
    """Keep standard output for events; whatever else is written there goes to standard error."""
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return ours


class StopRequest:
    """Whether somebody wants this process to end."""

    def __init__(self) -> None:
        """Nobody does yet."""
        self._asked = threading.Event()

    def asked(self) -> bool:
        """Whether to end at the next opportunity."""
        return self._asked.is_set()

    def listen_to_signals(self) -> None:
        """Take SIGTERM and SIGINT as the wish; a second one ends the process at once."""

        def note(number: int, _frame: object) -> None:
            self._asked.set()
            signal.signal(number, signal.SIG_DFL)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, note)

    def listen_to_stdin(self) -> None:
        """Take the end of standard input as the wish."""

        def wait() -> None:
            while os.read(0, 4096):
                pass
            self._asked.set()

        threading.Thread(target=wait, daemon=True, name="stdin").start()


class Speaker:
    """Writes events. Of several processes the first one speaks; a failure every one tells."""

    def __init__(self, stream: TextIO, *, first: bool) -> None:
        """Take over the stream."""
        self._stream = stream
        self._first = first

    def say(self, event: TrainingEvent) -> None:
        """Write one event at once. That nobody reads any more is no reason to stop training."""
        if not self._first and event.kind is not EventKind.FAILED:
            return
        try:
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()
        except BrokenPipeError:
            return


def run(paths: Sequence[Path], *, speaker: Speaker, stop: StopRequest) -> int:
    """Check every job, then train them; the exit code."""
    try:
        jobs = [TrainingJob.read(path) for path in paths]
        _run(jobs, speaker=speaker, stop=stop)
    except TrainingStoppedError as error:
        speaker.say(TrainingEvent(kind=EventKind.STOPPED, message=str(error)))
        return STOPPED
    except Weak2WiseError as error:
        refused = isinstance(error, UsageError)
        kind = EventKind.REFUSED if refused else EventKind.FAILED
        speaker.say(TrainingEvent(kind=kind, error=type(error).__name__, message=str(error)))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever a library raises must reach the reader
        traceback.print_exc()
        message = f"the training failed: {type(error).__name__}: {str(error)[:500]}"
        speaker.say(TrainingEvent(kind=EventKind.FAILED, message=message))
        return 1
    return 0


def _run(jobs: Sequence[TrainingJob], *, speaker: Speaker, stop: StopRequest) -> None:
    from weak2wise_core.training.describing import Prepared
    from weak2wise_core.training.fitting import fit, prepare

    waiting: list[tuple[int, Prepared]] = []
    for number, job in enumerate(jobs):
        emit = _emitter(speaker, job=job, number=number)
        if (model := finished(job)) is not None:
            emit(TrainingEvent(kind=EventKind.SKIPPED, folder=str(model.folder)))
        else:
            waiting.append((number, prepare(job)))
    for number, prepared in waiting:
        if stop.asked():
            raise TrainingStoppedError(
                f"stopped before {prepared.job.name}; start it again to go on"
            )
        emit = _emitter(speaker, job=prepared.job, number=number)
        fit(prepared, emit=emit, stop_asked=stop.asked)


def _emitter(speaker: Speaker, *, job: TrainingJob, number: int) -> Callable[[TrainingEvent], None]:
    def emit(event: TrainingEvent) -> None:
        speaker.say(dataclasses.replace(event, job=job.name, number=number))

    return emit


if __name__ == "__main__":
    sys.exit(main())
