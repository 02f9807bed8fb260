"""A dataset of texts that would run, if a page took them for markup."""

from dataclasses import replace

from benchmarks.report_rows import made
from weak2wise_core.config import Selector
from weak2wise_core.dataset.contents import Contents

HOSTILE = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=2</script>",
    "<img src=x onerror=window.pwned=3>",
    "<svg onload=window.pwned=4><a href=javascript:window.pwned=5>a</a></svg>",
    '"><iframe srcdoc="<script>parent.pwned=6</script>">',
    "<style>*{display:none}</style><!-- ]]> {{7*7}} ${7*7}",
    "a\u202egnp.\u2066b\u2069\u200bc\u0007\ufeff",
)
ALL = "\n".join(HOSTILE)
LATEX = r"$\frac{a}{b} < \sqrt{2}$ & \(x\) \href{javascript:window.pwned=7}{x}"
TEXT = f"{ALL}\n{LATEX}"


def hostile(questions: int) -> Contents:
    """Every text that a file or a model wrote is hostile."""
    whole = made(questions, seed=5, measured=(Selector.LOG_PROBABILITY,))
    steps = f"## {TEXT}\n{TEXT}\n\n## \U0001f600 {HOSTILE[0]}\n{TEXT}\n\n## Final Answer\n4"
    return replace(
        whole,
        questions=tuple(
            replace(one, question=f"{TEXT} {one.id}", answer=ALL) for one in whole.questions
        ),
        attempts=tuple(replace(one, attempt=TEXT, model=ALL) for one in whole.attempts),
        candidates=tuple(
            replace(
                one,
                normal_reasoning=TEXT + one.normal_reasoning,
                step_reasoning=steps,
                model=ALL,
                detail=ALL,
                spent=tuple(replace(spent, returned=ALL) for spent in one.spent),
            )
            for one in whole.candidates
        ),
        outcomes=tuple(
            replace(one, attempts=tuple(TEXT for _ in one.attempts)) for one in whole.outcomes
        ),
        measures=tuple(replace(one, selector=ALL) for one in whole.measures),
        golden=tuple(
            replace(one, golden_reasoning=TEXT + one.golden_reasoning) for one in whole.golden
        ),
        rejections=tuple(replace(one, detail=ALL, reason=ALL) for one in whole.rejections),
    )
