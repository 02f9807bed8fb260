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

import sympy  # type: ignore[import-untyped]
from latex2sympy2_extended import NormalizationConfig  # type: ignore[import-untyped]
from math_verify import LatexExtractionConfig, parse, verify
from sympy.core.function import AppliedUndef  # type: ignore[import-untyped]

MEMORY_LIMIT = 4 << 30
GRACE_S = 2.0
FAR = 1e-9
FAR_FROM_DECIMAL = 2e-2
DIGITS = 30
TINY = 1e-20

# Math-Verify's own default drops units, so that 5 m would be 5 cm.
_EXTRACTION = (
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True,
            units=False,
            malformed_operators=True,
            nits=True,
            boxed="all",
            equations=False,
        )
    ),
)

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
    if ours is None or theirs is None or not _comparable(ours, theirs):
        return None
    if _equal(ours, theirs):
        return None if _differ(ours, theirs, exactly=True) else True
    if _has_bare_log(gold) != _has_bare_log(answer):
        return None  # its base may be 10 or e
    return False if _differ(ours, theirs, exactly=False) else None


def _comparable(ours: Any, theirs: Any) -> bool:
    """Not an equation such as `2x = 5` with a value: Math-Verify would take it for 5."""
    return {_says(ours), _says(theirs)} != {"equation", "value"}


def _says(parsed: Any) -> str:
    grouped = isinstance(parsed, sympy.FiniteSet | sympy.Tuple | sympy.And)
    equations = [one for one in (parsed.args if grouped else [parsed]) if isinstance(one, sympy.Eq)]
    if not equations:
        return "value"
    return "assignment" if all(map(_is_assignment, equations)) else "equation"


def _is_assignment(parsed: Any) -> bool:
    return isinstance(parsed, sympy.Eq) and isinstance(parsed.lhs, sympy.Symbol | AppliedUndef)


def _has_bare_log(text: str) -> bool:
    return re.search(r"log(?!\s?_|[a-z])", text) is not None


def _parsed(text: str) -> Any:
    found = parse(f"\\boxed{{{text}}}", extraction_config=_EXTRACTION, parsing_timeout=None)
    parsed = next((one for one in found if isinstance(one, sympy.Basic | sympy.MatrixBase)), None)
    if not isinstance(parsed, sympy.Expr | sympy.MatrixBase):
        return parsed
    # The parser makes `i` real in "2i" and complex in "2(1 + i)": two symbols of one name.
    return parsed.xreplace({one: sympy.Symbol(one.name, real=True) for one in parsed.free_symbols})


def _equal(ours: Any, theirs: Any) -> bool:
    return bool(
        verify(ours, theirs, float_rounding=12, allow_set_relation_comp=True, timeout_seconds=None)
    )


def _differ(ours: Any, theirs: Any, *, exactly: bool) -> bool:
    """Whether two parsed answers certainly differ; `exactly` counts rounding as a difference."""
    related = isinstance(ours, sympy.Rel) and isinstance(theirs, sympy.Rel)
    if related and not (_is_assignment(ours) and _is_assignment(theirs)):
        return not exactly and _relations_differ(ours, theirs)
    ours, theirs = _value(ours), _value(theirs)
    if isinstance(ours, sympy.Tuple) and isinstance(theirs, sympy.Tuple):
        return _parts_differ(ours.args, theirs.args, exactly=exactly)
    if isinstance(ours, sympy.MatrixBase) and isinstance(theirs, sympy.MatrixBase):
        return ours.shape != theirs.shape or _parts_differ(
            list(ours), list(theirs), exactly=exactly
        )
    if isinstance(ours, sympy.Interval) and isinstance(theirs, sympy.Interval):
        return _intervals_differ(ours, theirs, exactly=exactly)
    if isinstance(ours, sympy.Expr | sympy.FiniteSet) and isinstance(
        theirs, sympy.Expr | sympy.FiniteSet
    ):
        return _bags_differ(_members(ours), _members(theirs), exactly=exactly)
    return False


def _value(parsed: Any) -> Any:
    """What an assignment assigns; everything else as it is."""
    return parsed.rhs if _is_assignment(parsed) else parsed


def _members(parsed: Any) -> Sequence[Any]:
    return list(parsed.args) if isinstance(parsed, sympy.FiniteSet) else [parsed]


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
    """Whether two expressions differ at one of a few points; not where they have no value."""
    ours, theirs = _value(ours), _value(theirs)
    if not isinstance(ours, sympy.Expr) or not isinstance(theirs, sympy.Expr):
        return False
    symbols = sorted(ours.free_symbols | theirs.free_symbols, key=str)
    if len(symbols) > max(len(ours.free_symbols), len(theirs.free_symbols)):
        return False  # each has a symbol of its own: the one may be the other, renamed
    if bool(ours.free_symbols) != bool(theirs.free_symbols):
        return False  # the symbol may be a unit
    rounded = not exactly and (ours.has(sympy.Float) or theirs.has(sympy.Float))
    limit = FAR_FROM_DECIMAL if rounded else FAR
    return any(_distance(ours, theirs, point) > limit for point in _points(symbols))


def _points(symbols: Sequence[Any]) -> list[dict[Any, int]]:
    """Whole positive points: a symbol may stand for a count, a length or an exponent."""
    primes = itertools.cycle((2, 3, 5, 7, 11, 13))
    return [{symbol: next(primes) + shift for symbol in symbols} for shift in (0, 1, 4)]


def _distance(ours: Any, theirs: Any, point: dict[Any, int]) -> float:
    """Relative distance of two values, 0 or NaN where one of them is no finite number."""
    try:
        a, b = (complex(one.subs(point).evalf(DIGITS)) for one in (ours, theirs))
        return abs(a - b) / max(abs(a), abs(b)) if abs(a - b) > TINY else 0.0
    except _FAILURES:
        return 0.0


def _relations_differ(ours: Any, theirs: Any) -> bool:
    if ours.free_symbols != theirs.free_symbols:
        return False
    if isinstance(ours, sympy.Eq) and isinstance(theirs, sympy.Eq):
        return _lines_differ(ours, theirs)
    if isinstance(ours, sympy.Eq) or isinstance(theirs, sympy.Eq) or len(ours.free_symbols) != 1:
        return False
    symbol = next(iter(ours.free_symbols))
    return any(
        {_holds(ours, symbol, at), _holds(theirs, symbol, at)} == {True, False}
        for at in _near(ours, theirs)
    )


def _lines_differ(ours: Any, theirs: Any) -> bool:
    """Two linear equations say the same if and only if one is a multiple of the other."""
    symbols = sorted(ours.free_symbols, key=str)
    try:
        first, second = (sympy.Poly(one.lhs - one.rhs, *symbols) for one in (ours, theirs))
    except sympy.PolynomialError:
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
    numbers = {abs(n) for one in relations for n in one.atoms(sympy.Number) if n.is_finite} | {0, 1}
    signed = sorted({*numbers, *(-n for n in numbers)})[:24]
    between = [(a + b) / 2 for a, b in itertools.pairwise(signed)]
    return [*signed, *between, signed[0] - sympy.Rational(1, 2), signed[-1] + sympy.Rational(1, 2)]


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
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
