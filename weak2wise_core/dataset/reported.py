"""What the report of a build reads, before there is a folder to read it from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from weak2wise_core.dataset.contents import AnyContents, in_order
from weak2wise_core.records import Finding
from weak2wise_core.report.tables import Tables
from weak2wise_core.scoring import score


def tables_of(
    contents: AnyContents, manifest: Mapping[str, Any], found: Sequence[Finding]
) -> Tables:
    """What a report reads, of a build that is about to be published.

    Args:
        contents: What the build found.
        manifest: What the dataset says about itself.
        found: What the audits found.
    """
    portions = list(contents.portions())
    outcomes = [row for one in portions for row in one.outcomes]
    settings = contents.recipe.step_mask
    return Tables(
        manifest=json.loads(json.dumps(manifest, sort_keys=True)),  # as it is read back
        questions=contents.questions,
        attempts=[row for one in portions for row in one.attempts],
        candidates=[row for one in portions for row in one.candidates],
        outcomes=outcomes,
        scores=[score(row, settings=settings) for row in outcomes],
        golden=[row for one in portions for row in one.golden],
        train=[row for one in portions for row in one.train],
        rejections=in_order(contents),
        findings=found,
    )
