"""Laws of the data behind the page: every row is there, masks are the rule's, texts are bounded."""

import base64
import gzip
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report_rows import made
from weak2wise_core.config import Selector
from weak2wise_core.dataset.auditing import audit
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.manifest import summary
from weak2wise_core.dataset.reported import tables_of
from weak2wise_core.masking import TO_BE_CONTINUED, mask_trace
from weak2wise_core.records import TraceMeasure
from weak2wise_core.report.explorer import (
    GOLDEN_SHARE,
    QUESTIONS_A_PIECE,
    explorer,
    shown_lengths,
)
from weak2wise_core.report.measured import CHARACTERS, measures_by_candidate
from weak2wise_core.report.packing import LIMITS, Lengths, packed
from weak2wise_core.report.survey import survey
from weak2wise_core.steps import split_steps

CONTENTS = made(90, seed=4)


def unpacked(text: str) -> Any:
    """What the page reads."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def explored(contents: Contents, **changes: Any) -> tuple[dict[str, list[Any]], list[Any], Any]:
    """Index, details and the whole."""
    manifest = {"version": "0", "files": {}, **summary(contents)}
    tables = tables_of(contents, manifest, audit(contents))
    found = explorer(tables, survey(tables).lengths, **changes)
    details = [one for piece in found.pieces for one in unpacked(piece)]
    return unpacked(found.index), details, found


def test_every_row_of_the_file_is_there_once() -> None:
    """As many rows as the manifest counts, each in the piece that its place says."""
    index, details, found = explored(CONTENTS)
    assert [one["id"] for one in details] == index["id"]
    assert found.rows == len(details) == CONTENTS.rows
    assert index["status"].count("trained on") == len(CONTENTS.train)
    assert index["status"].count("solved") == CONTENTS.tally.count("solved")
    left = index["status"].count("dropped") + index["status"].count("quarantined")
    assert left == len(CONTENTS.rejections)
    assert [len(unpacked(one)) for one in found.pieces[:-1]] == [QUESTIONS_A_PIECE] * 2


def test_a_row_that_shares_an_id_is_a_row_of_its_own() -> None:
    """A duplicate leaves under the id of a question that is in the dataset."""
    index, _, _ = explored(CONTENTS)
    at = [place for place, one in enumerate(index["id"]) if one == "q-00001"]
    assert len(at) == 2
    assert index["reason"][at[1]] == "duplicate"
    assert index["reason"][at[0]] != "duplicate"


def test_marks_are_what_the_tables_say() -> None:
    """Each mark of the index marks the questions that have it."""
    index, _, _ = explored(CONTENTS)
    of = {mark: set() for marks in index["marks"] for mark in marks}  # type: ignore[var-annotated]
    for place, marks in enumerate(index["marks"]):
        for mark in marks:
            of[mark].add(index["id"][place])
    cut = {one.question_id for one in CONTENTS.golden if one.truncation.value == "rule"}
    leaks = {one.question_id for one in CONTENTS.candidates if one.answer_leak}
    zero = {one.question_id for one in CONTENTS.rejections if one.reason == "zero_score"}
    assert (of["truncated"], of["answer_leak"], of["zero"]) == (cut, leaks, zero)
    assert of["contaminated"] == {"seen"}


def test_whole_texts_are_whole() -> None:
    """Where nothing is cut, traces and attempts are those of the tables."""
    _, details, found = explored(CONTENTS)
    by_id = {one["id"]: one for one in reversed(details)}
    assert found.limit is None
    for one in CONTENTS.candidates:
        shown = next(
            other
            for other in by_id[one.question_id]["candidates"]
            if (other["model"], other["draw"]) == (one.strong_model, one.draw)
        )
        assert shown["thinking"] == one.normal_reasoning
        assert shown["steps"] == one.step_reasoning
    for golden in CONTENTS.golden:
        assert by_id[golden.question_id]["golden"]["kept"] == len(golden.golden_reasoning)


def test_cut_texts_are_beginnings_that_say_how_long_they_were() -> None:
    """A bound on all texts together cuts the longest ones."""
    _, details, found = explored(CONTENTS, most_characters=20_000)
    assert found.limit is not None
    texts = [text for one in details for c in one["candidates"] for text in (c["thinking"],)]
    cut = [text for text in texts if not isinstance(text, str)]
    assert cut
    sizes = {found.limit, GOLDEN_SHARE * found.limit}
    assert {len(one["head"]) for one in cut} <= sizes
    assert all(len(one["head"]) < one["length"] for one in cut)


def test_measures_count_into_the_bound_and_are_never_cut() -> None:
    """A page with many numbers has less room for texts; without measures nothing is said."""
    with_both = made(90, seed=4, measured=(Selector.LOG_PROBABILITY, Selector.BINARY_CUTTING))
    most = sum(len(one.normal_reasoning) for one in CONTENTS.candidates)
    _, plain, found = explored(CONTENTS, most_characters=most)
    _, details, less = explored(with_both, most_characters=most)
    assert less.limit < found.limit
    shown = [one.get("measures") for detail in details for one in detail["candidates"]]
    assert sum(len(one) for one in shown if one) == len(with_both.measures)
    assert not any("measures" in one for detail in plain for one in detail["candidates"])
    names = {name for one in shown if one for name in one}
    longest = max(len(f'"{name}":-1.2345678901234567e-308,') for name in names)
    assert longest <= CHARACTERS


def test_a_measure_that_is_no_number_of_json_is_its_word() -> None:
    """Infinity and the like would make the page unreadable; undefined is none."""
    rows = [
        TraceMeasure(question_id="q", strong_model="t", draw=0, selector=f"{n}", value=value)
        for n, value in enumerate((math.inf, -math.inf, math.nan, None, 0.1 + 0.2))
    ]
    found = measures_by_candidate(rows)["q", "t", 0]
    assert list(found.values()) == ["inf", "-inf", "nan", None, 0.30000000000000004]


@given(
    st.lists(st.text(st.sampled_from("ab #\n\u00e9\U0001f600$"), max_size=30), max_size=5),
    st.integers(2, 8),
)
def test_shown_lengths_are_those_of_the_mask(bodies: list[str], granularity: int) -> None:
    """What they show of each step, with the marker where something is hidden, is the hint."""
    trace = "".join(f"## T\n{body}\n" for body in bodies) + "## Final Answer\n4"
    steps = split_steps(trace)
    lengths = shown_lengths(trace, granularity=granularity)
    assert [one[0] for one in lengths] == [len(step.text) for step in steps]
    for level in range(granularity):
        hint = ""
        for step, (length, *shown) in zip(steps, lengths, strict=True):
            text, seen = step.text, shown[level]
            if seen == length:
                hint += text
            else:
                marker = TO_BE_CONTINUED if seen < 0 else f" {TO_BE_CONTINUED}"
                hint += text[: max(seen, 0)] + marker + text[len(text.rstrip()) :]
        expected = mask_trace(steps, level=level, granularity=granularity)
        assert hint.rstrip() == expected


def test_a_trace_without_steps_has_no_lengths() -> None:
    """A refused trace is shown as it is."""
    assert shown_lengths("no step here", granularity=6) == []


def test_packing_is_the_same_every_time() -> None:
    """No time of day is in the compressed data."""
    assert packed(["é", None]) == packed(["é", None])
    assert unpacked(packed(["é", None])) == ["é", None]
    assert base64.b64decode(packed(1))[4:8] == b"\0\0\0\0"


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([1, 4])), max_size=8),
    st.integers(0, 900),
)
def test_the_limit_is_the_largest_that_fits(sizes: list[tuple[int, int]], most: int) -> None:
    """Texts are cut no more than a page needs."""
    lengths = Lengths()
    for size, share in sizes:
        lengths.add("x" * size, share)
    totals = {limit: sum(min(size, share * limit) for size, share in sizes) for limit in LIMITS}
    assert lengths.fitting_limit(most) == max(one for one in LIMITS if totals[one] <= most)
