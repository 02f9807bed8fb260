"""A strong model's reply as a candidate: is it usable, and did it cheat (section 3.3)?

The strong model was told the answer and asked to explain it. Its reply is refused for the first of
these reasons that holds: content_filter, cut_by_length, error_text, no_thinking, no_step,
no_final_answer, wrong_final_answer, told_answer, answer_leak. The last two only by recipe.

Source: paper section 3.3, equation 2.
Departure: the reference code reads no finish reason and counts a null `reasoning_content` as a
trace of 0 tokens, which wins every tie. The audits `answer_leak`, `told_answer` and
`steps_disagree`, which only marks, are ours.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from weak2wise_core.answers import Agreement, compare, mentions
from weak2wise_core.answers import final_answer as concluded
from weak2wise_core.config import GenerateSettings
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.records import (
    CandidateTrace,
    ChatReply,
    FinishReason,
    Question,
    Refusal,
    Verdict,
)
from weak2wise_core.steps import Step, final_answer, split_steps

Check: TypeAlias = Callable[[str, str], Verdict]
"""Compares a ground-truth answer with a stated one; UNJUDGED where a rule cannot tell."""

Fault: TypeAlias = tuple[Refusal, str]

_ERROR_TEXT = re.compile(
    r"no response \(bad request\)|(?:http )?error(?: code)?:? [45]\d\d\b|<!doctype html|<html\b|"
    r"(?:[45]\d\d:? )?(?:internal server error|bad gateway|service unavailable|gateway time-?out|"
    r"too many requests)\b",
    re.IGNORECASE,
)

_GIVEN = "(?:given|provided|supplied)"
_KIND = "(?:correct |final |right |known )?"
_ALREADY = "(?:already |also |just |previously |earlier )?"
_NOT_A_FORMAT = (
    "(?! (?:box|boxes|choice|choices|column|field|form|format|key|option|options|sheet))"
)
_TOLD_PHRASES = (
    # the answer, with a word that says where it comes from
    rf"(?:the|this|that|their|a) (?:already )?{_KIND}{_GIVEN} {_KIND}answer\b{_NOT_A_FORMAT}",
    rf"the (?:reference|ground[- ]truth|target) answer\b{_NOT_A_FORMAT}",
    rf"(?:user|assistant)'s {_KIND}(?:{_GIVEN} )?answer\b{_NOT_A_FORMAT}",
    # matches the expected answer
    r"(?:match(?:es|ed|ing)?|agrees? with|agreeing with|consistent with|in line with|"
    rf"aligns? with) (?:the )?(?:{_GIVEN}|known|stated|expected|correct) {_KIND}answer\b"
    rf"{_NOT_A_FORMAT}",
    # the answer is given as 18, the answer was already provided
    rf"answer (?:is|was|has been|had been) {_ALREADY}(?:provided|supplied|known)\b"
    r"(?! (?:as an? |to be an? |in |by (?:the )?(?:formula|equation|expression|sum|product)))",
    r"answer (?:is|was|has been|had been) already (?:given|stated)\b",
    rf"answer (?:is|was) {_ALREADY}given (?:to (?:me|us)\b|by the (?:user|assistant)\b|"
    r"here\b|as (?!an? |the |in ))",
    rf"answer {_GIVEN} (?:by the (?:user|assistant)|to (?:me|us)|in the (?:prompt|conversation))\b",
    rf"the {_KIND}answer {_GIVEN} (?:is|was)\b",
    # 18, as provided
    rf"answer[^\n]{{0,40}}\bas (?:was )?{_GIVEN}(?=[.,;:!)\n]| (?:by the user|to me|to us)\b|$)",
    # somebody told it
    r"(?:user|assistant|prompt|they) (?:has |have |had )?(?:already |also |just |even )?"
    r"(?:gave|given|gives|provided|provides|supplied|supplies|told|tells) (?:me |us )?"
    rf"(?:that )?(?:the |an? |their |its |this )?{_KIND}answer\b{_NOT_A_FORMAT}",
    rf"answer (?:that |which )?(?:the )?(?:user|assistant|they|i) (?:has |have |had )?{_ALREADY}"
    rf"(?:gave|{_GIVEN}|told)\b",
    rf"(?:i|we) (?:was|were|am|are|have been) {_ALREADY}(?:told|given) (?:that )?(?:the )?{_KIND}"
    r"answer\b",
    rf"(?:i|we) (?:already )?know (?:that )?the {_KIND}answer (?:is|must|should|has to|already|"
    r"beforehand|in advance)\b",
    # the turn before
    r"(?:i|assistant) (?:have |has |had )?(?:already|previously|earlier) (?:answered|responded|"
    r"replied|gave the answer|given the answer)\b",
    r"assistant (?:has |had )?(?:just |simply |only )?(?:answered|responded|replied)\b",
    r"(?:my|assistant's) (?:previous|prior|last|earlier) (?:response|reply|message|turn)\b",
    # an echo of the instruction
    r"as if (?:i|we|you)(?:'d| had)? (?:just )?(?:found|derived|discovered|worked|figured)\b",
    r"without (?:mentioning|revealing|referencing|admitting|hinting)[^.\n]{0,30}\banswer\b",
    rf"how (?:this|that|the) {_KIND}answer (?:follows|is obtained|was obtained|is derived)\b",
)
_TOLD = re.compile(
    r"\b(?:" + "|".join(_TOLD_PHRASES).replace(" ", r"\s+").replace("'", "['\u2019]") + ")",
    re.IGNORECASE,
)


def candidate_from_reply(
    question: Question,
    *,
    strong_model: str,
    draw: int,
    reply: ChatReply,
    check: Check,
    settings: GenerateSettings,
) -> CandidateTrace:
    """Judge one reply to C_gen.

    Args:
        question: The question with its ground-truth answer.
        strong_model: The name that the recipe gives to the model.
        draw: Which of the repeated samples, from 0.
        reply: The reply; an unknown finish reason alone is no fault.
        check: Compares the ground-truth answer with the text of the final step. Only a certain
            disagreement (INCORRECT) refuses: the model was told the answer, so what a rule cannot
            compare is more often a notation than an error.
        settings: Which audits refuse; both always mark.

    Returns:
        The candidate, with `refusal` None when it can be used. What it took is not known here:
        `spent` is empty.
    """
    thinking = reply.reasoning or ""
    steps = _steps(reply.content)
    leak = find_leak(question, steps=steps)
    told = find_told(thinking)
    disagreement = find_disagreement(steps, normal_reasoning=thinking)
    fault = _fault(question, reply=reply, steps=steps, check=check)
    if fault is None and told and settings.refuse_told_answer:
        fault = (Refusal.TOLD_ANSWER, told)
    if fault is None and leak and settings.refuse_answer_leak:
        fault = (Refusal.ANSWER_LEAK, leak)
    return CandidateTrace(
        question_id=question.id,
        strong_model=strong_model,
        draw=draw,
        normal_reasoning=thinking,
        step_reasoning=reply.content,
        refusal=fault[0] if fault else None,
        detail=fault[1] if fault else "; ".join(filter(None, (told, leak, disagreement))),
        answer_leak=bool(leak),
        told_answer=bool(told),
        steps_disagree=bool(disagreement),
        model=reply.model,
        spent=(),
    )


def refused(
    question_id: str, *, strong_model: str, draw: int, refusal: Refusal, detail: str
) -> CandidateTrace:
    """The record of a draw for which there is no reply, such as a request the server refuses."""
    return CandidateTrace(
        question_id=question_id,
        strong_model=strong_model,
        draw=draw,
        normal_reasoning="",
        step_reasoning="",
        refusal=refusal,
        detail=detail,
        answer_leak=False,
        told_answer=False,
        steps_disagree=False,
        model="",
        spent=(),
    )


def find_leak(question: Question, *, steps: Sequence[Step]) -> str:
    """Where the answer stands in the clear outside the final step, as words; empty if nowhere.

    An answer that the question itself mentions is no leak: showing it again tells the weak model
    nothing, and it cannot be told from a repetition of the question.
    """
    if mentions(question.question, question.answer):
        return ""
    for number, step in enumerate(steps, start=1):
        if not step.is_final and mentions(step.text, question.answer):
            return f"the answer stands in step {number}, {_excerpt(step.title)}"
    return ""


def find_told(normal_reasoning: str) -> str:
    """The words by which thinking betrays that it was told the answer; empty if there are none.

    A list of English phrases, chosen to raise no false alarm: thinking that was told the answer and
    says so in other words, or not at all, is not found.
    """
    found = _TOLD.search(normal_reasoning)
    return f"the thinking says {_excerpt(found.group())}" if found else ""


def find_disagreement(steps: Sequence[Step], *, normal_reasoning: str) -> str:
    """How thinking and steps come to different answers, as words; empty where they do not.

    Only an answer that the thinking states as one, and that a rule calls different, is a
    disagreement; what a rule cannot compare is none.
    """
    stated = final_answer(steps) or ""
    thought = concluded(normal_reasoning, lenient=False)
    answer = concluded(stated) or stated
    if not answer or thought is None or compare(answer, thought) is not Agreement.DISAGREE:
        return ""
    return f"the steps say {_excerpt(answer)}, the thinking {_excerpt(thought)}"


def _fault(
    question: Question, *, reply: ChatReply, steps: Sequence[Step], check: Check
) -> Fault | None:
    if reply.finish_reason is FinishReason.CONTENT_FILTER:
        return Refusal.CONTENT_FILTER, "the server's filter stopped the reply"
    if reply.finish_reason is FinishReason.LENGTH:
        spent = reply.usage.completion_tokens
        return Refusal.CUT_BY_LENGTH, f"cut after {spent} tokens; raise max_tokens"
    if _is_error_text(reply.content):
        return Refusal.ERROR_TEXT, f"the reply is an error: {_excerpt(reply.content)}"
    if not (reply.reasoning or "").strip():
        return Refusal.NO_THINKING, "the reply shows no thinking"
    return _fault_of_steps(question, steps=steps, content=reply.content, check=check)


def _fault_of_steps(
    question: Question, *, steps: Sequence[Step], content: str, check: Check
) -> Fault | None:
    if all(step.is_final for step in steps):
        what = "no step stands before the final answer" if steps else "no line starts with '##'"
        return Refusal.NO_STEP, f"{what}: {_excerpt(content)}"
    stated = final_answer(steps)
    if not stated:
        what = "no step is titled Final Answer" if stated is None else "the final step is empty"
        return Refusal.NO_FINAL_ANSWER, f"{what}; the last one is {_excerpt(steps[-1].title)}"
    if check(question.answer, stated) is Verdict.INCORRECT:
        return Refusal.WRONG_FINAL_ANSWER, f"{_excerpt(stated)}, not {_excerpt(question.answer)}"
    return None


def _steps(content: str) -> tuple[Step, ...]:
    try:
        return split_steps(content)
    except TraceFormatError:
        return ()


def _is_error_text(content: str) -> bool:
    text = content.strip()
    if _ERROR_TEXT.match(text):
        return True
    if not text.startswith("{"):
        return False
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and bool(parsed.get("error") or parsed.get("object") == "error")


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line[:77]}...'" if len(line) > 80 else f"'{line}'"
