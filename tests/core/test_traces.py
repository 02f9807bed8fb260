import dataclasses
import json
from pathlib import Path

import pytest

from weak2wise_core.config import GenerateSettings
from weak2wise_core.hashing import content_hash
from weak2wise_core.records import (
    CandidateTrace,
    ChatReply,
    FinishReason,
    Question,
    Refusal,
    Usage,
    Verdict,
)
from weak2wise_core.steps import split_steps
from weak2wise_core.traces import candidate_from_reply, find_leak, find_told, refused

QUESTION = Question(id="q", question="A farmer has 12 cows and buys 7. How many?", answer="19")
STEPS = "## Start\nThere are 12 cows.\n\n## Count\nAdd 7 to them.\n\n## Final Answer\n19\n"
THINKING = "12 and 7 more. So 19. Let me check: 19 - 7 = 12. Good."
LENIENT = GenerateSettings(refuse_told_answer=False)

TOLD = """\
The given answer is 128, so I have to explain it.
That is 18, which matches the provided answer.
So the answer is 128, as provided.
The answer is given as 18.
But the user already gave the answer, so I explain it.
Since the answer is known, I can work towards it.
This agrees with the answer they gave.
Good, it matches the expected answer.
The user provided the correct answer.
I was told the answer is 5.
The assistant already answered 18.
In my previous response I said 18.
We know the answer is 18, so let us see.
The user's answer is 12.
I write it as if I\u2019d derived it.
I should do so without mentioning that the answer was given.
They want to know how this answer
follows from the question.
The final answer provided is 42.
The answer was already stated.
The reference answer says 12.""".replace("\nfollows", " follows").splitlines()

NOT_TOLD = """\
Now list the given information.
The answer given the constraints is 4.
None of the provided answer choices fits.
The answer is given by the formula above.
The answer exists provided the discriminant is positive.
The answer is provided as a fraction.
Given that, the answer is 96.
If the problem is stated correctly as given, then 48 is the correct answer.
Since the answer is known to be an integer, round it.
The user wants the answer boxed.
I think the answer expected is 6.
Perhaps the expected answer is 2 times the amount.
So I think that's the correct answer.
That confirms the previous answer.
He gave the answer sheet to five students.
The user gave no answer format.
The answer is given in metres.
However, given the information, perhaps the answer is 24.""".splitlines()


def reply(
    content: str = STEPS,
    reasoning: str | None = THINKING,
    finish_reason: FinishReason = FinishReason.STOP,
) -> ChatReply:
    """A reply of a strong model, sound unless told otherwise."""
    return ChatReply(
        content=content,
        reasoning=reasoning,
        finish_reason=finish_reason,
        usage=Usage(completion_tokens=40),
        model="teacher-0925",
    )


def by_words(gold: str, answer: str) -> Verdict:
    """A rule that knows numbers only."""
    if not any(char.isdigit() for char in answer):
        return Verdict.UNJUDGED
    return Verdict.CORRECT if gold in answer.split() else Verdict.INCORRECT


def judged(
    answer: ChatReply,
    *,
    question: Question = QUESTION,
    settings: GenerateSettings | None = None,
) -> CandidateTrace:
    """The candidate that a reply becomes."""
    return candidate_from_reply(
        question,
        strong_model="teacher",
        draw=1,
        reply=answer,
        check=by_words,
        settings=settings or GenerateSettings(),
    )


def test_a_sound_reply_becomes_a_candidate() -> None:
    """Both traces are kept as they came, with the identity of the draw."""
    candidate = judged(reply())
    assert candidate == CandidateTrace(
        question_id="q",
        strong_model="teacher",
        draw=1,
        normal_reasoning=THINKING,
        step_reasoning=STEPS,
        refusal=None,
        detail="",
        answer_leak=False,
        told_answer=False,
        model="teacher-0925",
        spent=(),
    )


