"""Canned replies in every shape that models, servers and templates give an answer.

Each shape is tried with the right answer and with a wrong one.
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.loopback_replies import Reply
from weak2wise_core.evaluation.choices import LETTERS, in_order

# What a reply says where N stands for a whole number: any of them states it.
WHOLE = (
    r"\boxed{N}",
    r"\boxed{0N}",
    r"\boxed{N.0}",
    r"\boxed{N.}",
    r"\boxed{ N }",
    r"\boxed {N}",
    r"\fbox{N}",
    r"\boxed{\text{N}}",
    r"\boxed{\mathbf{N}}",
    r"\boxed{(N)}",
    r"\boxed{N^\circ}",
    r"\boxed{m + n = N}",
    r"$$\boxed{0N}$$",
    r"So $m+n=\boxed{N}$.",
    r"\boxed{N}<|im_end|>",
    r"**Final Answer**: \boxed{N}",
    r"\boxed{7} wait, that is another number: \boxed{N}",
    "N",
    "N.",
    "0N",
    "**N**",
    r"\(N\)",
    "Answer: N",
    "A: N",
    "#### N",
    "The answer is N.",
    "The answer is **N**.",
    "The final answer is $0N$.",
    "Question: how many? Let me think.\nThe answer is N.",
    "## Final Answer\nN",
    "## Final Answer\n\nThe answer is N.",
    "So there are N ways.",
    '{"reasoning": "counted", "answer": "N"}',
    "Therefore, 11 + 22 is not it, and the answer is N.",
)

# How thinking and answer come from a server; ANSWER stands for a statement such as the above.
WAYS: tuple[dict[str, Any], ...] = (
    {"content": "ANSWER"},
    {"content": "<think>Maybe 12, \\boxed{12}.</think>\n\nANSWER"},
    {"content": "<think> Maybe 12. </think> ANSWER"},
    {"content": "No opening tag, maybe \\boxed{12}.\n</think>\n\nANSWER"},
    {"content": "<think>a</think>b \\boxed{12}</think>ANSWER"},
    {"content": "ANSWER", "reasoning": "Maybe \\boxed{12}."},
    {"content": "ANSWER", "reasoning": "Maybe \\boxed{12}.", "reasoning_field": "reasoning"},
    {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Maybe \\boxed{12}."}]},
            {"type": "text", "text": "ANSWER"},
        ]
    },
    {"content": "ANSWER", "finish_reason": None},
    {"content": "<think>Short.</think>ANSWER And on it goes", "finish_reason": "length"},
)

# Thinking that never ended: whatever it says, there is no answer in it.
UNFINISHED: tuple[dict[str, Any], ...] = (
    {"content": "<think> maybe \\boxed{N}", "finish_reason": "length"},
    {"content": "<think> maybe \\boxed{N}", "finish_reason": "stop"},
    {"content": None, "reasoning": "So \\boxed{N}", "finish_reason": "length"},
    {"content": "", "reasoning": "So \\boxed{N}", "finish_reason": "stop"},
    {"content": "First </think> done <think> so \\boxed{N}", "finish_reason": "length"},
    # without any tag: known for what it is by the model's other replies
    {"content": "I keep thinking, it could be \\boxed{N}, or", "finish_reason": "length"},
)

# Right in no reading, though 33 stands in them.
NEVER_33 = (
    "",
    "It is not 33.",
    r"\boxed{-33}",
    r"\boxed{3.3}",
    r"\boxed{330}",
    r"\boxed{0.33}",
    r"\boxed{\frac{33}{2}}",
    r"\boxed{33} Wait, this is wrong: \boxed{35}",
    "33 or 34",
    r"\boxed{33, 34}",
    r"\boxed{33x}",
)

# Ground truth and another way to write it.
SAME = (
    (r"3 \times 10^8", "3e8"),
    ("300000000", "3e8"),
    ("0.000123", "1.23e-4"),
    (r"\frac{5}{2}", "2 1/2"),
    (r"\frac{5}{2}", "2.5"),
    (r"\frac{14}{3}", r"4\frac{2}{3}"),
    ("10000", r"10\,000"),
    ("10080", "10,080"),
    ("(1,2)", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1, 2)"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    (r"(2,\infty)", "x > 2"),
    ("[-2,7]", r"-2 \le x \le 7"),
    ("12", "B. 12"),
    ("1,-2", "-2, 1"),
    ("3, 5, 7", "7, 3, 5"),
    (r"1 \pm \sqrt{19}", r"1 + \sqrt{19}, 1 - \sqrt{19}"),
    (r"\pm 2", "2, -2"),
    (r"\frac{3\sqrt{3}}{4}", r"\frac{3}{4}\sqrt{3}"),
    (r"\sqrt{51}", r"51^{\frac{1}{2}}"),
    ("x^2 - 1", "(x-1)(x+1)"),
    ("2k+2", "2(k+1)"),
    ("p - q", "-q + p"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"),
    ("6 - 5i", "6-5i"),
    (r"90^\circ", "90"),
    (r"\$36", "36"),
    (r"28\%", "28"),
    ("4343_6", "4343"),
    (r"\text{Evelyn}", "evelyn"),
    (r"\text{(C)}", "C"),
    ("y = 2x + 3", "2x + 3"),
    (r"5.4 \text{ cents}", "5.4"),
    ("-50", "-50.0"),
)

# Ground truth and what must not be taken for it.
NOT_SAME = (
    ("5 m", "5 cm"),
    (r"\frac{1}{3}", "0.3333333"),
    ("1,-2", "2, -1"),
    ("1,2,3", "3, 2, 2"),
    ("(1,2)", "(2,1)"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
    (r"(2,\infty)", r"x \ge 2"),
    (r"\frac{5}{2}", "2 1/3"),
    ("3e8", "3e9"),
    ("12", "B. 13"),
    ("x^2 - 1", "x^2 + 1"),
    (r"\text{Evelyn}", r"\text{Briana}"),
)

# LETTER and TEXT stand for a choice.
CHOICE = (
    r"\boxed{LETTER}",
    r"\boxed{\text{LETTER}}",
    r"\boxed{(LETTER)}",
    r"\boxed{\text{(LETTER)}}",
    r"\boxed{\textbf{LETTER}}",
    r"\boxed{LETTER) TEXT}",
    r"\boxed{\text{LETTER. TEXT}}",
    r"\boxed{\text{Choice LETTER}}",
    r"\boxed{\text{TEXT}}",
    r"So the answer is $\boxed{LETTER}$.",
    "LETTER",
    "LETTER.",
    "LETTER)",
    "(LETTER)",
    "**LETTER**",
    "**(LETTER)**",
    "Answer: LETTER",
    "Answer: (LETTER)",
    "**Answer:** LETTER",
    "**Answer: LETTER**",
    "Final Answer: **LETTER) TEXT**",
    "The answer is LETTER.",
    "The answer is (LETTER).",
    "The correct answer is (LETTER) TEXT",
    "The correct option is **LETTER**.",
    "Thus, the correct answer is:\n\n**LETTER**",
    "Therefore, option LETTER is correct.",
    "Therefore, choice (LETTER) is right.",
    "So LETTER is correct.",
    "Option LETTER",
    "## Final Answer\n(LETTER) TEXT",
    "#### LETTER",
    '{"answer": "LETTER"}',
    "Answer: LETTER\n\nExplanation: the other choices are wrong.",
    "TEXT",
    "The answer is TEXT.",
    "Answer: TEXT",
    "It must be the TEXT.",
)


def whole_replies(number: int) -> Iterator[Reply]:
    """Replies that state a whole number, in every shape and every way."""
    for shape in WHOLE:
        yield Reply(content=shape.replace("N", str(number)))
    for way in WAYS:
        for shape in WHOLE[:2]:
            yield spoken(way, ANSWER=shape.replace("N", str(number)))


def unfinished_replies(number: int) -> Iterator[Reply]:
    """Replies whose thinking never ended."""
    return (spoken(way, N=str(number)) for way in UNFINISHED)


def choice_replies(letter: str, text: str) -> Iterator[Reply]:
    """Replies that name a choice, in every shape and every way."""
    for shape in CHOICE:
        yield Reply(content=shape.replace("LETTER", letter).replace("TEXT", text))
    for way in WAYS:
        yield spoken(way, ANSWER=f"\\boxed{{{letter}}}")


def spoken(way: dict[str, Any], **values: str) -> Reply:
    """A reply with the placeholders filled in, wherever they stand."""

    def filled(part: Any) -> Any:
        if isinstance(part, list):
            return [filled(item) for item in part]
        if isinstance(part, dict):
            return {key: filled(item) for key, item in part.items()}
        if isinstance(part, str):
            for name, value in values.items():
                part = part.replace(name, value)
        return part

    return Reply(**filled(way))


CHOICES = ("aldolase", "pyruvate kinase", "hexokinase", "enolase")
"""The right one first, as a file gives them."""


def gold_letter(question: str) -> str:
    """Under which letter the first of `CHOICES` is shown."""
    return LETTERS[in_order(question, CHOICES).index(CHOICES[0])]
