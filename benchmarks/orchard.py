"""A small world behind a loopback server: questions about apples, and models that answer them.

Every reply follows from its request alone, so that two builds differ only by what goes wrong on
the way. One strong model streams, the other does not.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.loopback_replies import Reply
from weak2wise_core.config import Recipe
from weak2wise_core.recipes import parse_recipe

TOKENIZER = Path(__file__).parents[1] / "testbed" / "weak_model"
MODELS = ("weak", "plain", "streamed", "judge")
SOLVED_UNAIDED, NEVER_HELPED, ONE_TEACHER_HELPS = 0, 1, 2
"""What becomes of a question, by its number modulo 10; of others, either teacher helps."""
LATE_SEED = 3
"""From this seed on, every second question that was never helped is."""
USAGE = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}


def rows(count: int) -> list[dict[str, Any]]:
    """Questions with their answers."""
    return [
        {
            "id": f"q{number:03}",
            "question": f"Crate {number}: {number} apples and {number + 7} more, how many are it?",
            "answer": 2 * number + 7,
        }
        for number in range(count)
    ]


def write_rows(path: Path, content: Sequence[dict[str, Any]]) -> Path:
    """A question file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


def answer(request: dict[str, Any]) -> Reply:
    """What the asked model says."""
    texts = [str(message["content"]) for message in request["messages"]]
    number = int(re.findall(r"Crate (\d+):", "\n".join(texts))[0])
    total = 2 * number + 7
    if request["model"] == "weak":
        return _weak(number, total, texts[-1])
    if request["model"] == "judge":
        return _judge(total, texts[-1])
    return _strong(request["model"], number, total, seed=request.get("seed", 0))


def _weak(number: int, total: int, text: str) -> Reply:
    knows = number % 10 == SOLVED_UNAIDED or f"is {total}" in text
    return Reply(content=f"I think it is \\boxed{{{total if knows else -1}}}", usage=USAGE)


def _strong(name: str, number: int, total: int, *, seed: int) -> Reply:
    dumb = name == "streamed" and number % 10 == ONE_TEACHER_HELPS
    rescued = seed >= LATE_SEED and number % 20 == NEVER_HELPED
    helps = rescued or (number % 10 != NEVER_HELPED and not dumb)
    step = f"the whole is {total}, which follows by adding" if helps else "let us begin"
    thinking = f"{number} + {number + 7} makes {total}. " + "Let me check. " * (number % 3)
    content = f"## Adding\n{step}\n\n## Final Answer\n\\boxed{{{total}}}"
    return Reply(content=content, reasoning=thinking.strip(), usage=USAGE)


def _judge(total: int, text: str) -> Reply:
    attempt = "\n".join(re.findall(r"^> (.*)$", text, re.MULTILINE))
    return Reply(content="Yes" if f"boxed{{{total}}}" in attempt else "No", usage=USAGE)


def recipe_for(
    url: str | Sequence[str],
    questions: Path,
    *,
    entry: dict[str, Any] | None = None,
    **changes: Any,
) -> Recipe:
    """A small recipe: two strong models, one draw, two mask levels, quick retries.

    Args:
        url: Address of the server, or several of replicas.
        questions: The question file.
        entry: Settings of every model.
        changes: Sections of the recipe that replace these.
    """
    return parse_recipe(content_for(url, questions, entry=entry) | changes)


def content_for(
    url: str | Sequence[str], questions: Path, *, entry: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The same recipe as plain data."""
    urls = [url] if isinstance(url, str) else list(url)
    quick = {"backend": "openai", "base_urls": urls, "backoff_s": 0.005, "retries": 2, "seed": 1}
    entry = quick | (entry or {})
    return {
        "dataset": "orchard",
        "questions": {"path": str(questions)},
        "models": {
            "weak": entry | {"model": "weak", "tokenizer": str(TOKENIZER)},
            "strong": [
                entry | {"name": "plain", "model": "plain"},
                entry | {"name": "streamed", "model": "streamed", "stream": True},
            ],
        },
        "generate": {"samples_per_model": 1},
        "step_mask": {"granularity": 2},
        "judging": {"method": "rule"},
        "truncation": {"method": "rule", "over_tokens": 0},
        "sft": {"max_tokens": 4096},
        "execution": {"max_quarantine_fraction": 1.0, "speculate": "never"},
    }
