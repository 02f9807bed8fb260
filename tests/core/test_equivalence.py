import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weak2wise_core.equivalence import AnswerChecker, MathVerifyPool
from weak2wise_core.records import Verdict

pytestmark = pytest.mark.slow  # a process that knows algebra takes more than a second to start

TOWER = "9^{9^{9^{9}}}"
CORRECT, INCORRECT, UNJUDGED = Verdict.CORRECT, Verdict.INCORRECT, Verdict.UNJUDGED


@pytest.fixture(scope="module")
def pool() -> Iterator[MathVerifyPool]:
    """One pool for all tests that do not close theirs."""
    with MathVerifyPool(timeout_s=20.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def checker(pool: MathVerifyPool) -> AnswerChecker:
    """A checker on the shared pool."""
    return AnswerChecker(pool=pool)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\sqrt{12}", r"2\sqrt{3}"),
        (r"\frac{2}{\sqrt{6}}", r"\frac{\sqrt{6}}{3}"),
        ("(a+b)^2", "a^2+2ab+b^2"),
        (r"\cos^2 t", r"1-\sin^2 t"),
        ("2 + 2i", "2(1 + i)"),
        (r"\binom{7}{2}", "21"),
        (r"\log_3 81", "4"),
        (r"\{1, \sqrt{5}\}", r"\{\sqrt{5}, 1\}"),
        (r"(1, \frac{\pi}{3})", r"(1, \pi/3)"),
        ("3x - y + 2 = 0", "y = 3x + 2"),
        (r"x \ge 4", r"4 \le x"),
        (r"(-1, 6)", "-1 < x < 6"),
        (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{bmatrix} 1 & 2 \end{bmatrix}"),
    ],
)
def test_algebra_proves_equality(pool: MathVerifyPool, gold: str, answer: str) -> None:
    """Another form of the same expression is equal."""
    assert pool.verify(gold, answer) is True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"2\sqrt{3}", r"3\sqrt{2}"),
        (r"2\pi", "2"),
        ("x+2n+1", "x+1"),
        ("2^n", "2^{n+1}"),
        ("3x - y + 2 = 0", "y = 3x + 1"),
        (r"x \ge 4", "x > 4"),
        (r"(1, \sqrt{2})", r"(1, \sqrt{3})"),
        (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 2 & 1 \end{pmatrix}"),
    ],
)
def test_numbers_disprove_equality(pool: MathVerifyPool, gold: str, answer: str) -> None:
    """Expressions that differ at a point, or in a part, differ."""
    assert pool.verify(gold, answer) is False


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{2}{3}", "0.6666667"),
        (r"\sqrt{2}", "1.4142136"),
        (r"\pi", "3.14"),
        (r"\log 3", r"\ln 3"),
        ("5", "2x = 5"),
        (r"\sqrt{2}", r"\sqrt{2} m"),
        (r"k\pi", r"n\pi"),
        ("t^2", "x^2"),
        ("1", "+("),
        ("1", "x" * 700),
    ],
)
def test_what_algebra_cannot_know_is_undecided(
    pool: MathVerifyPool, gold: str, answer: str
) -> None:
    """Rounding, bases of logarithms, units and other names are neither proved nor disproved."""
    assert pool.verify(gold, answer) is None


def test_no_process_runs_before_it_is_needed() -> None:
    """Opening and closing a pool costs nothing."""
    with MathVerifyPool(processes=4) as lazy:
        assert not lazy._workers


@pytest.mark.parametrize(
    "bomb",
    [TOWER, "10^{10^{10}}!", "(" * 280 + "1" + ")" * 280, r"\frac{" * 80 + "1" + "}{2}" * 80],
)
def test_a_bomb_harms_nobody(bomb: str) -> None:
    """What takes too long is undecided in bounded time, and the next pair is answered."""
    with MathVerifyPool(timeout_s=1.0) as small:
        small.verify("a", "b")
        started = time.perf_counter()
        assert small.verify("1", bomb) is not True
        assert time.perf_counter() - started < 60.0  # left alone, years
        answered = {small.verify("(a+b)^2", "a^2+2ab+b^2") for _ in range(3)}
        assert any(answer is True for answer in answered)


def test_a_killed_process_is_replaced() -> None:
    """A worker that somebody kills is noticed before the next pair."""
    with MathVerifyPool(timeout_s=20.0) as small:
        assert small.verify("a+b", "b+a") is True
        (worker,) = small._workers
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        assert small.verify("a+b", "b+a") is True
        assert worker not in small._workers


def test_any_thread_may_ask() -> None:
    """Eight threads on two processes get the outcomes of their own pairs."""
    pairs = [(f"{n}x+{n}", f"{n}(x+{1 + n % 2})") for n in range(1, 25)]
    with MathVerifyPool(processes=2, timeout_s=20.0) as two, ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda pair: two.verify(*pair), pairs))
        assert len(two._workers) == 2
    assert outcomes == [n % 2 == 0 for n in range(1, 25)]


def test_closing_does_not_wait_for_a_bomb() -> None:
    """A comparison under way when the pool closes is undecided; a later one is refused."""
    closing = MathVerifyPool(timeout_s=60.0)
    closing.verify("a", "b")
    outcomes: list[bool | None] = []
    asking = threading.Thread(target=lambda: outcomes.append(closing.verify("1", TOWER)))
    asking.start()
    time.sleep(0.3)
    closing.close()
    asking.join(timeout=30.0)  # the pool alone would wait for 60
    assert outcomes == [None]
    closing.close()
    with pytest.raises(RuntimeError, match="closed"):
        closing.verify("a", "b")


