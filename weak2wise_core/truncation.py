"""Truncation: a golden reasoning ends where the correct answer is first deduced (section 3.5).

A model (or a rule) proposes where to cut; this module locates the proposal in the trace and proves
the result: an exact prefix of the trace that holds the answer, cut at the end of a sentence. It
never lets a model's wording into the training set.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from difflib import SequenceMatcher

from weak2wise_core.answers import find_mentions, mentions
from weak2wise_core.errors import TruncationError

_SENTENCE_END = re.compile(r"[.!?。！？]+[\"')\]*_”’}$]*(?=\s|$)|\n\s*\n|$")  # noqa: RUF001
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|etc|approx|eq|fig|no|mr|mrs|ms|dr|st)|\b[A-Za-z])$", re.IGNORECASE
)
_PARAGRAPH_END = re.compile(r"[ \t]*\n\s*\n|\s*$")
_CONCLUDES = re.compile(
    r"\b(?:answer|therefore|thus|hence|so|total|altogether|conclu\w*|final\w*|overall|in all|"
    r"(?:which|that) (?:means|gives|makes))\b|\\boxed",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"[\s*#>-]*(?:wait|let me|let's|hmm|so\b|therefore|thus|hence|alternatively|just to|"
    r"to (?:double|be|verify|check)|yes|okay|ok\b|(?:that|this) (?:makes|seems|should|is)|"
    r"i (?:think|should|want|need|can)|but|double|check|verify|the (?:final )?answer|"
    r"\*\*final|is (?:that|it))",
    re.IGNORECASE,
)
_DEDUCES = re.compile(
    r"(?:=|≈|\bis|\bare|\bequals?|\bgets?|\bgives?|\bmakes?|\bhas|\bhave|\bleaves?|\bbe|\bgot|\bof|:)"
    r"[\s\\$({*~,]*(?:approximately|about|exactly|only|then|boxed\{|text\{|mathbf\{)?[\s\\$({*]*$",
    re.IGNORECASE,
)
_CALCULATES_ON = re.compile(r"[\s\\)}]*(?:[+*/\u00d7\u00f7^]|times\b|cdot\b|-\s*\d)")
_WINDOW = 1_000
_LEAST_LIKENESS = 0.9
_LONGEST_COMPARED = 2_000


def prove_prefix(trace: str, end: int, *, answer: str) -> str:
    """The first `end` characters of a trace, if they may serve as golden reasoning.

    Args:
        trace: The whole Normal-Reasoning trace.
        end: Where to cut, in code points.
        answer: The ground-truth answer.

    Returns:
        `trace[:end]` without trailing white space: an exact prefix of the trace.

    Raises:
        TruncationError: Nothing is left, or the answer does not stand in what is left.

    Source: section 3.5. Departure: the paper does not say that the prefix is checked; the
    reference code trains on whatever the truncating model wrote.
    """
    kept = trace[:end].rstrip()
    if not kept:
        raise TruncationError("the cut leaves nothing of the trace; try another method")
    if not mentions(kept, answer):
        raise TruncationError(
            f"the first {len(kept)} characters do not hold the answer {answer[:80]!r}; "
            "try another method or keep the whole trace"
        )
    return kept


class _Ends:
    """Where the sentences of a text end, found once: a trace may mention the answer often."""

    def __init__(self, text: str) -> None:
        self._ends = [
            match.start() if match.group().isspace() else match.end()
            for match in _SENTENCE_END.finditer(text)
            if not _is_abbreviation(text, match)
        ]
        self._length = len(text)

    def after(self, position: int) -> int:
        """End of the sentence that holds the character before `position`."""
        place = bisect_left(self._ends, position)
        return self._ends[place] if place < len(self._ends) else self._length

    def __iter__(self) -> Iterator[int]:
        return iter(self._ends)


def _is_abbreviation(text: str, match: re.Match[str]) -> bool:
    stop = match.group().startswith(".")
    before = _ABBREVIATION.search(text, max(0, match.start() - 8), match.start())
    return stop and before is not None


def sentence_end(trace: str, position: int) -> int:
    """End of the sentence that holds the character before `position`, in code points.

    A full stop inside a number, after an abbreviation or after a single letter ends nothing; a
    blank line and the end of the trace always do.
    """
    return _Ends(trace).after(position)


def cut_by_rule(trace: str, *, answer: str) -> str:
    """Cut after the first place where the answer seems to be deduced; no model is asked.

    A mention of the answer counts when the text before it deduces something ("=", "is", "gives")
    and the sentence concludes ("so", "total", "answer") or is followed by a turn to checking
    ("Wait", "Let me"); where no mention does, the first deduced one counts, else the first of all.
    The cut falls at the end of its paragraph, or of its sentence in a trace of one paragraph.

    Raises:
        TruncationError: The answer stands nowhere in the trace.

    Departure: ours; the paper always asks a model.
    """
    paragraphs = re.search(r"\S[ \t]*\n\s*\n\s*\S", trace) is not None
    best: tuple[int, int] | None = None
    ends = _Ends(trace)
    for start, end in find_mentions(trace, answer):
        rank = _rank(trace, start, end, stop=ends.after(end))
        if best is None or rank < best[0]:
            best = (rank, end)
        if rank == 0:
            break
    if best is None:
        raise TruncationError(
            f"the answer {answer[:80]!r} stands nowhere in the trace of {len(trace)} characters; "
            "it cannot be cut"
        )
    end = ends.after(best[1])
    if paragraphs and (match := _PARAGRAPH_END.search(trace, end)):
        paragraph = trace[end : match.start()].rstrip()
        # A paragraph that announces something ("so we get:") ends no sentence.
        end = end if paragraph.endswith((":", ",", ";")) else match.start()
    return prove_prefix(trace, end, answer=answer)


def _rank(trace: str, start: int, end: int, *, stop: int) -> int:
    """0 for a mention that concludes, 1 for one that deduces, 2 for any other.

    Only a window around the mention is read: a line without a full stop can be very long.
    """
    least = max(0, start - _WINDOW)
    sentence_start = max(trace.rfind(mark, least, start) for mark in (". ", "\n", "? ", "! ")) + 1
    sentence_start = max(sentence_start, least)
    if not _DEDUCES.search(trace, max(sentence_start, start - 60), start):
        return 2
    if _CALCULATES_ON.match(trace, end):
        return 2
    concludes = _CONCLUDES.search(trace, sentence_start, min(stop, end + _WINDOW)) is not None
    turns = stop >= len(trace.rstrip()) or _TURNS.match(trace, stop) is not None
    return 0 if concludes or turns else 1


def cut_at_sentence(trace: str, sentence: str, *, answer: str) -> str:
    """Cut after a sentence that a model copied out of the trace (method `endpoint`).

    Args:
        trace: The whole Normal-Reasoning trace.
        sentence: The model's copy; differences of white space, quotes and markup are forgiven, and
            a likeness of 0.9 (difflib) where no exact place is found.
        answer: The ground-truth answer.

    Raises:
        TruncationError: The sentence is not in the trace, or the prefix lacks the answer.

    Departure: ours; a few dozen tokens of reply instead of thousands.
    """
    end = _locate(trace, sentence)
    if end is None:
        raise TruncationError(
            f"the sentence {sentence.strip()[:80]!r} is not in the trace; try another method"
        )
    return prove_prefix(trace, sentence_end(trace, end), answer=answer)


def cut_at_repetition(trace: str, repetition: str, *, answer: str) -> str:
    """Cut where a model's repetition of the trace ends (method `reemit`, the paper's).

    The repetition is aligned without regard to white space. Where it departs from the trace, its
    last sentence is located instead; its own wording is never used.

    Raises:
        TruncationError: It cannot be aligned, or the prefix lacks the answer.

    Source: section 3.5. Departure: the reference code trains on the repetition itself.
    """
    squeezed, places = _squeeze(trace)
    wanted, _ = _squeeze(repetition)
    if not wanted:
        raise TruncationError("the model repeated nothing; try another method")
    if squeezed.startswith(wanted):
        end = places[len(wanted) - 1] + 1
        return prove_prefix(trace, sentence_end(trace, end), answer=answer)
    last = list(sentences(repetition.strip()))[-1]
    return cut_at_sentence(trace, last, answer=answer)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, in order, without the white space between them."""
    position = 0
    for end in [*_Ends(text), len(text)]:
        if sentence := text[position:end].strip():
            yield sentence
        position = end


def _squeeze(text: str) -> tuple[str, list[int]]:
    """Text without white space, quotes and emphasis, and where each character stood."""
    places = [i for i, char in enumerate(text) if not (char.isspace() or char in "*_`\"'“”‘’")]  # noqa: RUF001
    return "".join(text[i] for i in places), places


def _locate(trace: str, sentence: str) -> int | None:
    """Where a copied sentence ends in the trace: its first exact place, else the likest one."""
    squeezed, places = _squeeze(trace)
    wanted, _ = _squeeze(sentence)
    if not wanted:
        return None
    if (found := squeezed.find(wanted)) >= 0:
        return places[found + len(wanted) - 1] + 1
    return _likest(trace, wanted[:_LONGEST_COMPARED])


def _likest(trace: str, wanted: str) -> int | None:
    best, best_end, position = _LEAST_LIKENESS, None, 0
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    for end in [*_Ends(trace), len(trace)]:
        sentence, position = trace[position:end], end
        # A sentence of another length cannot be like enough; comparing it would take long.
        if not len(wanted) * 0.5 <= len(sentence) <= len(wanted) * 3 + 50:
            continue
        matcher.set_seq1(_squeeze(sentence)[0])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                best, best_end = ratio, end
    return best_end
