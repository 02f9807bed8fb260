"""Deciding whether an attempt is correct: rules, votes of a model, or both (section 3.2)."""

from dataclasses import replace

from weak2wise_core.config import JudgeMethod, JudgingSettings
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.gateway import Asker
from weak2wise_core.judging import read_verdict, settled
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import (
    ChatReply,
    FinishReason,
    JudgedBy,
    Judgement,
    Question,
    Verdict,
)
from weak2wise_core.stages.gathering import gather_all
from weak2wise_core.stages.wording import vote_request


def vote_of(reply: ChatReply) -> Verdict:
    """The vote that a reply of the judge casts; one that was cut off casts none."""
    cut_off = reply.finish_reason is FinishReason.LENGTH
    return Verdict.UNJUDGED if cut_off else read_verdict(reply.content)


def draws_of(votes: int) -> int:
    """How many draws a ballot may take: vote number i is draw i, and asked again draw i + votes.

    The draws of a second ballot on the same attempt follow.
    """
    return 2 * votes


class Judge:
    """Judges attempts as the recipe says.

    Source: section 3.2 (three votes of a strict judge).
    Departure: a vote stops as soon as its majority is certain; an invalid vote is asked again
    once; a mask level whose votes come to nothing is voted on once more; the rule-based methods
    are ours.
    """

    def __init__(
        self,
        settings: JudgingSettings,
        *,
        checker: AnswerChecker,
        model: Asker | None = None,
        prompts: PromptSet | None = None,
    ) -> None:
        """Set up a judge.

        Args:
            settings: Method and number of votes.
            checker: Decides by rule where it is certain.
            model: Casts the votes; needed by every method but `rule`.
            prompts: The wording of P_judge.

        Raises:
            ValueError: The method needs a model and there is none.
        """
        if model is None and settings.method is not JudgeMethod.RULE:
            raise ValueError(f"judging.method {settings.method.value} needs a judge model")
        self._settings = settings
        self._checker = checker
        self._model = model
        self._prompts = prompts or PromptSet()

    async def judge(
        self, question: Question, reply: ChatReply, *, insist: bool = False
    ) -> Judgement:
        """Judge the reply of the weak model to a question.

        Args:
            question: What was asked, with its ground truth.
            reply: The weak model's.
            insist: Whether votes that come to nothing are followed by as many new ones.

        Returns:
            The verdict, who gave it, and all votes. A reply that a filter withheld is UNJUDGED; a
            reply without visible text is INCORRECT: the model gave no answer. By rule, so is one
            that its token limit cut off before a readable answer.

        Raises:
            ModelError: A vote could not be had.
        """
        if reply.finish_reason is FinishReason.CONTENT_FILTER:
            return Judgement(verdict=Verdict.UNJUDGED, judged_by=JudgedBy.NOBODY)
        if not reply.content.strip():
            return Judgement(verdict=Verdict.INCORRECT, judged_by=JudgedBy.RULE)
        if self._settings.method is not JudgeMethod.LLM:
            verdict = await self._checker.acheck(question.answer, reply.content)
            if verdict is Verdict.UNJUDGED and reply.finish_reason is FinishReason.LENGTH:
                verdict = Verdict.INCORRECT  # cut off before it came to an answer
            certain = verdict is not Verdict.UNJUDGED
            if certain or self._settings.method is JudgeMethod.RULE:
                by = JudgedBy.RULE if certain else JudgedBy.NOBODY
                return Judgement(verdict=verdict, judged_by=by)
        judgement = await self._ballot(question, reply.content, ballot=0)
        if judgement.verdict is Verdict.UNJUDGED and insist:
            anew = await self._ballot(question, reply.content, ballot=1)
            return replace(anew, votes=judgement.votes + anew.votes)
        return judgement

    async def _ballot(self, question: Question, attempt: str, *, ballot: int) -> Judgement:
        votes: list[Verdict] = []
        first = ballot * draws_of(self._settings.votes)
        needed = self._settings.votes // 2 + 1
        verdict: Verdict | None = None
        while verdict is None:
            # As many at once as could settle it; then one by one, since each may be the last.
            batch = needed if not votes else 1
            votes += await gather_all(
                [self._vote(question, attempt, draw=first + len(votes) + i) for i in range(batch)]
            )
            verdict = settled(votes, of=self._settings.votes)
        return Judgement(verdict=verdict, judged_by=JudgedBy.MODEL, votes=tuple(votes))

    async def _vote(self, question: Question, attempt: str, *, draw: int) -> Verdict:
        assert self._model is not None
        messages = vote_request(question, attempt, prompts=self._prompts)
        vote = Verdict.UNJUDGED
        for one in (draw, draw + self._settings.votes):  # an invalid vote is asked again once
            reply = await self._model.ask(messages, draw=one, affinity=question.id)
            vote = vote_of(reply)
            if vote is not Verdict.UNJUDGED:
                break
        return vote
