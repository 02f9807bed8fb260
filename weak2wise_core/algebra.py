"""Equality of expressions by computer algebra: the inside of a process that may be killed.

Answers are untrusted, and algebra has no bound: a short tower of powers keeps sympy busy for years.
So this module is run by `python -m weak2wise_core.algebra`, under a limit of memory and an alarm
that ends the process even where its parent is gone; see `weak2wise_core.equivalence`.
"""

import itertools
import json
import logging
import re
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

MEMORY_LIMIT = 4 << 30
GRACE_S = 2.0
FAR = 1e-9
FAR_FROM_DECIMAL = 2e-2
DIGITS = 30

_FAILURES = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


def decide(gold: str, answer: str) -> bool | None:
    r"""Compare two expressions.

    Args:
        gold: The ground truth, as LaTeX or plain formula.
        answer: The answer of an attempt, likewise.

    Returns:
        True where algebra proves them equal and numbers do not contradict; False where they differ
        in value, at a point, or in a part; None where neither is certain.

    Departure: Math-Verify alone takes `1/3` for `0.3333333`, and its "not equal" also means "not
    understood".
    """
    ours, theirs = _parsed(gold), _parsed(answer)
    if ours is None or theirs is None:
        return None
    if _equal(ours, theirs):
        return None if _differ(ours, theirs, exactly=True) else True
    if _has_bare_log(gold) != _has_bare_log(answer):
        return None  # its base may be 10 or e
    return False if _differ(ours, theirs, exactly=False) else None


def _has_bare_log(text: str) -> bool:
    return re.search(r"log(?!\s?_|[a-z])", text) is not None


def _parsed(text: str) -> Any:
    from math_verify import parse
    from sympy import Basic, MatrixBase

    found = parse(f"\\boxed{{{text}}}", parsing_timeout=None)
    return next((one for one in found if isinstance(one, Basic | MatrixBase)), None)


def _equal(ours: Any, theirs: Any) -> bool:
    from math_verify import verify

    return bool(
        verify(ours, theirs, float_rounding=12, allow_set_relation_comp=True, timeout_seconds=None)
    )


def _differ(ours: Any, theirs: Any, *, exactly: bool) -> bool:
    """Whether two parsed answers certainly differ; `exactly` counts rounding as a difference."""
    from sympy import Expr, FiniteSet, Interval, MatrixBase, Tuple
    from sympy.core.relational import Relational

    ours, theirs = _value(ours), _value(theirs)
    if isinstance(ours, Tuple) and isinstance(theirs, Tuple):
        return _parts_differ(ours.args, theirs.args, exactly=exactly)
    if isinstance(ours, MatrixBase) and isinstance(theirs, MatrixBase):
        return ours.shape != theirs.shape or _parts_differ(
            list(ours), list(theirs), exactly=exactly
        )
    if isinstance(ours, Interval) and isinstance(theirs, Interval):
        return _intervals_differ(ours, theirs, exactly=exactly)
    if isinstance(ours, Relational) and isinstance(theirs, Relational):
        return not exactly and _relations_differ(ours, theirs)
    if isinstance(ours, Expr | FiniteSet) and isinstance(theirs, Expr | FiniteSet):
        return _bags_differ(_members(ours), _members(theirs), exactly=exactly)
    return False


def _value(parsed: Any) -> Any:
    """What an assignment assigns; everything else as it is."""
    from sympy import Eq, Symbol

    if isinstance(parsed, Eq) and isinstance(parsed.lhs, Symbol):
        return parsed.rhs
    return parsed


def _members(parsed: Any) -> Sequence[Any]:
    from sympy import FiniteSet

    return list(parsed.args) if isinstance(parsed, FiniteSet) else [parsed]


def _parts_differ(ours: Sequence[Any], theirs: Sequence[Any], *, exactly: bool) -> bool:
    if len(ours) != len(theirs):
        return True
    return any(_apart(a, b, exactly=exactly) for a, b in zip(ours, theirs, strict=True))


def _bags_differ(ours: Sequence[Any], theirs: Sequence[Any], *, exactly: bool) -> bool:
    """Some member of the one is far from every member of the other."""
    return any(
        all(_apart(a, b, exactly=exactly) for b in others)
        for members, others in ((ours, theirs), (theirs, ours))
        for a in members
    )


