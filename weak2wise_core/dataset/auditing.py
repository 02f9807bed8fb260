"""The audits of a build whose rows do not all fit into memory: one pass, question by question."""

from weak2wise_core.audits import Auditor
from weak2wise_core.dataset.contents import AnyContents, by_id, in_order
from weak2wise_core.records import Finding


def audit(contents: AnyContents) -> tuple[Finding, ...]:
    """What the audits find in a build."""
    auditor, questions = Auditor(), by_id(contents.questions)
    for portion in contents.portions():
        question = questions[portion.question_id]
        auditor.add(question, candidates=portion.candidates, train=portion.train)
    return auditor.findings(contents.questions, in_order(contents))
