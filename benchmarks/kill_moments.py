"""Moments of a build to kill it at: seeded, spread over all stages, found by observed progress."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from pathlib import Path

from benchmarks.kill_builds import Build
from benchmarks.kill_models import ASKING, Progress

START, PUBLISH, AFTER = "start", "publish", "after the end"
QUICK = {
    "select": "select_golden",
    "truncate": "truncate_golden",
    "format": "format_sft",
}
"""The stages that ask nobody here: the name in tables, and the name of the task."""
STAGES = (START, *ASKING, *QUICK, PUBLISH)
SPREAD = {
    START: 1,
    "filter": 4,
    "generate": 4,
    "step-mask": 4,
    "select": 1,
    "truncate": 1,
    "format": 1,
    PUBLISH: 4,
}
"""How many of twenty moments lie in each stage."""
_AFTER_A_REPLY_S = 0.06  # longer than a reply may be on its way to the disk
_SLICE_S = 0.0005


class Step(IntEnum):
    """How far a publication is, by what lies in the folder of its dataset."""

    NOTHING = 0
    FOLDER = 1
    """The temporary folder is there."""
    HALF = 2
    """Half of the files are in it."""
    MANIFEST = 3
    """All of them; they are being brought to the disk."""
    RENAMED = 4
    """The folder has its name and `latest` does not point to it."""
    POINTED = 5
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment to kill at."""

    stage: str
    at: int = 1
    """Answered requests of an asking stage, results of a quick one, a `Step` of the publication."""
    delay_s: float = 0.0
    """Seconds to wait after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the build is, as the undisturbed one showed."""

    requests: Mapping[str, int]
    shards: int
    files: int
    """In the dataset folder."""


class Disk:
    """What a data folder shows of a build from outside.

    Args:
        data: The folder.
        dataset: The name of the dataset.
        size: Of the whole build.
    """

    def __init__(self, data: Path, *, dataset: str, size: Size) -> None:
        self._data = data
        self._dataset = data / "datasets" / dataset
        self._size = size
        self._old = frozenset(_names(self._dataset))

    def store(self) -> bool:
        """Whether the reply store is there."""
        return (self._data / "replies.sqlite").exists()

    def results(self, stage: str) -> int:
        """Result files of a stage, the one that is being written included."""
        return len(_names(self._data / "results" / f"stage={(ASKING | QUICK)[stage]}"))

    def publication(self) -> Step:
        """How far the publication is; what an earlier build left lying does not count."""
        names = [name for name in _names(self._dataset) if name not in self._old]
        if "latest" in names:
            return Step.POINTED
        if any(not name.startswith(".") for name in names):
            return Step.RENAMED
        return max((self._filled(name) for name in names), default=Step.NOTHING)

    def _filled(self, name: str) -> Step:
        files = _names(self._dataset / name)
        if "manifest.json" in files:
            return Step.MANIFEST
        return Step.HALF if len(files) >= self._size.files // 2 else Step.FOLDER

    def reached(self, moment: Moment) -> bool:
        """Whether a build is at a moment that the data folder shows."""
        if moment.stage == START:
            return self.store()
        if moment.stage == PUBLISH:
            return self.publication() >= moment.at
        return self.results(moment.stage) >= moment.at

    def near(self, moment: Moment) -> bool:
        """Whether a build will be there soon."""
        if moment.stage == PUBLISH:
            return self.results("format") >= self._size.shards
        stages = ("step-mask", *QUICK)
        return self.results(stages[stages.index(moment.stage) - 1]) >= moment.at


