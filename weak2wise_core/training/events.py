"""What a training process says while it works: one JSON object a line on standard output."""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happened."""

    STARTED = "started"
    STEP = "step"
    SAVED = "saved"
    FINISHED = "finished"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvent:
    """One thing that happened in a training; fields that do not concern its kind keep defaults."""

    kind: EventKind
    job: str = ""
    """Name of the job."""
    number: int = 0
    """Which job of the call it is, from 0."""
    step: int = 0
    """Optimiser steps done, those before an interruption included."""
    steps: int = 0
    """Optimiser steps in all."""
    loss: float | None = None
    """Of this step, in nats: per token, or per example with equation 10."""
    learning_rate: float | None = None
    tokens: int = 0
    """Tokens read so far, prompts included."""
    seconds: float = 0.0
    """Since this process began the job."""
    folder: str = ""
    """STARTED: the checkpoint that it goes on from, if any. SAVED: the checkpoint. FINISHED and
    SKIPPED: the model."""
    error: str = ""
    """REFUSED and FAILED: name of the error's class; empty for one that nobody foresaw."""
    message: str = ""
    """A sentence for people."""

    def to_json(self) -> str:
        """One line, without what is at its default."""
        shown = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.default is dataclasses.MISSING or getattr(self, field.name) != field.default
        }
        return json.dumps(shown)

    @classmethod
    def from_json(cls, line: str | bytes) -> "TrainingEvent":
        """Read a line back.

        Raises:
            ValueError: The line is no event.
        """
        content = json.loads(line)
        if not isinstance(content, dict) or content.keys() - {f.name for f in _FIELDS}:
            raise ValueError(f"no training event: {line!r}")
        return cls(**{**content, "kind": EventKind(content["kind"])})


_FIELDS = dataclasses.fields(TrainingEvent)
