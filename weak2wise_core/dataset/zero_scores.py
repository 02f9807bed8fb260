"""What became of the questions that no candidate helped with (section 3.5), in figures.

Dropped and kept ones are counted elsewhere in the manifest; here is what drawing again and asking
people have brought.
"""

from weak2wise_core.config import ZeroScoreAction
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.records import GoldenSource

AWAITING = "awaiting_annotation"
"""The reason of a rejection that waits for a person."""


def zero_scores(contents: Contents) -> dict[str, int]:
    """Counts for the manifest; empty where the recipe neither draws again nor asks people.

    `resample`: the questions that were drawn again, the further candidates, and how many of these
    questions have a golden reasoning now. `annotate`: the questions that wait for a person, and
    those whose golden reasoning a person wrote.
    """
    action = contents.recipe.zero_score.action
    if action is ZeroScoreAction.RESAMPLE:
        return _drawn_again(contents)
    if action is ZeroScoreAction.ANNOTATE:
        return {
            "awaiting": sum(item.reason == AWAITING for item in contents.rejections),
            "annotated": sum(row.source is GoldenSource.ANNOTATION for row in contents.golden),
        }
    return {}


def _drawn_again(contents: Contents) -> dict[str, int]:
    first_round = contents.recipe.generate.samples_per_model
    drawn = {spec.name for spec in contents.recipe.models.strong}
    further = [
        one for one in contents.candidates if one.strong_model in drawn and one.draw >= first_round
    ]
    questions = {one.question_id for one in further}
    return {
        "drawn_again": len(questions),
        "further_candidates": len(further),
        "rescued": sum(row.question_id in questions for row in contents.golden),
    }