def moments(size: Size, *, number: int, rng: random.Random) -> Iterator[Moment]:
    """Moments in every stage, in the order of the stages and evenly spread within each.

    Args:
        size: Of the whole build.
        number: How many; twenty are spread as `SPREAD` says, others in proportion.
        rng: Where in its part of the stage each moment lies.
    """
    for stage, count in _shares(number).items():
        for place in range(count):
            share = (place + rng.random()) / count
            if stage in ASKING:
                at = 1 + int(share * (size.requests[stage] - 1))
                yield Moment(stage=stage, at=at, delay_s=rng.uniform(0, _AFTER_A_REPLY_S))
            elif stage in QUICK:  # a shard that is ahead would hide what others do
                at = 1 + int(share * size.shards) if stage == "format" else 1
                yield Moment(stage=stage, at=at)
            elif stage == PUBLISH:
                yield Moment(stage=stage, at=1 + int(share * Step.RENAMED))
            else:
                yield Moment(stage=stage, delay_s=rng.uniform(0, _AFTER_A_REPLY_S))


def chain(size: Size, *, kills: int, rng: random.Random) -> list[Moment]:
    """Moments for several kills of one build, each later than the one before."""
    stages = ["generate", "step-mask", "step-mask", PUBLISH, PUBLISH][:kills]
    found: list[Moment] = []
    for number, stage in enumerate(stages):
        of_stage = [moment for moment in found if moment.stage == stage]
        if stage == PUBLISH:
            found.append(Moment(stage=stage, at=Step.RENAMED if of_stage else Step.HALF))
            continue
        share = (len(of_stage) + rng.random()) / stages.count(stage)
        at = 1 + int(share * (size.requests[stage] - 1))
        delay_s = rng.uniform(0, _AFTER_A_REPLY_S / (number + 1))
        found.append(Moment(stage=stage, at=at, delay_s=delay_s))
    return found


def strike(build: Build, moment: Moment, *, progress: Progress, disk: Disk) -> float | None:
    """Kill a build at a moment; when, on the monotonic clock, or None where it ended before."""
    if moment.stage in ASKING:
        reached = _until(build, lambda: progress.answered(moment.stage) >= moment.at)
    elif moment.stage == START:
        reached = _until(build, disk.store)
    else:
        return _step_to(build, moment, disk=disk)
    if not reached:
        return None
    time.sleep(moment.delay_s)
    return build.kill()


def landing(disk: Disk, *, progress: Progress, size: Size) -> tuple[str, str]:
    """Where a killed build was: the furthest stage of which there is a trace, and how far in it."""
    step = disk.publication()
    if step is Step.POINTED:
        return AFTER, "published"
    if step is not Step.NOTHING:
        return PUBLISH, step.name.lower()
    for stage in reversed(QUICK):
        if done := disk.results(stage):
            return stage, f"{done} of {size.shards} shards"
    for stage in reversed(ASKING):
        if done := progress.answered(stage):
            return stage, f"{done} of {size.requests[stage]} calls"
    return START, "store made" if disk.store() else "no store"


def _until(build: Build, reached: Callable[[], bool]) -> bool:
    """Watch a running build; False where it ended before."""
    while not reached():
        if not build.running():
            return False
        time.sleep(0.001)
    return True


def _step_to(build: Build, moment: Moment, *, disk: Disk) -> float | None:
    """Let the build go on in slices of half a millisecond, looking at the disk in between.

    These moments are over in milliseconds: whoever looked at a running build would be late.
    """
    if not _until(build, lambda: disk.near(moment)):
        return None
    while build.running():
        held_at = build.hold()
        if disk.reached(moment):
            return held_at if build.kill() else None
        build.go_on()
        time.sleep(_SLICE_S)
    return None


def _shares(number: int) -> dict[str, int]:
    """How many of so many moments lie in each stage."""
    ends = [round(number * end / sum(SPREAD.values())) for end in accumulate(SPREAD.values())]
    starts = [0, *ends[:-1]]
    return {stage: end - start for stage, start, end in zip(SPREAD, starts, ends, strict=True)}


def _names(folder: Path) -> list[str]:
    try:
        return [item.name for item in folder.iterdir()]
    except OSError:
        return []  # not there yet, or renamed a moment ago
