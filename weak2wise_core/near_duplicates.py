"""Texts that are nearly the same, among all of a dataset, without comparing every pair.

Source: prefix filtering as in PPJoin, Xiao, Wang, Lin and Yu, "Efficient similarity joins for near
duplicate detection" (WWW 2008): two sets that are alike share an element of their rarest few, and
of the smaller one even fewer need to be looked at.
Unlike there, a set is compared only with those that are no near-duplicates themselves.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from weak2wise_core.questions import normal_form

SHINGLE = 3
"""Words in a row that two texts are compared by."""
ALIKE = 0.7
"""Share of common shingles (Jaccard) from which two texts are near-duplicates."""

_Set = npt.NDArray[np.uint32]


def near_duplicates(texts: Sequence[str]) -> dict[int, tuple[int, float]]:
    """Texts that share most of their words with one that is no near-duplicate itself.

    Shorter texts come first, equally long ones in their order. Of texts that are made from one
    template all but the first are named, each beside the first, or they are never compared: their
    number counts once, not squared. Exact, but that a shingle stands for itself by 64 bits of its
    hash. Of a text four bytes a word are kept.

    Returns:
        By the place of a text, the place of the one of those it is most like, and how much: the
        Jaccard similarity of their shingles, at least `ALIKE`.
    """
    sets, alone = _by_rarity([_shingles(text) for text in texts])
    meetings: dict[int, list[int]] = defaultdict(list)
    found: dict[int, tuple[int, float]] = {}
    for at in sorted(range(len(sets)), key=lambda place: (len(sets[place]), place)):
        shingles, size = sets[at], len(sets[at])
        asked = shingles[: size - _shared_with_any(size) + 1]
        met = set(chain.from_iterable(meetings.get(one, ()) for one in asked.tolist()))
        likeness = [(_jaccard(shingles, sets[other]), other) for other in met]
        best = max(likeness, key=lambda pair: (pair[0], -pair[1]), default=(0.0, 0))
        if best[0] >= ALIKE:
            found[at] = (best[1], best[0])
            continue
        told = shingles[: size - _shared_with_larger(size) + 1]
        for one in told[told >= alone].tolist():  # nobody is met in a shingle that one text has
            meetings[one].append(at)
    return dict(sorted(found.items()))


def _shingles(text: str) -> npt.NDArray[np.uint64]:
    """The different shingles of a text, each as a hash of 64 bits."""
    words = normal_form(text).split()
    last = max(len(words) - SHINGLE, 0)
    found = {" ".join(words[at : at + SHINGLE]) for at in range(last + 1)}
    digests = (
        hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8) for one in found
    )
    return np.frombuffer(b"".join(one.digest() for one in digests), dtype=np.uint64)


def _by_rarity(sets: Sequence[npt.NDArray[np.uint64]]) -> tuple[list[_Set], int]:
    """The same sets with places in the order of rarity for hashes, each sorted.

    Returns:
        The sets, and the first place of a shingle that several texts have.
    """
    if not sets:
        return [], 0
    values, inverse, counts = np.unique(
        np.concatenate(sets), return_inverse=True, return_counts=True
    )
    ranks = np.empty(len(values), dtype=np.uint32)
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(values), dtype=np.uint32)
    ends = np.cumsum([len(one) for one in sets])[:-1]
    ranked = [np.sort(one) for one in np.split(ranks[inverse], ends)]
    return ranked, int(np.count_nonzero(counts == 1))


_PERCENT = round(ALIKE * 100)


def _shared_with_any(size: int) -> int:
    """How many of its elements a set shares at least with one that it is alike."""
    return -(-size * _PERCENT // 100)


def _shared_with_larger(size: int) -> int:
    """The same where the other one is at least as large."""
    return -(-2 * size * _PERCENT // (100 + _PERCENT))


def _jaccard(one: _Set, two: _Set) -> float:
    smaller, larger = sorted((len(one), len(two)))
    if smaller < ALIKE * larger:
        return 0.0
    shared = len(np.intersect1d(one, two, assume_unique=True))
    return shared / (smaller + larger - shared)
