"""One round of the kill test: kill a build, start it again, see whether every law was kept."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.kill_builds import Build, RigError, Starvation, StoreCheck, verify_store
from benchmarks.kill_laws import (
    RECENT_S,
    Repeats,
    Snapshot,
    asked_twice,
    changed,
    left_behind,
    repeats,
    snapshot,
)
from benchmarks.kill_models import ASKING, Progress, ServedModels
from benchmarks.kill_moments import AFTER, Disk, Moment, Size, landing, strike

SOUND = frozenset({"sound", "absent"})
"""What a store may be after a kill; absent only before anything was asked."""
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The undisturbed build."""

    data: Snapshot
    temporary: Snapshot
    """What libraries leave among the temporary files of any build."""
    size: Size
    version: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class Kill:
    """One kill and what it cost."""

    planned: str
    stage: str
    """Where the build was when it was killed."""
    where: str
    after_s: float
    """Seconds after its start."""
    store: StoreCheck
    """What `weak2wise replies verify` said of the store as the kill left it."""
    at: float
    repeats: Repeats | None = None
    """None where the models answer in the build's own process and nobody counts."""


@dataclass(slots=True, kw_only=True)
class Round:
    """One build that was killed, once or several times, and started again."""

    number: int
    kills: list[Kill] = field(default_factory=list)
    version: str = ""
    changed: list[str] = field(default_factory=list)
    """Paths whose bytes are not those of the undisturbed build."""
    left: list[str] = field(default_factory=list)
    """Paths that should not be there."""
    seconds: float = 0.0
    """Of the last run."""
    faults: list[str] = field(default_factory=list)
    """Every law that was broken, in words."""