def _intervals_differ(ours: Any, theirs: Any, *, exactly: bool) -> bool:
    brackets = (ours.left_open, ours.right_open) != (theirs.left_open, theirs.right_open)
    ends = _parts_differ((ours.start, ours.end), (theirs.start, theirs.end), exactly=exactly)
    return brackets or ends


def _apart(ours: Any, theirs: Any, *, exactly: bool) -> bool:
    """Whether two expressions differ at some of a few points; never for what cannot be evaluated."""
    from sympy import Expr, Float

    ours, theirs = _value(ours), _value(theirs)
    if not isinstance(ours, Expr) or not isinstance(theirs, Expr):
        return False
    symbols = sorted(ours.free_symbols | theirs.free_symbols, key=str)
    if len(symbols) > max(len(ours.free_symbols), len(theirs.free_symbols)):
        return False  # each has a symbol of its own: the one may be the other, renamed
    rounded = not exactly and (ours.has(Float) or theirs.has(Float))
    limit = FAR_FROM_DECIMAL if rounded else FAR
    return any(_distance(ours, theirs, point) > limit for point in _points(symbols))


def _points(symbols: Sequence[Any]) -> list[dict[Any, int]]:
    """Whole positive points: a symbol may stand for a count, a length or an exponent."""
    primes = itertools.cycle((2, 3, 5, 7, 11, 13))
    return [{symbol: next(primes) + shift for symbol in symbols} for shift in (0, 1, 4)]


def _distance(ours: Any, theirs: Any, point: dict[Any, int]) -> float:
    """Relative distance of two values, 0 where one of them is no finite number."""
    try:
        a, b = (complex(one.subs(point).evalf(DIGITS)) for one in (ours, theirs))
        return float(abs(a - b) / max(abs(a), abs(b), 1e-300))
    except _FAILURES:
        return 0.0


def _relations_differ(ours: Any, theirs: Any) -> bool:
    from sympy import Eq

    if ours.free_symbols != theirs.free_symbols:
        return False
    if isinstance(ours, Eq) and isinstance(theirs, Eq):
        return _lines_differ(ours, theirs)
    if isinstance(ours, Eq) or isinstance(theirs, Eq) or len(ours.free_symbols) != 1:
        return False
    symbol = next(iter(ours.free_symbols))
    return any(_holds(ours, symbol, at) != _holds(theirs, symbol, at) for at in _near(ours, theirs))


def _lines_differ(ours: Any, theirs: Any) -> bool:
    """Two linear equations say the same if and only if one is a multiple of the other."""
    from sympy import Poly
    from sympy.polys.polyerrors import PolynomialError

    symbols = sorted(ours.free_symbols, key=str)
    try:
        first, second = (Poly(one.lhs - one.rhs, *symbols) for one in (ours, theirs))
    except PolynomialError:
        return False
    if first.total_degree() != 1 or second.total_degree() != 1:
        return False
    monomials = sorted({*first.monoms(), *second.monoms()})
    a, b = ([one.coeff_monomial(m) for m in monomials] for one in (first, second))
    return any(
        _apart(a[i] * b[j], a[j] * b[i], exactly=False)
        for i, j in itertools.combinations(range(len(monomials)), 2)
    )


def _near(*relations: Any) -> list[Any]:
    """The numbers that stand in relations, and points between and around them."""
    from sympy import Number, Rational

    numbers = {abs(n) for one in relations for n in one.atoms(Number) if n.is_finite} | {0, 1}
    signed = sorted({*numbers, *(-n for n in numbers)})[:24]
    between = [(a + b) / 2 for a, b in itertools.pairwise(signed)]
    return [*signed, *between, signed[0] - Rational(1, 2), signed[-1] + Rational(1, 2)]


def _holds(relation: Any, symbol: Any, at: Any) -> bool | None:
    try:
        return bool(relation.subs(symbol, at))
    except _FAILURES:
        return None


def serve(connection: Connection) -> None:
    """Answer pairs of expressions, one at a time, until the other end hangs up."""
    connection.send_bytes(b"ready")
    while True:
        try:
            gold, answer, seconds = json.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_S)  # ends the process, not the call
        try:
            outcome = decide(gold, answer)
        except _FAILURES:
            outcome = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(json.dumps(outcome).encode())


def _limit_memory() -> None:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    except (OSError, ValueError):  # macOS knows the limit and refuses to set it
        return


def main() -> None:
    """Serve the connection whose file descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    logging.disable(logging.CRITICAL)
    _limit_memory()
    import math_verify  # noqa: F401  # loaded before the first pair is timed

    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
