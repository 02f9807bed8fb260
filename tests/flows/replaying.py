"""A server that answers from recorded replies of real models.

Each row brings a question, two attempts of weak models and traces of four strong ones. The strong
models' visible text is put under '##' titles, as for imported traces; every word is theirs.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.loopback_replies import Reply
from weak2wise_core.answers import Agreement, find_mentions, rule
from weak2wise_core.importing import with_titles
from weak2wise_core.truncation import sentence_end


class Replay:
    """The script of the server: finds the row by its question and answers in the asked role."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = {row["question"]: row for row in rows}

    def __call__(self, request: Mapping[str, Any]) -> Reply:
        """The recorded reply that fits a request."""
        texts = [str(message["content"]) for message in request["messages"]]
        row = next(row for text, row in self._rows.items() if any(text in one for one in texts))
        model = str(request["model"])
        if model == "weak":
            return Reply(content=self._weak(row, texts[-1]))
        if model == "judge":
            return Reply(content=self._judge(row, texts[-1]))
        if model == "truncator":
            return Reply(content=self._endpoint(row, texts[-1]))
        trace = row["candidates"][int(model.removeprefix("strong-"))]
        return Reply(content=with_titles(trace["content"]), reasoning=trace["reasoning_content"])

    def _weak(self, row: Mapping[str, Any], prompt: str) -> str:
        """Unaided, the weaker attempt; with a hint that still shows the answer, the better one."""
        hint = prompt.partition("## Hint\n")[2]
        told = any(True for _ in find_mentions(hint, row["answer"]))
        return str(row["weak"][told]["attempt"])

    def _judge(self, row: Mapping[str, Any], prompt: str) -> str:
        attempt = "\n".join(re.findall(r"^> (.*)$", prompt, re.MULTILINE))
        agrees = rule(row["answer"], attempt).agreement is Agreement.AGREE
        return "I compared them.\n\n" + ("**Yes**" if agrees else "No.")

    def _endpoint(self, row: Mapping[str, Any], prompt: str) -> str:
        trace = prompt.partition("## Reasoning\n")[2]
        start, end = next(find_mentions(trace, row["answer"]))
        begins = max(trace.rfind(". ", 0, start), trace.rfind("\n", 0, start)) + 1
        return trace[begins : sentence_end(trace, end)].strip()
