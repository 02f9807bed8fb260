"""The answer of an attempt, and whether it is the right one: by rule alone, without a model.

A rule decides only where it is certain. There are three outcomes, and "undecided" is a good one:
what rules cannot tell apart goes on to algebra (`weak2wise_core.equivalence`) or to a judge. To
call a wrong answer right is the one fault that must not happen.

From the ground up: `rationals` (exact arithmetic), `normalising` (one spelling), `quantities`
(numbers with units), `enumerations` (lists, sets, intervals), `agreement` and `comparison` (do two
answers say the same), `conclusions` (what an attempt ends with), `prose` (which value a sentence
means), `ruling` (an attempt against the ground truth), `mentioning` (where an answer stands).
"""

from weak2wise_core.answers.agreement import Agreement
from weak2wise_core.answers.comparison import compare
from weak2wise_core.answers.conclusions import strip_thinking
from weak2wise_core.answers.mentioning import find_mentions, mentions
from weak2wise_core.answers.ruling import Ruling, final_answer, rule

__all__ = [
    "Agreement",
    "Ruling",
    "compare",
    "final_answer",
    "find_mentions",
    "mentions",
    "rule",
    "strip_thinking",
]
