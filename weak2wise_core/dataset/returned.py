"""The model ids that replies name, by the recipe's names of the models."""

from collections.abc import Mapping

Returned = Mapping[str, Mapping[str, int]]
"""Replies by the recipe's name of a model and the id that they name."""


def merged(*parts: Returned) -> dict[str, dict[str, int]]:
    """Ids from several sources; of two counts of the same replies the larger one."""
    found: dict[str, dict[str, int]] = {}
    for part in parts:
        for name, ids in part.items():
            known = found.setdefault(name, {})
            for one, count in ids.items():
                known[one] = max(known.get(one, 0), count)
    return found


def changed(returned: Returned) -> dict[str, dict[str, int]]:
    """The models that answered under more than one id; a reply that names none says nothing."""
    named = {name: named_ids(ids) for name, ids in returned.items()}
    return {name: ids for name, ids in sorted(named.items()) if len(ids) > 1}


def named_ids(ids: Mapping[str, int]) -> dict[str, int]:
    """The ids in their order, without replies that name none."""
    return {name: count for name, count in sorted(ids.items()) if name}
