"""Builds that are killed and started again: the small form of benchmarks/kill.py."""

import hashlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.kill import Plan, served_rig
from benchmarks.kill_builds import Starvation, longest_wait
from benchmarks.kill_laws import changed, left_behind, repeats, snapshot
from benchmarks.kill_models import Asked
from benchmarks.kill_moments import PUBLISH, Moment, Size, Step, chain, moments
from benchmarks.kill_rounds import Reference, Rig

SIZE = Size(requests={"filter": 40, "generate": 200, "step-mask": 500}, shards=4, files=13)


@pytest.fixture(scope="module")
def killed(
    engine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rig, Reference]]:
    """A place to kill builds in, and the undisturbed one."""
    from prefect.settings import PREFECT_API_URL

    folder = tmp_path_factory.mktemp("kill")
    environment = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_HOME": str(folder / "home")}
    plan = Plan(questions=16)
    with served_rig(plan, environment=environment, folder=folder, recent_s=math.inf) as rig:
        yield rig, rig.undisturbed()


@pytest.mark.slow
def test_a_build_that_was_killed_three_times_is_as_if_nothing_had_happened(
    killed: tuple[Rig, Reference],
) -> None:
    """The same bytes, no stored reply asked again, sound stores, nothing left behind."""
    rig, reference = killed
    size = reference.size
    places = [
        Moment(stage="generate", at=size.requests["generate"] // 2),
        Moment(stage="step-mask", at=size.requests["step-mask"] // 2),
        Moment(stage=PUBLISH, at=Step.HALF),
    ]
    played = rig.play(1, places, reference=reference)
    assert played.faults == []
    assert [kill.stage for kill in played.kills] == ["generate", "step-mask", PUBLISH]
    stored = [kill.store.replies for kill in played.kills]
    assert stored == sorted(stored)
    assert stored[0] > 0
    assert stored[-1] >= size.requests["filter"] + size.requests["generate"]


def test_only_old_replies_that_were_asked_for_again_count() -> None:
    """In flight, answered a moment ago, never asked again, or of an earlier run: all of it fair."""

    def asked(request: str, answered: float | None, run: int = 1) -> Asked:
        return Asked(request=request, stage="filter", run=run, arrived=0.0, answered=answered)

    first = [asked("early", 1.0, run=0)]
    killed = [asked("lost", 9.0), asked("fresh", 9.96), asked("flying", None), asked("late", 10.1)]
    killed += [asked("stored", 8.0)]
    again = [asked(name, 12.0, run=2) for name in ("early", "lost", "fresh", "flying", "late")]
    found = repeats([*first, *killed, *again], run=1, killed_at=10.0)
    assert (found.answered, found.in_flight, found.recent) == (3, 2, 1)
    assert (found.again, found.older, found.unexplained) == (4, 1, 1)
    assert (found.oldest_ms, found.known) == (1000.0, 1)
    starved = {9.0: 0.97}
    log = [*first, *killed, *again]
    excused = repeats(log, run=1, killed_at=10.0, starved_since=lambda at: starved[at])
    assert (excused.older, excused.unexplained) == (1, 0)


def test_the_excuse_of_a_late_reply_is_the_wait_of_one_thread() -> None:
    """Threads that wait at the same time excuse no more than one of them, nor more than passed."""
    samples = [
        (10.0, {"loop": 1.0, "writer": 2.0}),
        (10.2, {"loop": 1.1, "writer": 2.1, "brief": 0.15}),
        (10.4, {"loop": 1.3, "writer": 2.2}),
    ]
    assert longest_wait(samples, since=10.1) == pytest.approx(0.3)
    assert longest_wait(samples, since=10.3) == pytest.approx(0.1)
    assert longest_wait(samples[1:], since=10.1) == pytest.approx(0.3)  # no more than passed
    assert longest_wait(samples, since=10.5) == 0.0
    assert longest_wait([], since=10.0) == 0.0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells")
def test_no_process_waits_longer_than_the_time_that_goes_by() -> None:
    """Of this process, whatever its threads do meanwhile."""
    with Starvation(os.getpid()) as starvation:
        begun = time.monotonic()
        time.sleep(0.1)
    assert 0.0 <= starvation.since(begun) <= time.monotonic() - begun


def test_every_change_of_a_data_folder_is_seen(tmp_path: Path) -> None:
    """Other bytes, a missing file, another link and whatever is new are named; times are not."""
    for name in ("a", "keys/b", "datasets/c", "replies.sqlite"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "latest").symlink_to("a")
    before = snapshot(tmp_path)
    assert before["a"] == hashlib.sha256(b"a").hexdigest()
    for name in ("a", "keys/b", "replies.sqlite"):
        (tmp_path / name).write_text("other")
    (tmp_path / "datasets" / "c").unlink()
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").symlink_to("keys")
    (tmp_path / "datasets" / ".c.tmp").mkdir()
    now = snapshot(tmp_path)
    assert set(changed(now, before)) == {"a", "datasets/c", "latest"}
    assert left_behind(now, before) == ["datasets/.c.tmp"]


@pytest.mark.parametrize("seed", range(5))
def test_moments_are_seeded_and_lie_in_every_stage(seed: int) -> None:
    """The same seed gives the same twenty moments, all of them within the build."""
    import random

    found = list(moments(SIZE, number=20, rng=random.Random(seed)))
    assert found == list(moments(SIZE, number=20, rng=random.Random(seed)))
    assert len(found) == 20
    most = {**SIZE.requests, "start": 1, "select": 1, "truncate": 1, "format": 4, PUBLISH: 4}
    assert {moment.stage for moment in found} == set(most)
    assert all(1 <= moment.at <= most[moment.stage] for moment in found)
    chained = chain(SIZE, kills=5, rng=random.Random(seed))
    masks = [moment.at for moment in chained if moment.stage == "step-mask"]
    assert masks == sorted(masks)
    assert [moment.at for moment in chained if moment.stage == PUBLISH] == [2, 4]
