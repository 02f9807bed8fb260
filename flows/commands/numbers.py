"""Numbers as people read them, short enough for a table of 100 columns."""

from typing import Final

WIDEST: Final = 100
"""Columns of the widest table."""
_FEW_USD: Final = 100
_MINUTE: Final = 60
_KNOWN_FROM: Final = 0.03
_LONG, _MILLION, _BILLION = 1_000_000, 1e6, 1e9


def short(number: float) -> str:
    """A count: in full below a million, else in millions or billions.

    Example:
        >>> [short(one) for one in (12, 381_345, 54_012_345, 2.5e9)]
        ['12', '381,345', '54.0M', '2.5G']
    """
    if number < _LONG:
        return f"{number:,.0f}"
    return f"{number / _MILLION:.1f}M" if number < _BILLION else f"{number / _BILLION:.1f}G"


def span(low: float, high: float) -> str:
    """A range of counts; one number where both ends look the same.

    Example:
        >>> span(12, 12), span(0, 36_000), span(1.2e6, 3.4e6)
        ('12', '0 to 36,000', '1.2M to 3.4M')
    """
    first, last = short(low), short(high)
    return first if first == last else f"{first} to {last}"


def money(usd: float) -> str:
    """US dollars, to the hundredth of a cent while they are few.

    Example:
        >>> money(0.01234), money(1234.5)
        ('0.0123', '1,234.50')
    """
    return f"{usd:.4f}" if usd < _FEW_USD else f"{usd:,.2f}"


def usd_span(low: float, high: float) -> str:
    """A range of US dollars.

    Example:
        >>> usd_span(0.5, 1.25), usd_span(0, 0)
        ('0.50 to 1.25', '0.00')
    """
    first, last = f"{low:,.2f}", f"{high:,.2f}"
    return first if first == last else f"{first} to {last}"


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> [duration(one) for one in (7.4, 90, 3_700, 200_000)]
        ['7 s', '1 min 30 s', '1 h 01 min', '55 h 33 min']
    """
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02d} min"


def time_left(done: float, seconds: float) -> str:
    """How long work goes on if it goes on as it went; empty while that is a guess.

    Args:
        done: The share that is done, from 0 to 1.
        seconds: How long that took.

    Example:
        >>> time_left(0.25, 30), time_left(0.01, 30), time_left(1, 30)
        (', about 1 min 30 s left', '', '')
    """
    if not _KNOWN_FROM <= done < 1:
        return ""
    return f", about {duration(seconds * (1 - done) / done)} left"
