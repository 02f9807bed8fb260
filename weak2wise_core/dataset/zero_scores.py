"""What became of the questions that no candidate helped with (section 3.5), in figures.

Dropped and kept ones are counted elsewhere in the manifest; here is what drawing again and asking
people have brought.
"""

from weak2wise_core.config import ZeroScoreAction
from weak2wise_core.dataset.contents import Findings

AWAITING = "awaiting_annotation"
"""The reason of a rejection that waits for a person."""


def zero_scores(findings: Findings) -> dict[str, int]:
    """Counts for the manifest; empty where the recipe neither draws again nor asks people.

    `resample`: the questions that were drawn again, the further candidates, and how many of these
    questions have a golden reasoning now. `annotate`: the questions that wait for a person, and
    those whose golden reasoning a person wrote.
    """
    action, count = findings.recipe.zero_score.action, findings.tally.count
    if action is ZeroScoreAction.RESAMPLE:
        return {
            "drawn_again": count("further", "questions"),
            "further_candidates": count("further", "candidates"),
            "rescued": count("further", "rescued"),
        }
    if action is ZeroScoreAction.ANNOTATE:
        return {
            "awaiting": sum(item.reason == AWAITING for item in findings.rejections),
            "annotated": count("annotated"),
        }
    return {}
