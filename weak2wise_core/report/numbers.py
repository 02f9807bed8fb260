"""Every number that a report states, from the tables of a dataset alone.

What the manifest states too comes out the same here: the one is counted while a dataset is built,
the other from its files.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from weak2wise_core.records import (
    JudgedBy,
    RejectionKind,
    Truncation,
    Verdict,
)
from weak2wise_core.report.tables import Tables

SCORE_BINS: Final = 20
"""Bins of the unit interval in which scores lie."""
MOST_TOKEN_BINS: Final = 24

Numbers = Mapping[str, Any]


def numbers(tables: Tables) -> dict[str, Any]:
    """Everything that the page states, as plain values for JSON."""
    return {
        "funnel": funnel(tables),
        "scores": scores(tables),
        "spread": spread(tables),
        "levels": levels(tables),
        "unaided": unaided(tables),
        "tokens": tokens(tables),
        "truncation": truncation(tables),
        "teachers": teachers(tables),
        "votes": votes(tables),
        "race": race(tables),
        "cost": tables.manifest["cost"],
        "models": tables.manifest["models"],
        "audits": audits(tables),
    }


# --- where the questions went -------------------------------------------------------------------


def funnel(tables: Tables) -> list[dict[str, Any]]:
    """Rows at every station: in, solved, every reason to leave, trained on; they add up."""
    left = Counter((one.kind, one.stage, one.reason) for one in tables.rejections)
    solved = sum(one.verdict is Verdict.CORRECT for one in tables.attempts)
    rows = [_station("rows", len(tables.train) + solved + sum(left.values()))]
    rows.append(_station("solved", solved))
    for kind in RejectionKind:
        rows += [
            _station(kind.value, count, stage=stage, reason=reason)
            for (of, stage, reason), count in sorted(left.items())
            if of is kind
        ]
    return [*rows, _station("train", len(tables.train))]


def _station(kind: str, rows: int, *, stage: str = "", reason: str = "") -> dict[str, Any]:
    return {"kind": kind, "stage": stage, "reason": reason, "rows": rows}


# --- scores -------------------------------------------------------------------------------------


def scores(tables: Tables) -> dict[str, Any]:
    """Histograms of all scores and of golden ones; a candidate without a score is counted apart."""
    known = [one.score for one in tables.scores if one.score is not None]
    golden = [one.score for one in tables.golden]
    return {
        "all": score_histogram(known),
        "golden": score_histogram(golden),
        "scored": len(known),
        "without_score": len(tables.scores) - len(known),
        "mean": _mean(known),
        "golden_mean": _mean(golden),
    }


def spread(tables: Tables) -> dict[str, Any]:
    """How far the best and the worst score of one question lie apart: what selection can gain."""
    by_question: dict[str, list[float]] = defaultdict(list)
    for one in tables.scores:
        if one.score is not None:
            by_question[one.question_id].append(one.score)
    ranges = [max(found) - min(found) for found in by_question.values() if len(found) > 1]
    return {
        "histogram": score_histogram(ranges),
        "questions": len(ranges),
        "mean": _mean(ranges),
        "none": sum(one == 0 for one in ranges),
    }


def score_histogram(values: Iterable[float]) -> list[int]:
    """How many values lie in each bin of the unit interval; 1 lies in the last."""
    found = Counter(min(int(value * SCORE_BINS), SCORE_BINS - 1) for value in values)
    return [found[number] for number in range(SCORE_BINS)]


def levels(tables: Tables) -> list[dict[str, int]]:
    """Verdicts at every mask level that was asked, lightest first."""
    found: dict[int, Counter[Verdict]] = defaultdict(Counter)
    for one in tables.outcomes:
        for level, (verdict, asked) in enumerate(zip(one.outcomes, one.asked, strict=True)):
            found[level][verdict] += asked
    return [
        {"level": level, "asked": sum(found[level].values())}
        | {verdict.value: found[level][verdict] for verdict in Verdict}
        for level in sorted(found)
    ]


def unaided(tables: Tables) -> dict[str, int]:
    """Verdicts on what the weak model answers without a hint."""
    found = Counter(one.verdict for one in tables.attempts)
    return {"asked": len(tables.attempts)} | {one.value: found[one] for one in Verdict}


# --- lengths ------------------------------------------------------------------------------------


def tokens(tables: Tables) -> dict[str, Any]:
    """Lengths of the golden traces before and after truncation, in tokens of the weak model."""
    before = [one.normal_tokens for one in tables.golden]
    after = [one.golden_tokens for one in tables.golden]
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


def _token_histogram(lengths: Sequence[int], width: int) -> list[int]:
    found = Counter(length // width for length in lengths)
    return [found[number] for number in range(max(found, default=0) + 1)]


def _middle(lengths: Sequence[int]) -> dict[str, Any]:
    median = statistics.median(lengths) if lengths else None
    return {"mean": _mean(lengths), "median": median, "longest": max(lengths, default=None)}


def truncation(tables: Tables) -> dict[str, Any]:
    """How golden traces came to their end."""
    found = Counter(one.truncation for one in tables.golden)
    cut = sum(
        count
        for how, count in found.items()
        if how not in (Truncation.NOT_NEEDED, Truncation.NONE_COULD)
    )
    by = {how.value: found[how] for how in Truncation if found[how]}
    return {"by": by, "truncated": cut, "golden": len(tables.golden)}


# --- teachers -----------------------------------------------------------------------------------


def teachers(tables: Tables) -> list[dict[str, Any]]:
    """What each strong model wrote, what was refused of it, and what won."""
    names = {one.strong_model for one in tables.candidates}
    names |= {one.strong_model for one in tables.golden}
    return [_teacher(tables, name) for name in sorted(names)]


def _teacher(tables: Tables, name: str) -> dict[str, Any]:
    own = [one for one in tables.candidates if one.strong_model == name]
    golden = [one for one in tables.golden if one.strong_model == name]
    scored = [one for one in tables.scores if one.strong_model == name]
    refused = Counter(one.refusal.value for one in own if one.refusal is not None)
    known = [one.score for one in scored if one.score is not None]
    return {
        "name": name,
        "candidates": len(own),
        "refused": dict(sorted(refused.items())),
        "golden": len(golden),
        "mean_score": _mean(known),
        "mean_tokens": _mean([one.normal_tokens for one in scored]),
        "mean_golden_tokens": _mean([one.golden_tokens for one in golden]),
    }


# --- votes and the race -------------------------------------------------------------------------


def votes(tables: Tables) -> dict[str, dict[str, int]]:
    """Who judged, and how far votes agreed, in the filter and under the masks."""
    under_masks = [  # a row that does not know who judged it counts nowhere
        (by, cast)
        for one in tables.outcomes
        for by, cast, asked in zip(one.judged_by, one.votes, one.asked, strict=False)
        if asked
    ]
    return {
        "filter_qa": _ballots([(one.judged_by, one.votes) for one in tables.attempts]),
        "score_step_masks": _ballots(under_masks),
    }


def _ballots(judged: Sequence[tuple[JudgedBy, Sequence[Verdict]]]) -> dict[str, int]:
    by = Counter(who for who, _ in judged)
    ballots = [cast for _, cast in judged if cast]
    valid = [{vote for vote in cast if vote is not Verdict.UNJUDGED} for cast in ballots]
    return {
        "judged": len(judged),
        **{f"by_{who.value}": by[who] for who in JudgedBy},
        "ballots": len(ballots),
        "votes": sum(map(len, ballots)),
        "invalid_votes": sum(vote is Verdict.UNJUDGED for cast in ballots for vote in cast),
        "unanimous": sum(len(sides) == 1 for sides in valid),
        "split": sum(len(sides) == 2 for sides in valid),
    }


def race(tables: Tables) -> dict[str, int]:
    """Mask levels and votes that were not needed."""
    most = tables.manifest["settings"]["judging"]["votes"]
    ballots = list(votes(tables).values())
    cast, held = (sum(one[name] for one in ballots) for name in ("votes", "ballots"))
    cells = sum(len(one.asked) for one in tables.outcomes)
    asked = sum(sum(one.asked) for one in tables.outcomes)
    return {
        "levels": cells,
        "levels_asked": asked,
        "levels_saved": cells - asked,
        "votes_cast": cast,
        "votes_saved": held * most - cast,
    }


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
    return found | {"usd": round(sum(row["usd"] for row in rows), 6)}


def three_digits(value: float) -> str:
    """A score as the page writes it; halves are rounded up, as browsers do.

    Example:
        >>> three_digits(0.3125)
        '0.313'
    """
    return f"{math.floor(value * 1000 + 0.5) / 1000:.3f}"


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