@pytest.mark.parametrize(
    ("bad", "refusal", "detail"),
    [
        (reply(finish_reason=FinishReason.CONTENT_FILTER), Refusal.CONTENT_FILTER, "filter"),
        (reply(finish_reason=FinishReason.LENGTH), Refusal.CUT_BY_LENGTH, "after 40 tokens"),
        (reply("No response (bad request)."), Refusal.ERROR_TEXT, "No response"),
        (reply(reasoning=None), Refusal.NO_THINKING, "no thinking"),
        (reply(reasoning=" \n"), Refusal.NO_THINKING, "no thinking"),
        (reply("The answer is 19."), Refusal.NO_STEP, "The answer is 19."),
        (reply(""), Refusal.NO_STEP, "no line starts with '##'"),
        (reply("Well.\n## Final Answer\n19"), Refusal.NO_STEP, "before the final answer"),
        (reply("## Sum\n12 + 7 = 19"), Refusal.NO_FINAL_ANSWER, "'Sum'"),
        (reply("## Sum\n12 + 7\n## Final Answer\n"), Refusal.NO_FINAL_ANSWER, "is empty"),
        (
            reply("## Sum\n12 + 8\n## Final Answer\n20"),
            Refusal.WRONG_FINAL_ANSWER,
            "'20', not '19'",
        ),
    ],
)
def test_a_reply_is_refused_with_its_reason(bad: ChatReply, refusal: Refusal, detail: str) -> None:
    """Every way to be unusable has a name, and the detail says what was found."""
    candidate = judged(bad)
    assert candidate.refusal is refusal
    assert detail in candidate.detail


def test_a_null_reasoning_is_no_trace_of_zero_tokens() -> None:
    """Fault of the reference code: an absent thinking counted 0 tokens and won every tie."""
    candidate = judged(reply(reasoning=None))
    assert candidate.refusal is Refusal.NO_THINKING
    assert candidate.normal_reasoning == ""


def test_the_finish_reason_is_read_first() -> None:
    """Fault of the reference code: a reply cut by length looks like a trace and is none."""
    assert judged(reply(finish_reason=FinishReason.LENGTH)).refusal is Refusal.CUT_BY_LENGTH
    assert judged(reply(finish_reason=FinishReason.OTHER)).refusal is None


def test_a_candidate_is_plain_data() -> None:
    """Fault of the reference code: live API objects in the records broke the final dump."""
    candidate = judged(reply())
    assert json.loads(json.dumps(dataclasses.asdict(candidate)))["model"] == "teacher-0925"
    assert content_hash(candidate) == content_hash(judged(reply()))


@pytest.mark.parametrize(
    "text",
    [
        "No response (bad request).",
        "Error code: 400 - {'error': {'message': 'invalid'}}",
        "HTTP error 503",
        "502 Bad Gateway",
        "Internal Server Error",
        "<!DOCTYPE html><title>504</title>",
        '{"error": {"message": "rate limit", "code": 429}}',
        '{"object": "error", "message": "too long", "code": 400}',
    ],
)
def test_an_error_of_the_server_is_no_trace(text: str) -> None:
    """Some clients hand an error on as the reply's text."""
    assert judged(reply(text)).refusal is Refusal.ERROR_TEXT


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '{"answer": 19}', "[" * 9999, "{" * 99_999])
def test_other_text_in_braces_is_no_error(text: str) -> None:
    """Only an object that calls itself an error is one."""
    assert judged(reply(text)).refusal is Refusal.NO_STEP


@pytest.mark.parametrize("title", ["## **Final Answer**", "### Final Answer:", "##Final Answer"])
def test_the_final_answer_is_found_under_any_form_of_its_title(title: str) -> None:
    """A sound trace is not refused for its markup."""
    assert judged(reply(f"## Sum\n12 and 7\n{title}\n19")).refusal is None


def test_an_answer_that_no_rule_can_compare_is_accepted() -> None:
    """Only a certain disagreement refuses: the model was told the answer."""
    assert judged(reply("## Sum\n12 and 7\n## Final Answer\nnineteen")).refusal is None


