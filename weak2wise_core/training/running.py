"""Training in processes of its own: started here, watched here, ended here."""

import asyncio
import dataclasses
import importlib.util
import itertools
import json
import logging
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from weak2wise_core import errors
from weak2wise_core.errors import (
    InputFileError,
    TrainingError,
    TrainingStoppedError,
    Weak2WiseError,
)
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.jobs import MANIFEST, Trained, TrainingJob
from weak2wise_core.training.machine import process_count, require_packages

logger = logging.getLogger(__name__)

OnEvent = Callable[[TrainingEvent], None]

GRACE_SECONDS = 600.0
"""How long a training may take to end its step and save, once it is asked to."""
_PROGRAM = "weak2wise_core.training.program"
_KEPT_LINES = 40
_LONGEST_LINE = 1 << 20
_ENDS = frozenset({EventKind.STOPPED, EventKind.REFUSED, EventKind.FAILED})


async def train(jobs: Sequence[TrainingJob], *, on_event: OnEvent) -> list[Trained]:
    """Train models one after another; those that are there already are skipped.

    Args:
        jobs: What to train. One process trains them all, because loading the training libraries
            takes longer than a tiny model. Jobs with other numbers of processes are trained in
            groups, in their order.
        on_event: Called with everything that happens, in order, in this thread.

    Returns:
        One result per job, in their order.

    Raises:
        TrainingRefusedError: Nothing was started: an example is too long or lost its thinking, or
            model or machine do not suit the settings.
        UsageError: A file, folder or tokenizer cannot be used, or a package is missing.
        TrainingStoppedError: The training process was told to stop; its checkpoint is kept.
        TrainingError: It failed.
        asyncio.CancelledError: This coroutine was cancelled; the process has saved a checkpoint.
    """
    _check_outputs(jobs)
    for job in jobs:
        require_packages(job.settings)
    counts = [await asyncio.to_thread(process_count, job.settings) for job in jobs]
    skipped: set[Path] = set()

    def note(event: TrainingEvent) -> None:
        if event.kind is EventKind.SKIPPED:
            skipped.add(Path(event.folder))
        on_event(event)

    first = 0
    for count, group in itertools.groupby(zip(counts, jobs, strict=True), key=lambda pair: pair[0]):
        members = [job for _, job in group]
        await _train_group(members, processes=count, first=first, on_event=note)
        first += len(members)
    return [_trained(job, skipped=job.output in skipped) for job in jobs]


def _check_outputs(jobs: Sequence[TrainingJob]) -> None:
    folders = [job.output.absolute() for job in jobs]
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise InputFileError(f"two trainings want the folder {twice[0]}; give each its own")


def _trained(job: TrainingJob, *, skipped: bool) -> Trained:
    manifest = json.loads((job.output / MANIFEST).read_bytes())
    return Trained(folder=job.output, manifest=manifest, skipped=skipped)


async def _train_group(
    jobs: Sequence[TrainingJob], *, processes: int, first: int, on_event: OnEvent
) -> None:
    """Train in one process, or in several that train together."""
    with tempfile.TemporaryDirectory(prefix="weak2wise-training-") as folder:
        paths = list(_written(jobs, Path(folder)))
        async with _process(command(paths, processes=processes)) as process:
            end = await _follow(process, first=first, on_event=on_event)
            code = await process.wait()
    _judge(end, code=code)


def _written(jobs: Sequence[TrainingJob], folder: Path) -> Iterator[Path]:
    for number, job in enumerate(jobs):
        path = folder / f"{number}.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        yield path


def command(paths: Sequence[Path], *, processes: int) -> list[str]:
    """The command that trains these jobs."""
    together = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    module = [*(together if processes > 1 else []), _PROGRAM, "--stop-when-stdin-closes"]
    return [sys.executable, "-m", *module, *map(str, paths)]


def _environment() -> Mapping[str, str]:
    """Ours, with the folder of this package on the path, wherever it was started."""
    spec = importlib.util.find_spec("weak2wise_core")
    assert spec is not None
    assert spec.origin is not None
    root = str(Path(spec.origin).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A training process; when the block ends early it is asked to save and to end.

    It runs in a session of its own: Ctrl-C at a terminal reaches this process only, which then
    passes the wish on. Should this process be killed, the closing pipe says the same.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        env=_environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the process save and end; kill it, and its children, where it does not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            # what it still says must be read, or it would wait for us while we wait for it
            await asyncio.gather(_drain(process.stdout), _drain(process.stderr), process.wait())
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _drain(stream: asyncio.StreamReader | None) -> None:
    if stream is not None:
        with suppress(RuntimeError):  # a reader that was cancelled a moment ago still holds it
            while await stream.read(1 << 16):
                pass


async def _follow(
    process: asyncio.subprocess.Process, *, first: int, on_event: OnEvent
) -> tuple[TrainingEvent | None, Sequence[str]]:
    """Pass events on until the process falls silent; its last word, and its log's last lines."""
    assert process.stdout is not None
    assert process.stderr is not None
    log: deque[str] = deque(maxlen=_KEPT_LINES)
    keeping = asyncio.create_task(_keep(process.stderr, log))
    last = None
    try:
        async for line in process.stdout:
            event = _event(line, first=first)
            if event is None or last is not None:
                continue  # several processes may tell of the same end
            last = event if event.kind in _ENDS else None
            on_event(event)
        await keeping
    finally:
        keeping.cancel()
    return last, tuple(log)


def _event(line: bytes, *, first: int) -> TrainingEvent | None:
    try:
        event = TrainingEvent.from_json(line)
    except ValueError:
        logger.warning("the training process wrote %r, which is no event", line[:200])
        return None
    return dataclasses.replace(event, number=event.number + first)


async def _keep(stream: asyncio.StreamReader, log: deque[str]) -> None:
    """Keep the last lines of a log; progress bars overwrite theirs, and lines have no limit."""
    rest = ""
    while chunk := await stream.read(1 << 16):
        *lines, rest = (rest + chunk.decode(errors="replace")).replace("\r", "\n").split("\n")
        for line in filter(str.strip, lines):
            logger.debug("%s", line)
            log.append(line)
    if rest.strip():
        log.append(rest)


def _judge(end: tuple[TrainingEvent | None, Sequence[str]], *, code: int) -> None:
    """Turn the way a process ended into an error, unless it ended well.

    Raises:
        Weak2WiseError: What the process said, or that it died without a word.
    """
    last, log = end
    if last is not None and last.kind is EventKind.STOPPED:
        raise TrainingStoppedError(last.message)
    if last is not None and last.error:
        raise _error_class(last.error)(last.message)
    if last is None and code == 0:
        return
    for line in log:
        logger.error("training process: %s", line)
    if last is not None:
        raise TrainingError(last.message)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    last_line = log[-1] if log else "none"
    raise TrainingError(
        f"the training process {how}{hint}; its last line: {last_line}. Started again it goes on "
        "from its last checkpoint"
    )


def _error_class(name: str) -> type[Weak2WiseError]:
    found: object = getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, Weak2WiseError):
        return found
    return TrainingError
