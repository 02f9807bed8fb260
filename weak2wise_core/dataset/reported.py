"""What the report of a build reads, before there is a folder to read it from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from weak2wise_core.dataset.contents import AnyContents, in_order
from weak2wise_core.records import Finding
from weak2wise_core.report.tables import Tables


def tables_of(
    contents: AnyContents, manifest: Mapping[str, Any], found: Sequence[Finding]
) -> Tables:
    """What a report reads, of a build that is about to be published.

    Args:
        contents: What the build found.
        manifest: What the dataset says about itself.
        found: What the audits found.
    """
    return Tables(
        manifest=json.loads(json.dumps(manifest, sort_keys=True)),  # as it is read back
        questions=contents.questions,
        portions=contents.portions,
        rejections=in_order(contents),
        findings=found,
    )
