"""Laws of content hashes."""

import hashlib
import json
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import StepMaskSettings
from weak2wise_core.hashing import canonical, content_hash
from weak2wise_core.records import Question, Verdict

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    """A mapping is its pairs, in any order."""
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


@given(st.lists(PLAIN, max_size=3))
def test_it_is_the_hash_of_the_canonical_json(values: list[object]) -> None:
    """However it is put together: another program can compute it."""
    text = json.dumps(canonical(values), sort_keys=True, separators=(",", ":"))
    assert content_hash(*values) == hashlib.sha256(text.encode()).hexdigest()


@given(PLAIN, PLAIN)
def test_different_content_has_a_different_hash(one: object, other: object) -> None:
    """Equal hashes mean equal content, as far as JSON tells values apart."""
    if content_hash(one) == content_hash(other):
        assert one == other


def test_records_settings_enums_and_paths_are_plain_data() -> None:
    """What stages pass around has a content hash."""
    question = Question(id="a", question="q", answer="1")
    assert content_hash(question) == content_hash({"id": "a", "question": "q", "answer": "1"})
    assert content_hash(Verdict.CORRECT, PurePosixPath("a/b")) == content_hash("correct", "a/b")
    assert content_hash(StepMaskSettings()) == content_hash(StepMaskSettings(granularity=6))


def test_sets_hash_alike_in_every_process() -> None:
    """The random order of sets of strings never reaches a key."""
    program = (
        "from weak2wise_core.hashing import content_hash;print(content_hash({'b', 'a', 'c', 'd'}))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("value", [object(), b"bytes", len, Question, {"a": {1, object()}}])
def test_anything_else_is_refused(value: object) -> None:
    """There is no fallback to pickle."""
    with pytest.raises(TypeError):
        content_hash(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    """NaN is a bad way to say that something is unknown."""
    with pytest.raises(ValueError, match="JSON"):
        content_hash(value)
