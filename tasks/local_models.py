"""The models of a run that work in this process: how fast they are, and how full."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weak2wise_core.llm.measuring import Local, LocalStats
from weak2wise_core.llm.protocol import ChatModel


@dataclass(slots=True)
class LocalModels:
    """What was noted of every local model, under the first name that it was asked by."""

    _stats: dict[str, Callable[[], LocalStats]] = field(default_factory=dict)

    def watch(self, name: str, model: ChatModel) -> None:
        """Note a model, if it is a local one that is not known by another name."""
        if isinstance(model, Local) and model.stats not in self._stats.values():
            self._stats[name] = model.stats

    def rows(self) -> list[dict[str, Any]]:
        """The figures of those that answered anything; at any time, also when they are closed."""
        found = {name: stats() for name, stats in self._stats.items()}
        return [_row(name, stats) for name, stats in found.items() if stats.requests]


def _row(name: str, stats: LocalStats) -> dict[str, Any]:
    return {
        "model": name,
        "device": stats.device,
        "batching": stats.way.value,
        "requests": stats.requests,
        "prompt_tokens": stats.prompt_tokens,
        "generated_tokens": stats.generated_tokens,
        "steps": stats.steps,
        "busy_s": round(stats.busy_s, 3),
        "tokens_per_s": round(stats.tokens_per_s, 1),
        "slots_used": round(stats.slots_used, 4),
        "busy_share": round(stats.busy_share, 4),
    }


def sentence(row: Mapping[str, Any]) -> str:
    """A row of `LocalModels.rows` for people."""
    return (
        f"{row['model']} on {row['device']}, {row['batching']} batches: "
        f"{row['tokens_per_s']:,.0f} tokens/s while at work, "
        f"{row['slots_used']:.0%} of its slots used, at work {row['busy_share']:.0%} of the time"
    )
