"""Laws of truncation: whatever is cut is an exact prefix that holds the answer."""

import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.errors import TruncationError
from weak2wise_core.truncation import (
    cut_at_repetition,
    cut_at_sentence,
    cut_by_rule,
    prove_prefix,
    sentence_end,
    sentences,
)

TRACE = (
    "Okay, 12 boxes with 3.5 kg each. First, 12 * 3.5 = 42. So the total is 42 kg.\n\n"
    "Wait, let me check that. 3.5 * 10 = 35 and 3.5 * 2 = 7, so 35 + 7 = 42. Yes, 42.\n\n"
    "**Final Answer**\n\\boxed{42}"
)
FIRST = "Okay, 12 boxes with 3.5 kg each. First, 12 * 3.5 = 42. So the total is 42 kg."


@given(st.text(alphabet="ab 7.42\n!?é𝟘", max_size=200), st.integers(0, 250))
def test_a_proven_prefix_is_a_prefix_that_holds_the_answer(trace: str, end: int) -> None:
    """Whatever is asked for, the result is a prefix with the answer, or an error."""
    try:
        kept = prove_prefix(trace, end, answer="42")
    except TruncationError:
        return
    assert trace.startswith(kept)
    assert "42" in kept


@given(st.text(alphabet="ab 7.42=so\n!?é\U0001d7d8Wait", max_size=300), st.text(max_size=60))
def test_no_method_returns_anything_but_a_prefix(trace: str, proposal: str) -> None:
    """Rule, copied sentence and repetition: an exact prefix, or an error."""
    for cut in (
        partial(cut_by_rule, trace),
        partial(cut_at_sentence, trace, proposal),
        partial(cut_at_repetition, trace, proposal),
    ):
        try:
            kept = cut(answer="42")
        except TruncationError:
            continue
        assert trace.startswith(kept)
        assert "42" in kept


def test_the_rule_cuts_after_the_paragraph_that_deduces_the_answer() -> None:
    """Checking and repeating the answer are cut off."""
    assert cut_by_rule(TRACE, answer="42") == FIRST


def test_the_rule_cuts_a_trace_of_one_paragraph_at_a_sentence() -> None:
    """Without paragraphs the sentence that deduces the answer is the last one."""
    trace = "Start with 9. 9 - 4 = 5. 5 * 2 = 10. So the answer is 10. Wait, let me check. Yes, 10."
    kept = cut_by_rule(trace, answer="10")
    assert kept == "Start with 9. 9 - 4 = 5. 5 * 2 = 10."


def test_an_equal_value_on_the_way_is_not_the_answer() -> None:
    """A value that the trace calculates on with is not where it ends."""
    trace = "4 + 6 = 10 + 5 = 15. 15 - 5 = 10. So we are done. Wait, again: 10."
    assert cut_by_rule(trace, answer="10") == "4 + 6 = 10 + 5 = 15. 15 - 5 = 10."


def test_a_paragraph_that_announces_something_is_not_the_end() -> None:
    """The cut falls on a sentence end, not on a colon."""
    trace = "So the total is 42. Let me verify this by addition:\n\n40 + 2 = 42.\n\nGood."
    assert cut_by_rule(trace, answer="42") == "So the total is 42."


def test_a_trace_without_the_answer_cannot_be_cut() -> None:
    """The rule says so instead of guessing."""
    with pytest.raises(TruncationError, match="stands nowhere"):
        cut_by_rule("I would multiply and then add.", answer="42")


@pytest.mark.parametrize(
    "copy",
    [
        "So the total is 42 kg.",
        "  so the total is 42 kg".replace("so", "So"),
        '"So the total is **42** kg."',
        "So the total\nis 42 kg.",
        "So the totals is 42 kg.",
    ],
)
def test_a_copied_sentence_is_found_in_the_trace(copy: str) -> None:
    """Quotes, markup, white space and a slip of the copying model are forgiven."""
    assert cut_at_sentence(TRACE, copy, answer="42") == FIRST


def test_an_invented_sentence_is_refused() -> None:
    """A sentence that is not in the trace never becomes a cut."""
    with pytest.raises(TruncationError, match="not in the trace"):
        cut_at_sentence(TRACE, "Therefore the mass must be 42 kilograms exactly.", answer="42")


def test_a_sentence_before_the_answer_is_refused() -> None:
    """A cut that loses the answer is refused, however well it was located."""
    with pytest.raises(TruncationError, match="do not hold the answer"):
        cut_at_sentence(TRACE, "Okay, 12 boxes with 3.5 kg each.", answer="42")


def test_a_repetition_cuts_where_it_ends() -> None:
    """A faithful repetition ends at its last character, in the trace's own white space."""
    assert cut_at_repetition(TRACE, FIRST.replace(" ", "\n"), answer="42") == FIRST


def test_a_repetition_that_changes_words_is_never_trained_on() -> None:
    """The model's own wording is replaced by the trace's."""
    changed = FIRST.replace("Okay", "Well").replace("First", "To begin with")
    assert cut_at_repetition(TRACE, changed, answer="42") == FIRST


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_proposal_is_refused(text: str) -> None:
    """A model that answered nothing cuts nothing."""
    with pytest.raises(TruncationError):
        cut_at_sentence(TRACE, text, answer="42")
    with pytest.raises(TruncationError):
        cut_at_repetition(TRACE, text, answer="42")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It is 3.5 now. Then", "It is 3.5 now."),
        ("See e.g. this one. Then", "See e.g. this one."),
        ("Is it? Yes", "Is it?"),
        ("no end here", "no end here"),
        ("a line\n\nanother", "a line"),
        ('He said "four." Then', 'He said "four."'),
    ],
)
def test_sentences_end_where_a_reader_sees_an_end(text: str, first: str) -> None:
    """Numbers and abbreviations end no sentence; blank lines do."""
    assert text[: sentence_end(text, 1)] == first


@given(st.text(alphabet="ab .!?\n", max_size=100))
def test_sentences_keep_every_character_but_white_space(text: str) -> None:
    """Splitting into sentences loses nothing."""
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_real_traces_are_cut_to_prefixes_that_hold_the_answer(shared_data: Path) -> None:
    """Of 480 traces of real reasoning models, every one that states the answer is cut."""
    path = shared_data / "traces" / "gsm8k_r1_qwq_s11_dsq_120q.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    cut = 0
    for row in rows:
        trace = row["reasoning_content"]
        try:
            kept = cut_by_rule(trace, answer=row["gold"])
        except TruncationError:
            assert row["gold"] not in trace.split()
            continue
        assert trace.startswith(kept)
        assert row["gold"] in kept.replace(",", "")
        cut += 1
    assert cut >= 465


@pytest.mark.parametrize(
    "trace",
    ["x = 42 and so on\n" * 8_000, "so 42 then " * 12_000, "step one is 42 + 1\n\n" * 8_000],
)
def test_long_traces_without_full_stops_are_cut_at_once(trace: str) -> None:
    """The work grows with the length of a trace, not with its square."""
    assert trace.startswith(cut_by_rule(trace, answer="42"))
    with pytest.raises(TruncationError):
        cut_at_sentence(trace, "an entirely different sentence " * 20, answer="42")
