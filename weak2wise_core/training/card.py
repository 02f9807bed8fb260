"""The model card: what the folder is, for people."""

from collections.abc import Mapping
from typing import Any

from weak2wise_core.config.training import Objective

_CURVE_ROWS = 12
_BLOCKS = "▁▂▃▄▅▆▇█"


def card(manifest: Mapping[str, Any]) -> str:
    """README.md of a trained model.

    Args:
        manifest: The content of its training.json.
    """
    counts, machine = manifest["counts"], manifest["machine"]
    settings = {key: value for key, value in manifest["settings"].items() if value is not None}
    lines = [
        "---",
        f"base_model: {manifest['base_model']}",
        "pipeline_tag: text-generation",
        f"tags: [weak2wise, {objective_of(manifest)}]",
        "---",
        f"# {manifest['name']}",
        "",
        f"`{manifest['base_model']}`, {_how(manifest)} of the dataset version "
        f"`{manifest['dataset']['version']}`.{_shape(manifest)}",
        "",
        f"- Version `{manifest['version']}`",
        f"- {counts['tokens']:,} tokens, {counts['tokens_in_loss']:,} of them in the loss; the "
        f"longest example has {counts['longest_example']:,} of {counts['context']:,}",
        f"- {counts['steps']:,} optimiser steps over {counts['rows']:,} rows, on "
        f"{machine['processes']} {machine['device']} process(es), attention {machine['attention']}",
        f"- Weights trained in {machine['weights']}"
        + (", arithmetic in bfloat16" if machine["autocast"] else "")
        + f"; saved as {machine['saved_as']}",
        "",
        "## Losses",
        "",
        loss_table(manifest["steps"]),
        "",
        "## Settings",
        "",
        *(f"- `{key}`: {value}" for key, value in sorted(settings.items())),
        "",
        "## Packages",
        "",
        ", ".join(f"{name} {version}" for name, version in manifest["packages"].items()),
        "",
        "## Limits",
        "",
        "The training loss says how well the model copies its teachers, not whether it reasons: "
        "evaluate it (`weak2wise evaluate`). It inherits the limits and the licence of its base "
        "model, and the errors of the traces that it was trained on. It was trained on one "
        "question and one reply at a time, not on conversations.",
        "",
    ]
    return "\n".join(lines)


def objective_of(manifest: Mapping[str, Any]) -> str:
    """What was made more likely, as in `training.objective`."""
    return str(manifest["settings"].get("objective", Objective.SFT.value))


def _how(manifest: Mapping[str, Any]) -> str:
    """What it was trained on; thinking replies are golden reasonings or a teacher's traces."""
    count, objective = manifest["counts"]["examples"], Objective(objective_of(manifest))
    if objective.reads_pairs:
        return f"trained by Weak2Wise on {count:,} preference pairs ({objective.value.upper()})"
    return f"fine-tuned by Weak2Wise on {count:,} replies"


def _shape(manifest: Mapping[str, Any]) -> str:
    thinks = manifest["settings"].get("thinking", True)
    return " It replies with `<think> reasoning </think> answer`." if thinks else ""


def loss_table(steps: list[dict[str, Any]]) -> str:
    """A sparkline of the losses and a table of a dozen steps, first and last among them."""
    if not steps:
        return "no step was made"
    chosen = sorted({round(at * (len(steps) - 1) / (_CURVE_ROWS - 1)) for at in range(_CURVE_ROWS)})
    rows = [
        f"| {one['step']} | {one['loss']:.4f} | {one['learning_rate']:.2e} | "
        f"{one['num_tokens']:,} |"
        for one in (steps[at] for at in chosen)
    ]
    return "\n".join(
        [
            f"`{sparkline([one['loss'] for one in steps])}`",
            "",
            "| step | loss | learning rate | tokens |",
            "| ---: | ---: | ---: | ---: |",
            *rows,
        ]
    )


def sparkline(values: list[float], *, width: int = 60) -> str:
    """Values as one line of blocks; many values are averaged in groups.

    Example:
        >>> sparkline([3.0, 2.0, 1.0])
        '█▅▁'
    """
    size = max(1, -(-len(values) // width))
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    means = [sum(group) / len(group) for group in groups]
    low, high = min(means), max(means)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[int((value - low) * scale + 0.5)] for value in means)
