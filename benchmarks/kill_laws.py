"""What a killed and restarted build must keep, measured on its disk and in the server's log."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill_models import Asked

RECENT_S = 0.05
"""A reply that was sent this long before a kill must have been read and written by then."""
_STORE = "replies.sqlite"

Snapshot = Mapping[str, str]
"""Every path below a folder: a digest of the file, or where the link points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What one kill made the models answer again."""

    answered: int
    """Different requests answered before the kill, in the run that was killed."""
    in_flight: int
    """Different requests that had arrived and were not answered."""
    recent: int
    """The part of `answered` that was answered in the last 50 ms."""
    again: int
    """Requests of the killed run that a later run sent again."""
    older: int
    """The part of `again` that was neither in flight nor answered in the last 50 ms."""
    unexplained: int
    """The part of `older` that the build had the processors to read and write within 50 ms."""
    oldest_ms: float | None
    """How long before the kill the oldest reply was sent that was asked for again."""
    known: int
    """Different requests that this run and those before it sent and no later one did."""


def repeats(
    log: Sequence[Asked],
    *,
    run: int,
    killed_at: float,
    recent_s: float = RECENT_S,
    starved_since: Callable[[float], float] = lambda _: 0.0,
) -> Repeats:
    """Compare what a killed run asked with what came after it.

    Args:
        log: Every request of the round.
        run: The run that was killed.
        killed_at: When, on the clock of the log.
        recent_s: How long before the kill a reply may have come that is lost.
        starved_since: Seconds for which a thread of the build waited for a processor, at most,
            from a moment to the kill.
    """
    sent = {asked.request: asked for asked in log if asked.run == run}
    later = {asked.request for asked in log if asked.run > run}
    ages = {
        request: killed_at - asked.answered
        for request, asked in sent.items()
        if asked.answered is not None and asked.answered <= killed_at
    }
    lost = [ages[request] for request in sent.keys() & later if request in ages]
    older = [age for age in lost if age > recent_s]
    return Repeats(
        answered=len(ages),
        in_flight=len(sent) - len(ages),
        recent=sum(age <= recent_s for age in ages.values()),
        again=len(sent.keys() & later),
        older=len(older),
        unexplained=sum(age - starved_since(killed_at - age) > recent_s for age in older),
        oldest_ms=round(1000 * max(lost), 1) if lost else None,
        known=len({asked.request for asked in log if asked.run <= run} - later),
    )


def asked_twice(log: Sequence[Asked]) -> int:
    """Requests that one and the same run sent more than once; a build shares its replies."""
    return len(log) - len({(asked.run, asked.request) for asked in log})


def snapshot(folder: Path) -> Snapshot:
    """Everything below a folder, but the reply store, which holds times."""
    found: dict[str, str] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not name.startswith(_STORE):
                found[str(path.relative_to(folder))] = _content(path)
    return found


def changed(now: Snapshot, before: Snapshot) -> list[str]:
    """Paths of the undisturbed build that are missing or have other bytes.

    Below `keys` the task engine notes where results lie: there only names are compared.
    """
    return [
        path
        for path, content in before.items()
        if path not in now or (not path.startswith("keys/") and now[path] != content)
    ]


def left_behind(now: Snapshot, before: Snapshot) -> list[str]:
    """Paths that the undisturbed build does not have."""
    return sorted(now.keys() - before.keys())


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
