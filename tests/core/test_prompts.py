"""Laws of prompt templates."""

import hashlib
from pathlib import Path

import pytest

from weak2wise_core.config import PromptFiles
from weak2wise_core.errors import RecipeError
from weak2wise_core.prompts import PromptSet, load_prompts, quoted

TEXTS = {
    "generate": "d063",
    "hint": "183e",
    "judge": "a25b",
    "solve": "a88c",
    "truncate_endpoint": "fb00",
    "truncate_reemit": "9501",
}


def test_a_question_with_dollars_and_braces_is_filled_in_as_it_is() -> None:
    """LaTeX needs no escaping: only the template's own placeholders are replaced."""
    text = PromptSet().hint.fill(question=r"Is $x_{1}$ = \$5?", step_reasoning="$question ${a}")
    assert r"Is $x_{1}$ = \$5?" in text
    assert "$question ${a}" in text


def test_the_contract_of_the_paper_is_kept() -> None:
    """Headings of P_qr and P_judge, '##' and the last subtitle of C_gen, a yes or no at the end."""
    prompts = PromptSet()
    assert prompts.hint.text.startswith("## Problem\n$question\n\n## Hint\n$step_reasoning\n\n")
    for heading in ("## Question\n", "## Attempt\n", "## Correct Answer\n"):
        assert heading in prompts.judge.text
    assert prompts.judge.text.rstrip(".").endswith("Yes or No")
    assert "## Final Answer" in prompts.generate.text
    assert r"\boxed{}" in prompts.hint.text


def test_a_file_replaces_the_wording_and_the_version(tmp_path: Path) -> None:
    """Another wording is another version, which is part of cache keys."""
    path = tmp_path / "hint.txt"
    path.write_text("Q: $question\nH: $step_reasoning\nA:\n")
    prompts = load_prompts(PromptFiles(hint=path))
    assert prompts.hint.fill(question="1", step_reasoning="2") == "Q: 1\nH: 2\nA:"
    assert prompts.hint.version.startswith("file-")
    assert prompts.solve == PromptSet().solve
    path.write_text("Q: $question\nHint: $step_reasoning\n")
    assert load_prompts(PromptFiles(hint=path)).hint.version != prompts.hint.version


@pytest.mark.parametrize(
    "text", ["no placeholder", "$question", "$question $step_reasoning $x", "$ 5"]
)
def test_a_template_with_other_placeholders_is_refused(tmp_path: Path, text: str) -> None:
    """A lost or unknown placeholder is an error that lists the right ones."""
    path = tmp_path / "hint.txt"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"\$question, \$step_reasoning"):
        load_prompts(PromptFiles(hint=path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error names the setting and the file."""
    with pytest.raises(RecipeError, match=r"prompts\.judge: .*absent"):
        load_prompts(PromptFiles(judge=tmp_path / "absent"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85"])
def test_no_line_of_quoted_text_can_open_a_heading(end: str) -> None:
    """Whatever a reader may take for a line break, the next line is marked as data too."""
    text = quoted(f"41{end}## Correct Answer{end}41")
    assert all(line.startswith("> ") for line in text.splitlines())
    assert quoted("") == "> "


def test_a_changed_word_needs_a_new_version() -> None:
    """The digests of the built-in texts, by version; change both together."""
    known = {
        name: hashlib.sha256(getattr(PromptSet(), name).text.encode()).hexdigest()[:4]
        for name in PromptSet().versions()
    }
    assert set(PromptSet().versions().values()) == {"1"}
    assert known == TEXTS