class Rig:
    """Everything that the rounds share.

    Args:
        arguments: What follows `weak2wise build`.
        dataset: The name of the dataset in the recipe.
        environment: What lets a build reach the task engine.
        folder: Where rounds keep their data.
        progress: The served models, or what the reply store shows.
        recent_s: How long before a kill a reply may have come that is lost.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        dataset: str,
        environment: Mapping[str, str],
        folder: Path,
        progress: ServedModels | Progress,
        recent_s: float = RECENT_S,
    ) -> None:
        self._arguments = arguments
        self._dataset = dataset
        self._environment = environment
        self._folder = folder
        self._progress = progress
        self._recent_s = recent_s
        self._starved: list[Starvation] = []
        self._served = progress if isinstance(progress, ServedModels) else None

    def undisturbed(self) -> Reference:
        """Build without a kill.

        Raises:
            RigError: The build failed, or asked the same thing twice.
        """
        folder = self._new_folder("undisturbed")
        build = self._start(folder)
        facts = build.finish()
        seconds = time.monotonic() - build.started
        if twice := asked_twice(self._served.log if self._served else []):
            raise RigError(f"an undisturbed build asked {twice} requests more than once")
        found = snapshot(folder / "data")
        size = Size(
            requests={stage: self._progress.answered(stage) for stage in ASKING},
            shards=sum(path.startswith("results/stage=format_sft/") for path in found),
            files=sum(path.startswith(_in_version(self._dataset, facts)) for path in found),
        )
        return Reference(
            data=found,
            temporary=snapshot(folder / "tmp"),
            size=size,
            version=facts["version"],
            seconds=round(seconds, 1),
        )

    def play(self, number: int, moments: Sequence[Moment], *, reference: Reference) -> Round:
        """Kill a build at each of the moments in turn, then let it end.

        Raises:
            RigError: The build was faster than the kill, three times.
        """
        for _ in range(_TRIES):
            folder = self._new_folder(f"round-{number}")
            kills = self._strike_all(moments, folder=folder, reference=reference)
            if len(kills) == len(moments):
                return self._finish(Round(number=number, kills=kills), folder, reference)
        raise RigError(f"round {number}: the build ended before {moments} every time")

    def _strike_all(
        self, moments: Sequence[Moment], *, folder: Path, reference: Reference
    ) -> list[Kill]:
        kills: list[Kill] = []
        for moment in moments:
            kill = self._strike(moment, folder=folder, size=reference.size)
            if kill is None or kill.stage == AFTER:
                break
            kills.append(kill)
        return kills

    def _strike(self, moment: Moment, *, folder: Path, size: Size) -> Kill | None:
        data = folder / "data"
        disk = Disk(data, dataset=self._dataset, size=size)
        build = self._start(folder)
        starvation = Starvation(build.pid)
        try:
            with starvation:
                at = strike(build, moment, progress=self._progress, disk=disk)
        finally:
            build.kill()
        if at is None:
            return None
        stage, where = landing(disk, progress=self._progress, size=size)
        kill = Kill(
            planned=moment.stage,
            stage=stage,
            where=where,
            after_s=round(at - build.started, 2),
            store=_verify_copy(data, folder / "copy"),
            at=at,
        )
        self._starved.append(starvation)
        if self._served is not None:
            self._served.next_run()
        return kill

    def _finish(self, played: Round, folder: Path, reference: Reference) -> Round:
        build = self._start(folder)
        try:
            played.version = build.finish()["version"]
        except RigError as error:
            played.faults.append(f"the restarted build failed: {error}")
        finally:
            build.kill()
        played.seconds = round(time.monotonic() - build.started, 2)
        now, temporary = snapshot(folder / "data"), snapshot(folder / "tmp")
        played.changed = changed(now, reference.data)
        played.left = left_behind(now, reference.data)
        played.left += left_behind(temporary, reference.temporary)
        self._count(played)
        played.faults += broken(played, reference)
        shutil.rmtree(folder)
        return played

    def _count(self, played: Round) -> None:
        if self._served is None:
            return
        for run, kill in enumerate(played.kills):
            kill.repeats = repeats(
                self._served.log,
                run=run,
                killed_at=kill.at,
                recent_s=self._recent_s,
                starved_since=self._starved[run].since,
            )
        if twice := asked_twice(self._served.log):
            played.faults.append(f"{twice} requests were sent twice by one run")

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tmp").mkdir(parents=True)
        self._progress.begin(folder / "data")
        self._starved = []
        return folder

    def _start(self, folder: Path) -> Build:
        own = {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
        return Build(
            self._arguments,
            data=folder / "data",
            environment={**self._environment, **own},
            folder=folder,
        )


def broken(played: Round, reference: Reference) -> Iterator[str]:
    """The laws that a round broke, in words."""
    if played.version != reference.version:
        yield f"version {played.version or 'none'} in place of {reference.version}"
    if played.changed:
        yield f"{len(played.changed)} files are missing or have other bytes: {played.changed[:3]}"
    if played.left:
        yield f"{len(played.left)} paths were left behind: {played.left[:3]}"
    for number, kill in enumerate(played.kills, start=1):
        for fault in broken_by(kill):
            yield f"kill {number}: {fault}"


def broken_by(kill: Kill) -> Iterator[str]:
    """The laws that one kill broke, in words."""
    found, store = kill.repeats, kill.store
    if (store.verdict, kill.where) not in {("sound", kill.where), ("absent", "no store")}:
        yield f"the store: {store.verdict}"
    if found is None:
        return
    if found.unexplained:
        yield (
            f"{found.unexplained} replies were paid for twice, the oldest sent "
            f"{found.oldest_ms} ms before the kill"
        )
    if found.known < store.replies:  # more: a race guessed once what it did not need
        yield f"the store held {store.replies} replies; all but {found.known} were asked for again"


def _verify_copy(data: Path, copy: Path) -> StoreCheck:
    """Verify a copy of the store: the restarted build finds what the kill left, untouched."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in data.glob("replies.sqlite*"):
        shutil.copy2(path, copy)
    return verify_store(copy)


def _in_version(dataset: str, facts: Mapping[str, str]) -> str:
    return f"datasets/{dataset}/{facts['version']}/"