def test_an_answer_in_a_step_before_the_last_is_marked() -> None:
    """The paper's own example shows the answer in a step; it is marked, not refused."""
    leaky = reply("## Sum\n12 + 7 = 19\n## Check\nok\n## Final Answer\n19")
    candidate = judged(leaky)
    assert (candidate.refusal, candidate.answer_leak) == (None, True)
    assert candidate.detail == "the answer stands in step 1, 'Sum'"
    strict = judged(leaky, settings=GenerateSettings(refuse_answer_leak=True))
    assert strict.refusal is Refusal.ANSWER_LEAK


def test_an_answer_after_the_final_step_is_marked() -> None:
    """A closing check that repeats the answer is shown to the weak model, so it leaks."""
    steps = split_steps("## Sum\n12 and 7\n## Final Answer\n19\n## Check\n19 - 7 = 12")
    assert find_leak(QUESTION, steps=steps) == "the answer stands in step 3, 'Check'"


def test_an_answer_that_the_question_mentions_cannot_leak() -> None:
    """A step that repeats a number of the question tells the weak model nothing new."""
    question = Question(id="q", question="Of 19 cows 0 are sold. How many?", answer="19")
    steps = split_steps("## Start\nThere are 19 cows.\n## Final Answer\n19")
    assert find_leak(question, steps=steps) == ""


def test_a_longer_number_is_not_the_answer() -> None:
    """119 or 1.9 in a step does not give 19 away."""
    steps = split_steps("## Start\n119 and 190 and 1.9\n## Final Answer\n19")
    assert find_leak(QUESTION, steps=steps) == ""


def test_thinking_that_was_told_the_answer_is_refused_by_recipe() -> None:
    """It would teach to speak of an answer that nobody gave."""
    told = reply(reasoning=f"{THINKING} That matches the given answer.")
    candidate = judged(told)
    assert (candidate.refusal, candidate.told_answer) == (Refusal.TOLD_ANSWER, True)
    assert candidate.detail == "the thinking says 'matches the given answer'"
    lenient = judged(told, settings=LENIENT)
    assert (lenient.refusal, lenient.told_answer) == (None, True)
    assert lenient.detail == candidate.detail


def test_both_audits_are_named_in_one_detail() -> None:
    """A candidate that is only marked says everything that was found."""
    both = reply("## Sum\n12 + 7 = 19\n## Final Answer\n19", reasoning="The given answer is 19.")
    candidate = judged(both, settings=LENIENT)
    assert candidate.detail == (
        "the thinking says 'The given answer'; the answer stands in step 1, 'Sum'"
    )


@pytest.mark.parametrize("thinking", TOLD)
def test_thinking_that_speaks_of_the_given_answer_is_found(thinking: str) -> None:
    """Each of these sentences betrays that the model did not find the answer itself."""
    assert find_told(f"Let me see. {thinking}\nNext.")


@pytest.mark.parametrize("thinking", NOT_TOLD)
def test_thinking_that_speaks_of_other_givens_is_not_found(thinking: str) -> None:
    """A false alarm would throw a good trace away."""
    assert find_told(f"Let me see. {thinking}\nNext.") == ""


def test_thinking_that_was_told_nothing_raises_no_false_alarm(shared_data: Path) -> None:
    """Of 480 real traces whose models were not told the answer none is accused."""
    lines = (shared_data / "traces" / "gsm8k_r1_qwq_s11_dsq_120q.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    accused = [row["id"] for row in rows if find_told(row["reasoning_content"])]
    assert len(rows) == 480
    assert accused == []


def test_a_long_finding_is_cut_to_a_line() -> None:
    """A detail is one short line, however long the reply."""
    candidate = judged(reply("x\n" * 500))
    assert candidate.detail.endswith("...'")
    assert len(candidate.detail) < 120
    assert "\n" not in candidate.detail


def test_a_draw_without_reply_is_a_refused_candidate() -> None:
    """A request that the server will never answer is counted like any other refusal."""
    candidate = refused(
        "q", strong_model="teacher", draw=2, refusal=Refusal.REQUEST_REFUSED, detail="HTTP 400"
    )
    assert (candidate.refusal, candidate.detail) == (Refusal.REQUEST_REFUSED, "HTTP 400")
    assert (candidate.normal_reasoning, candidate.step_reasoning, candidate.spent) == ("", "", ())
