"""Every number that a report states, from the tables of a dataset alone.

What the manifest states too comes out the same here: the one is counted while a dataset is built,
the other from its rows.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from weak2wise_core.judging import settled
from weak2wise_core.records import JudgedBy, RejectionKind, Truncation, Verdict
from weak2wise_core.report.counting import Ballots, Counts, Teacher
from weak2wise_core.report.tables import Tables

SCORE_BINS: Final = 20
"""Bins of the unit interval in which scores lie."""
MOST_TOKEN_BINS: Final = 24

Numbers = Mapping[str, Any]


def numbers(tables: Tables, counts: Counts) -> dict[str, Any]:
    """Everything that the page states, as plain values for JSON.

    Args:
        tables: The dataset.
        counts: What was counted in its rows.
    """
    return {
        "funnel": funnel(tables, counts),
        "scores": scores(counts),
        "spread": spread(counts),
        "levels": levels(counts),
        "unaided": unaided(counts),
        "tokens": tokens(counts),
        "truncation": truncation(counts),
        "teachers": teachers(counts),
        "votes": votes(counts),
        "race": race(counts, most_votes=tables.manifest["settings"]["judging"]["votes"]),
        "cost": tables.manifest["cost"],
        "models": tables.manifest["models"],
        "audits": audits(tables),
    }


# --- where the questions went -------------------------------------------------------------------


def funnel(tables: Tables, counts: Counts) -> list[dict[str, Any]]:
    """Rows at every station: in, solved, every reason to leave, trained on; they add up."""
    left = Counter((one.kind, one.stage, one.reason) for one in tables.rejections)
    solved = counts.unaided[Verdict.CORRECT]
    rows = [_station("rows", counts.train + solved + sum(left.values()))]
    rows.append(_station("solved", solved))
    for kind in RejectionKind:
        rows += [
            _station(kind.value, count, stage=stage, reason=reason)
            for (of, stage, reason), count in sorted(left.items())
            if of is kind
        ]
    return [*rows, _station("train", counts.train)]


def _station(kind: str, rows: int, *, stage: str = "", reason: str = "") -> dict[str, Any]:
    return {"kind": kind, "stage": stage, "reason": reason, "rows": rows}


# --- scores -------------------------------------------------------------------------------------


def scores(counts: Counts) -> dict[str, Any]:
    """Histograms of all scores and of golden ones; a candidate without a score is counted apart."""
    known = Counter({value: n for value, n in counts.scores.items() if value is not None})
    return {
        "all": score_histogram(known),
        "golden": score_histogram(counts.golden_scores),
        "scored": known.total(),
        "without_score": counts.scores[None],
        "mean": _mean(known),
        "golden_mean": _mean(counts.golden_scores),
    }


def spread(counts: Counts) -> dict[str, Any]:
    """How far the best and the worst score of one question lie apart: what selection can gain."""
    return {
        "histogram": score_histogram(counts.ranges),
        "questions": counts.ranges.total(),
        "mean": _mean(counts.ranges),
        "none": counts.ranges[0],
    }


def score_histogram(values: Mapping[float, int]) -> list[int]:
    """How many values lie in each bin of the unit interval; 1 lies in the last.

    Args:
        values: How often each value came.
    """
    found: Counter[int] = Counter()
    for value, times in values.items():
        found[min(int(value * SCORE_BINS), SCORE_BINS - 1)] += times
    return [found[number] for number in range(SCORE_BINS)]


def levels(counts: Counts) -> list[dict[str, int]]:
    """Verdicts at every mask level that was asked, lightest first."""
    found = counts.levels
    return [
        {"level": level, "asked": found[level].total()}
        | {verdict.value: found[level][verdict] for verdict in Verdict}
        for level in sorted(found)
    ]


def unaided(counts: Counts) -> dict[str, int]:
    """Verdicts on what the weak model answers without a hint."""
    found = counts.unaided
    return {"asked": found.total()} | {one.value: found[one] for one in Verdict}


# --- lengths ------------------------------------------------------------------------------------


def tokens(counts: Counts) -> dict[str, Any]:
    """Lengths of the golden traces before and after truncation, in tokens of the weak model."""
    before, after = counts.tokens_before, counts.tokens_after
    width = _bin_width(max(before, default=0))
    return {
        "bin_width": width,
        "before": {"histogram": _token_histogram(before, width), **_middle(before)},
        "after": {"histogram": _token_histogram(after, width), **_middle(after)},
    }


def _bin_width(longest: int) -> int:
    """The narrowest of 1, 2, 5, 10, 20 ... that needs no more than the allowed bins."""
    width, steps = 1, 0
    while longest >= width * MOST_TOKEN_BINS:
        width = width * 5 // 2 if steps % 3 == 1 else width * 2
        steps += 1
    return width


def _token_histogram(lengths: Mapping[int, int], width: int) -> list[int]:
    found: Counter[int] = Counter()
    for length, times in lengths.items():
        found[length // width] += times
    return [found[number] for number in range(max(found, default=0) + 1)]


def _middle(lengths: Counter[int]) -> dict[str, Any]:
    median = statistics.median(sorted(lengths.elements())) if lengths else None
    return {"mean": _mean(lengths), "median": median, "longest": max(lengths, default=None)}


def truncation(counts: Counts) -> dict[str, Any]:
    """How golden traces came to their end."""
    found = counts.truncations
    cut = sum(
        count
        for how, count in found.items()
        if how not in (Truncation.NOT_NEEDED, Truncation.NONE_COULD)
    )
    by = {how.value: found[how] for how in Truncation if found[how]}
    return {"by": by, "truncated": cut, "golden": found.total()}


# --- teachers -----------------------------------------------------------------------------------


def teachers(counts: Counts) -> list[dict[str, Any]]:
    """What each strong model wrote, what was refused of it, and what won."""
    return [_teacher(name, one) for name, one in sorted(counts.teachers.items())]


def _teacher(name: str, one: Teacher) -> dict[str, Any]:
    return {
        "name": name,
        "candidates": one.candidates,
        "refused": dict(sorted(one.refused.items())),
        "golden": one.golden_tokens.total(),
        "mean_score": _mean(one.scores),
        "mean_tokens": _mean(one.tokens),
        "mean_golden_tokens": _mean(one.golden_tokens),
    }


# --- votes and the race -------------------------------------------------------------------------


def votes(counts: Counts) -> dict[str, dict[str, int]]:
    """Who judged, and how far votes agreed, in the filter and under the masks."""
    return {
        "filter_qa": _ballots(counts.filtering),
        "score_step_masks": _ballots(counts.masking),
    }


def _ballots(found: Ballots) -> dict[str, int]:
    return {
        "judged": found.by.total(),
        **{f"by_{who.value}": found.by[who] for who in JudgedBy},
        "ballots": found.orders.total(),
        "votes": found.votes,
        "invalid_votes": found.invalid_votes,
        "unanimous": found.with_sides(1),
        "split": found.with_sides(2),
    }


def race(counts: Counts, *, most_votes: int) -> dict[str, int]:
    """Mask levels and votes that were not needed.

    Args:
        counts: What was counted.
        most_votes: Votes that a ballot may have.
    """
    both = (counts.filtering, counts.masking)
    asked = sum(found.total() for found in counts.levels.values())
    return {
        "levels": counts.cells,
        "levels_asked": asked,
        "levels_saved": counts.cells - asked,
        "votes_cast": sum(one.votes for one in both),
        "votes_saved": sum(
            count * votes_saved(order, of=most_votes)
            for one in both
            for order, count in one.orders.items()
        ),
    }


def votes_saved(cast: Sequence[Verdict], *, of: int) -> int:
    """Votes on one answer that were not needed, those of a second ballot included.

    Args:
        cast: The votes, in their order.
        of: How many a ballot may have.

    Example:
        >>> votes_saved([Verdict.CORRECT, Verdict.CORRECT], of=3)
        1
        >>> votes_saved([Verdict.UNJUDGED] * 2 + [Verdict.INCORRECT] * 2, of=3)
        2
    """
    prefixes = (cast[:count] for count in range(1, len(cast)))
    again = any(settled(one, of=of) is not None for one in prefixes)
    return of * (1 + again) - len(cast)


# --- audits -------------------------------------------------------------------------------------


def audits(tables: Tables) -> dict[str, dict[str, Any]]:
    """Findings by audit, as the manifest counts them."""
    checked = tables.manifest["audits"]
    found = {name: [one for one in tables.findings if one.audit.value == name] for name in checked}
    return {
        name: {
            "checked": checked[name]["checked"],
            "found": len(rows),
            "questions": len({one.question_id for one in rows}),
            "trained_on": len({one.question_id for one in rows if one.trained_on}),
        }
        for name, rows in found.items()
    }


def totals(cost: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Calls, tokens and money of all stages and models together."""
    rows = list(cost)
    whole = ("calls", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
    found: dict[str, Any] = {name: sum(row[name] for row in rows) for name in whole}
    found |= {name: sum(row.get(name, 0) for row in rows) for name in ("uncounted", "unpriced")}
    return found | {"usd": round(sum(row["usd"] for row in rows), 6)}


def three_digits(value: float) -> str:
    """A score as the page writes it; halves are rounded up, as browsers do.

    Example:
        >>> three_digits(0.3125)
        '0.313'
    """
    return f"{math.floor(value * 1000 + 0.5) / 1000:.3f}"


def _mean(values: Mapping[Any, int]) -> float | None:
    """The mean of values that came so often."""
    count = sum(values.values())
    total = math.fsum(value * times for value, times in values.items())
    return round(total / count, 6) if count else None