def test_a_worker_outlives_its_parent_by_seconds_only(tmp_path: Path, repository: Path) -> None:
    """Even in the midst of a bomb a worker ends by itself where nobody is left to kill it."""
    script = textwrap.dedent(
        f"""
        import sys, threading, time
        from weak2wise_core.equivalence import MathVerifyPool
        pool = MathVerifyPool(timeout_s=0.5)
        pool.verify("a", "b")
        (worker,) = pool._workers
        threading.Thread(target=pool.verify, args=("1", "{TOWER}")).start()
        sys.stdout.write(str(worker._process.pid) + "\\n")
        sys.stdout.flush()
        time.sleep(60)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=repository
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30.0
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    """Whether a process exists and is more than an entry that its parent has not read."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("settings", [{"processes": 0}, {"timeout_s": 0.0}])
def test_an_impossible_pool_is_refused(settings: dict[str, int]) -> None:
    """A pool without processes or without time could answer nothing."""
    with pytest.raises(ValueError, match="positive"):
        MathVerifyPool(**settings)


@pytest.mark.parametrize(
    ("gold", "attempt", "verdict"),
    [
        ("18", r"\boxed{18}", CORRECT),
        ("18", "9 * 2 = 20, so she makes 20 dollars.", INCORRECT),
        (r"2\sqrt{3}", r"Hence \boxed{\sqrt{12}}.", CORRECT),
        (r"2\sqrt{3}", r"Hence \boxed{\sqrt{18}}.", INCORRECT),
        (r"2\sqrt{3}\text{ cm}", r"Hence \boxed{\sqrt{12}}.", CORRECT),
        (r"2\sqrt{3}\text{ cm}", r"Hence \boxed{\sqrt{12}\text{ mm}}.", UNJUDGED),
        (r"\frac{\sqrt{2}}{2}", r"\boxed{\sin 45^\circ}", CORRECT),
        (r"\frac{\pi}{4}", r"\boxed{45^\circ}", UNJUDGED),
        ("all primes", r"\boxed{\text{odd numbers}}", UNJUDGED),
        ("5", r"\boxed{2x = 5}", UNJUDGED),
        ("7, 3", r"\boxed{3, 7}", UNJUDGED),
        ("18", "<think>is it 18?", INCORRECT),
        ("18", "", INCORRECT),
        ("", "18", UNJUDGED),
        (r"\sqrt{3}", rf"\boxed{{{'{' * 10_000}3{'}' * 10_000}}}", UNJUDGED),
    ],
)
async def test_rules_and_algebra_join_to_a_verdict(
    checker: AnswerChecker, gold: str, attempt: str, verdict: Verdict
) -> None:
    """Both ways to ask give one verdict, and what nobody is certain of is not judged."""
    assert checker.check(gold, attempt) is verdict
    assert await checker.acheck(gold, attempt) is verdict


async def test_the_event_loop_goes_on_while_algebra_works() -> None:
    """A slow comparison holds up its own caller, not the loop."""
    with AnswerChecker(pool=MathVerifyPool(timeout_s=2.0)) as slow:
        await slow.acheck("x", r"\boxed{y}")
        judging = asyncio.create_task(slow.acheck("x", rf"\boxed{{x + {TOWER}}}"))
        ticks = 0
        while not judging.done():
            await asyncio.sleep(0.02)
            ticks += 1
    assert judging.result() is UNJUDGED
    assert ticks > 5  # about a hundred on a free machine, 1 on a loop that is held up


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of one file of real data."""
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def expected(row: dict[str, str]) -> Verdict:
    """What people said about an attempt."""
    return CORRECT if row.get("label", row.get("correct")) else INCORRECT


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("verify/gsm8k_attempts_labelled.jsonl", 0.99),
        ("attempts/gsm8k_openai_6b_175b.jsonl", 0.99),
        ("verify/hendrycks_is_equiv_tests.jsonl", 0.85),
        ("verify/shortqa_human_600.jsonl", 0.05),
    ],
)
def test_verdicts_agree_with_people(
    checker: AnswerChecker, shared_data: Path, name: str, least: float
) -> None:
    """Few right or wrong attempts are left unjudged, and no wrong one passes for right."""
    checked = [(checker.check(row["gold"], row["attempt"]), row) for row in rows(shared_data, name)]
    passed = [row for verdict, row in checked if verdict is CORRECT is not expected(row)]
    assert not passed
    assert statistics.mean(verdict is expected(row) for verdict, row in checked) >= least


def test_verdicts_agree_with_the_tests_of_math_verify(
    checker: AnswerChecker, shared_data: Path
) -> None:
    """At least 96 of 100 pairs; one label says that an inline formula may hold no line break."""
    checked = [
        (checker.check(row["gold"], row["attempt"]), row)
        for row in rows(shared_data, "verify/math_pairs_from_mathverify.jsonl")
    ]
    passed = [row for verdict, row in checked if verdict is CORRECT is not expected(row)]
    assert [row["attempt"] for row in passed] == ["Answer \\( \n 9 \n \\)"]
    assert statistics.mean(verdict is expected(row) for verdict, row in checked) >= 0.96


def test_a_check_is_cheap(checker: AnswerChecker, shared_data: Path) -> None:
    """The median check of a real attempt takes less than 5 ms, on a busy machine too."""
    costs = []
    for row in rows(shared_data, "verify/gsm8k_attempts_labelled.jsonl"):
        started = time.perf_counter()
        checker.check(row["gold"], row["attempt"])
        costs.append(time.perf_counter() - started)
    assert statistics.median(costs) < 0.005
