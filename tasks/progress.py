"""How far a build is: numbers that a display or an artifact may read at any moment."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.local_models import LocalModels
from tasks.paid import Paid
from weak2wise_core.accounts import Account
from weak2wise_core.dataset.drift import Asked, EarlierIds, ModelChange

STAGES = (
    "filter_qa",
    "generate_candidates",
    "score_step_masks",
    "select_golden",
    "truncate_golden",
    "format_sft",
)


@dataclass(slots=True)
class Progress(Paid):
    """Questions that entered and left each stage, and what the models were asked."""

    questions: int = 0
    """Questions of the whole build."""
    shards: int = 0
    local: LocalModels = field(default_factory=LocalModels)
    """Models that work in this process."""
    entered: Counter[str] = field(default_factory=Counter)
    """Questions that came to a stage."""
    cached: Counter[str] = field(default_factory=Counter)
    """Questions whose result was there already, by stage."""
    earlier: Mapping[Asked, EarlierIds] = field(default_factory=dict)
    """The model ids that datasets name which were there before this run."""
    model_changes: Sequence[ModelChange] = ()
    """Models that answer under other ids than before; known when the run ends."""
    clock: Callable[[], float] = time.monotonic
    _came: dict[tuple[str, str], int] = field(default_factory=dict)
    _left: dict[tuple[str, str], int] = field(default_factory=dict)
    _ready: dict[tuple[str, str], int] = field(default_factory=dict)
    _spans: dict[str, tuple[float, float]] = field(default_factory=dict)

    def enter(self, stage: str, shard: str, questions: int) -> None:
        """Questions of a shard come to a stage."""
        self.entered[stage] += questions
        self._came[stage, shard] = self._came.get((stage, shard), 0) + questions
        self._spans.setdefault(stage, (self.clock(), self.clock()))

    def advance(self, stage: str, shard: str) -> None:
        """A stage is done with one question of a shard."""
        self._left[stage, shard] = self._left.get((stage, shard), 0) + 1

    def finish(self, stage: str, shard: str, questions: int) -> None:
        """A stage is done with a shard. If it never advanced, its result was there already."""
        if self._left.get((stage, shard), 0) == 0:
            self.cached[stage] += questions
            self._ready[stage, shard] = self._ready.get((stage, shard), 0) + questions
        self._left[stage, shard] = questions
        self._spans[stage] = (self._spans.get(stage, (self.clock(),))[0], self.clock())

    def seconds(self, stage: str) -> float:
        """From the first question that came to a stage to the last that left; stages overlap."""
        first, last = self._spans.get(stage, (0.0, 0.0))
        return last - first

    def report(self) -> dict[str, Any]:
        """How far this process is, as plain values for another one; see `take`."""
        return {
            "accounts": [[*key, one.as_plain()] for key, one in self.accounts.items()],
            "shards": [
                [*key, count, self._left.get(key, 0), self._ready.get(key, 0)]
                for key, count in self._came.items()
            ],
        }

    def take(self, reports: Iterable[Mapping[str, Any]]) -> None:
        """Show what other processes reported, all of them together, in place of what is here.

        A shard that was with two of them, because the first did not finish it, is one shard.
        """
        accounts: dict[tuple[str, str], Account] = {}
        self._came, self._left, self._ready = {}, {}, {}
        for report in reports:
            for stage, model, plain in report["accounts"]:
                returned = Counter(plain["returned"])
                account = Account(**(plain | {"returned": returned}))
                accounts.setdefault((stage, model), Account()).absorb(account)
            for stage, shard, came, left, ready in report["shards"]:
                key = stage, shard
                self._came[key] = max(came, self._came.get(key, 0))
                self._left[key] = max(left, self._left.get(key, 0))
                self._ready[key] = min(ready, self._ready.get(key, ready))
        self.accounts = accounts
        self.entered, self.cached = _by_stage(self._came), _by_stage(self._ready)

    def left(self, stage: str) -> int:
        """Questions that a stage is done with."""
        return sum(count for (name, _), count in self._left.items() if name == stage)

    @property
    def parts(self) -> dict[str, int]:
        """Parts of `tokens` that have a price or a meaning of their own."""
        return {
            "cached": sum(account.cached_tokens for account in self.accounts.values()),
            "reasoning": sum(account.reasoning_tokens for account in self.accounts.values()),
        }

    @property
    def returned(self) -> dict[str, Counter[str]]:
        """Replies of this run by model and the id that they name."""
        found: dict[str, Counter[str]] = {}
        for (_, model), account in self.accounts.items():
            found.setdefault(model, Counter()).update(account.returned)
        return found


def _by_stage(counts: Mapping[tuple[str, str], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (stage, _), count in counts.items():
        found[stage] += count
    return found


def stages(progress: Progress) -> list[dict[str, Any]]:
    """Questions and time of every stage that questions came to."""
    return [
        {
            "stage": stage,
            "questions": progress.entered[stage],
            "cached": progress.cached[stage],
            "seconds": round(progress.seconds(stage), 3),
        }
        for stage in dict.fromkeys((*STAGES, *progress.entered))
        if progress.entered[stage]
    ]


def fraction_done(progress: Progress) -> float:
    """How much of a build is done, from 0 to 1: questions at the end of every stage.

    Stages weigh the same; a question that leaves early is done with all of them.
    """
    if not progress.questions:
        return 0.0
    share = 1 / len(STAGES)
    done = 0.0
    for number, stage in enumerate(STAGES):
        following = STAGES[number + 1] if number + 1 < len(STAGES) else None
        stopped = progress.left(stage) - (progress.entered[following] if following else 0)
        done += progress.left(stage) * share
        done += max(stopped, 0) * share * (len(STAGES) - number - 1)
    return min(done / progress.questions, 1.0)


def account(progress: Progress) -> list[dict[str, Any]]:
    """Calls, tokens and money by stage and model, for models that were asked."""
    return [
        {
            "stage": stage,
            "model": model,
            "calls": one.calls,
            "stored": one.stored,
            "failed": one.failures,
            "prompt_tokens": one.prompt_tokens,
            "cached_tokens": one.cached_tokens,
            "completion_tokens": one.completion_tokens,
            "reasoning_tokens": one.reasoning_tokens,
            "usd": round(one.usd, 6),
            "uncounted": one.uncounted,
            "unpriced": one.unpriced,
            "lost": one.lost,
            "lost_usd": round(one.lost_usd, 6),
            "seconds": round(one.seconds, 3),
        }
        for (stage, model), one in progress.accounts.items()
        if one.charges or one.stored or one.failures
    ] or [{"stage": "", "model": "none asked", "calls": 0, "stored": 0, "usd": 0.0, "seconds": 0.0}]
