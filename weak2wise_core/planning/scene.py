"""Everything that the way of one question needs beside the question itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from weak2wise_core.config import JudgeMethod, Recipe, SelectionSettings
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.gateway import Asker
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import CandidateTrace, Question
from weak2wise_core.stages.judge import Judge

FILTER, GENERATE, SCORE, TRUNCATE = (
    "filter_qa",
    "generate_candidates",
    "score_step_masks",
    "truncate_golden",
)
"""The stages that ask a model."""
WEAK, JUDGE, TRUNCATOR = "weak", "judge", "truncator"

Ask = Callable[[str, str], Asker]
"""The model of a name, as one stage asks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The recipe and what is opened for it, shared by all questions."""

    recipe: Recipe
    prompts: PromptSet
    checker: AnswerChecker
    count_tokens: Callable[[str], int]
    """Length of a text in tokens of the weak model; may block while the tokenizer loads."""
    imported: Mapping[str, Sequence[CandidateTrace]] = field(default_factory=dict)
    """Candidates that exist already, by question id."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Reasoning that people wrote, by question id."""

    @property
    def selection(self) -> SelectionSettings:
        """Who chooses, as far as a plan goes.

        No plan reads traces with the weak model. Where the selector does, Step-Mask stands in: a
        question passes or fails in the same way, and a truncating model of a pilot is asked about
        another trace of the question, which tells the cost.
        """
        wanted = self.recipe.selection
        return SelectionSettings() if wanted.by.reads_model else wanted

    def candidates_of(self, question: Question) -> list[CandidateTrace]:
        """The candidates that a question brings along."""
        return list(self.imported.get(question.id, ()))

    def judge(self, ask: Ask, *, stage: str) -> Judge:
        """The judge of a stage."""
        model = ask(JUDGE, stage) if self.recipe.models.judge else None
        return Judge(self.recipe.judging, checker=self.checker, model=model, prompts=self.prompts)

    def truncator(self, ask: Ask) -> Asker | None:
        """The truncating model, or None where the recipe has none."""
        return ask(TRUNCATOR, TRUNCATE) if self.recipe.models.truncator else None

    @property
    def votes(self) -> int:
        """Votes on one attempt at most, re-asked ones not counted; 0 where only rules judge."""
        by_rule = self.recipe.judging.method is JudgeMethod.RULE
        return 0 if by_rule else self.recipe.judging.votes
