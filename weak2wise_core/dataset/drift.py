"""Whether a model answers under another id than before: aliases move.

Within a build the tables alone say it, and the manifest holds it. What earlier datasets name is the
history of a data folder: it is reported, and never becomes part of a dataset.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weak2wise_core.config import Recipe
from weak2wise_core.dataset.manifest import LATEST, MANIFEST
from weak2wise_core.dataset.returned import Returned, changed, named_ids

Asked = tuple[str, str]
"""Backend and model id, as a recipe asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """One model of a recipe whose replies name another id than before."""

    model: str
    """The recipe's name of the model."""
    asked_for: str
    """The model id in the recipe."""
    ids: Mapping[str, int]
    """Replies of this build by the id that they name."""
    earlier: Sequence[str] = ()
    """The ids in earlier datasets; empty where the change lies within this build."""
    dataset: str = ""
    """The newest of those datasets, as name/version."""

    @property
    def sentence(self) -> str:
        """The change in words for people."""
        named = ", ".join(f"{name} ({count:,} replies)" for name, count in self.ids.items())
        who = f"{self.model} (the recipe asks for {self.asked_for})"
        if self.dataset:
            return (
                f"{who} answers as {named}; in earlier datasets, the last one {self.dataset}, it "
                f"was {', '.join(self.earlier)}. Scores of the two may not be comparable"
            )
        return (
            f"{who} answered under {len(self.ids)} model ids in this build: {named}. Its replies "
            "may come from different models; `weak2wise replies prune` removes stored ones"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "asked_for": self.asked_for,
            "ids": dict(self.ids),
            "earlier": list(self.earlier),
            "dataset": self.dataset,
            "within_build": not self.dataset,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierIds:
    """The ids that earlier datasets of a data folder name for one model."""

    ids: frozenset[str] = frozenset()
    dataset: str = ""
    """The newest of them, as name/version."""


def model_changes(
    recipe: Recipe, returned: Returned, *, earlier: Mapping[Asked, EarlierIds]
) -> list[ModelChange]:
    """Every change of a returned model id, within a build and since earlier ones.

    Args:
        recipe: What was asked for.
        returned: What the replies of this build name.
        earlier: What earlier datasets name; only the same request for a model is compared.
    """
    specs = recipe.models.specs()
    found = [
        ModelChange(model=name, asked_for=specs[name].model, ids=ids)
        for name, ids in changed(returned).items()
    ]
    for name, ids in sorted(returned.items()):
        before = earlier.get(_asked(specs[name].identity()), EarlierIds())
        if before.ids and set(named_ids(ids)) - before.ids:
            found.append(
                ModelChange(
                    model=name,
                    asked_for=specs[name].model,
                    ids=named_ids(ids),
                    earlier=sorted(before.ids),
                    dataset=before.dataset,
                )
            )
    return found


def earlier_ids(root: Path) -> dict[Asked, EarlierIds]:
    """What the latest version of every dataset below a folder names, by what was asked for.

    A dataset that cannot be read says nothing: it belongs to another build.
    """
    found: dict[Asked, EarlierIds] = {}
    paths = [path for path in root.glob(f"*/{LATEST}/{MANIFEST}") if path.is_file()]
    for path in sorted(paths, key=lambda one: one.stat().st_mtime_ns):  # the newest last
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            label, ids = f"{manifest['dataset']}/{manifest['version']}", _ids(manifest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        for asked, named in ids.items():
            known = found.get(asked, EarlierIds()).ids
            found[asked] = EarlierIds(ids=known | named, dataset=label)
    return found


def _ids(manifest: Mapping[str, Any]) -> dict[Asked, frozenset[str]]:
    """The ids that one dataset names, by what was asked for."""
    specs = manifest["settings"]["models"]
    roles = {name: spec for name, spec in specs.items() if name != "strong" and spec}
    found: dict[Asked, frozenset[str]] = {}
    for name, spec in {**roles, **specs["strong"]}.items():
        if ids := frozenset(named_ids(manifest["models"].get(name, {}))):
            found[_asked(spec)] = found.get(_asked(spec), frozenset()) | ids
    return found


def _asked(identity: Mapping[str, Any]) -> Asked:
    return str(identity["backend"]), str(identity["model"])
