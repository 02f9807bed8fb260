"""The report of a run: accuracies with intervals, what was trained on, and published figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from weak2wise_core.bootstrap import Interval
from weak2wise_core.evaluation.arms import ArmTable
from weak2wise_core.hashing import content_hash
from weak2wise_core.stores.files import atomic_folder

FORMAT = "weak2wise.related/1"
RESULTS, PAGE = "results.json", "results.md"

KNOWN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "w2sr": (
        ("of the gain of reinforcement learning recovered at best", "close to 94%"),
        ("a reasoner of 1.5B against a non-reasoner of 32B as teacher", "the reasoner is better"),
        ("as teachers grow", "the gains flatten"),
        (
            "reproduction: Qwen2.5-Math-7B, plain; with zero-shot chain of thought; after",
            "0.325; 0.24; 0.645 to 0.670",
        ),
        (
            "reproduction: the same of an instruction-tuned student",
            "0.23; 0.63; 0.63, nothing beyond prompting",
        ),
    ),
    "weak-to-strong": (
        ("GSM8K, stage I, of 7,000: Llama2-7b, Gemma-2b, Mistral-7b", "2,683; 2,177; 3,831"),
        ("GSM8K, pairs of stage II: the same", "2,563; 2,354; 2,308"),
    ),
}
"""What was published about other models, to set beside a run (arXiv 2505.20072 and an independent
reproduction of it; arXiv 2407.13647)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The reasoning gap recovered on one benchmark, against one baseline of the student."""

    benchmark: str
    baseline: str
    """Which student before counts: plain, or with zero-shot chain of thought."""
    value: Interval | None
    undefined: str = ""
    """Why there is no value."""
    without_gap: float = 0.0
    """Share of the resamples in which reinforcement learning gains nothing."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one run of a related method found."""

    name: str
    method: str
    inputs: Mapping[str, Any]
    """Everything that decides it: settings, datasets, models."""
    trained_on: Mapping[str, Mapping[str, Any]]
    """By training: the dataset's folder and counts, and what was left out by reason."""
    models: Mapping[str, Sequence[str]]
    """The folders of the models, by arm."""
    tables: Sequence[ArmTable]
    recovery: Sequence[Recovery] = field(default_factory=tuple)

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits of a hash of what was found."""
        return content_hash(self.inputs, [asdict(table) for table in self.tables])[:12]

    def to_plain(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "format": FORMAT,
            "name": self.name,
            "method": self.method,
            "version": self.version,
            "inputs": dict(self.inputs),
            "trained_on": {name: dict(one) for name, one in self.trained_on.items()},
            "models": {arm: list(folders) for arm, folders in self.models.items()},
            "tables": [asdict(table) for table in self.tables],
            "recovery": [asdict(one) for one in self.recovery],
            "published": [list(row) for row in KNOWN[self.method]],
        }

    @property
    def markdown(self) -> str:
        """The tables, for people."""
        lines = [f"# {self.name}: {self.method}", ""]
        for table in self.tables:
            lines += _arms(table)
        lines += _recovered(self.recovery)
        lines += _trainings(self.trained_on)
        lines += ["## Published, of other models", "", "| | |", "| --- | --- |"]
        lines += [f"| {what} | {figure} |" for what, figure in KNOWN[self.method]]
        return "\n".join([*lines, ""])


def shown(interval: Interval, *, signed: bool = False) -> str:
    """A value with its interval, for people.

    Example:
        >>> shown(Interval(value=0.5, low=0.25, high=0.75))
        '0.500 [0.250, 0.750]'
    """
    sign = "+" if signed else ""
    values = (interval.value, interval.low, interval.high)
    value, low, high = (f"{one:{sign}.3f}" for one in values)
    return f"{value} [{low}, {high}]"


def _arms(table: ArmTable) -> list[str]:
    rows = [
        f"| {one.arm} | {shown(one.accuracy)} | {len(one.by_seed)} | "
        f"{', '.join(f'{mean:.3f}' for mean in one.by_seed)} |"
        for one in table.arms
    ]
    differences = [
        f"| {one.first} - {one.second} | {shown(one.difference, signed=True)} |"
        for one in table.differences
    ]
    return [
        f"## {table.benchmark}, {table.items} questions",
        "",
        "| model | accuracy, 95% over seeds and questions | seeds | each |",
        "| --- | --- | ---: | --- |",
        *rows,
        "",
        *(["| difference | |", "| --- | --- |", *differences, ""] if differences else []),
    ]


def _recovered(recovery: Sequence[Recovery]) -> list[str]:
    if not recovery:
        return []
    rows = [f"| {one.benchmark} | {one.baseline} | {recovered(one)} |" for one in recovery]
    return [
        "## Reasoning gap recovered",
        "",
        "| benchmark | student before | RGR |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def recovered(one: Recovery) -> str:
    """The value with its interval, or why there is none."""
    if one.value is None:
        return f"undefined: {one.undefined}"
    doubt = f", {one.without_gap:.1%} of the resamples have no gap" if one.without_gap else ""
    return shown(one.value) + doubt


def _trainings(trained_on: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [
        f"| {name} | {one['counts']['train']} of {one['counts']['questions']} | "
        f"{left_out(one) or 'none'} | `{one['version']}` |"
        for name, one in trained_on.items()
    ]
    head = ["| training | rows of questions | left out | dataset |", "| --- | --- | --- | --- |"]
    return ["## Trained on", "", *head, *rows, ""]


def left_out(training: Mapping[str, Any]) -> str:
    """What was left out of a training, counted by reason; empty if nothing was."""
    return ", ".join(
        f"{count} {reason}"
        for kind in ("dropped", "quarantined")
        for reasons in training[kind].values()
        for reason, count in reasons.items()
    )


def write_report(report: Report, *, root: Path) -> Path:
    """Write a report below `root` / name / version, whole or not at all; its folder.

    Raises:
        StoreError: The folder cannot be written.
    """
    folder = root / report.name / report.version
    with atomic_folder(folder) as beside:
        (beside / PAGE).write_text(report.markdown, encoding="utf-8")
        text = json.dumps(report.to_plain(), indent=2, sort_keys=True, ensure_ascii=False)
        (beside / RESULTS).write_text(text + "\n", encoding="utf-8")
    return folder
