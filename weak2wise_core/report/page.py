"""The page: one file with everything in it, which asks nothing of a network.

What a model wrote reaches the page as data, never as markup: names pass the template's escaping,
texts lie compressed and become text nodes. A policy in the page itself allows the one script and
the one style sheet that it was written with, by their hashes, and no connection.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from weak2wise_core.accounts import known
from weak2wise_core.config import Selector
from weak2wise_core.report.captions import alt_text, station_label
from weak2wise_core.report.drawing import FAINT, FIRST, GRID, INK, SECOND, draw_all
from weak2wise_core.report.escapes import visible
from weak2wise_core.report.explorer import GOLDEN_SHARE, QUESTIONS_A_PIECE, explorer
from weak2wise_core.report.numbers import numbers, three_digits, totals
from weak2wise_core.report.survey import Survey, survey
from weak2wise_core.report.tables import Tables

ASSETS: Final = Path(__file__).parent / "assets"
_VARIABLES: Final[Mapping[str, str]] = {
    INK: "var(--ink)",
    GRID: "var(--line)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    FAINT: "var(--faint)",
}
_STYLE: Final = re.compile(r'\sstyle="([^"]*)"')
_ID: Final = re.compile(r'\sid="([^"]*)"')
_REFERENCE: Final = re.compile(r'(?<=[("])#([\w-]+)')


def page(
    tables: Tables, *, found: Survey | None = None, run: Mapping[str, Any] | None = None
) -> str:
    """The report of a dataset as an HTML document.

    Args:
        tables: The dataset. The same tables give the same page.
        found: What a pass over its rows found, where there was one already.
        run: What one run paid and how long it took, as `weak2wise build --json` prints it; it is
            no part of a dataset, so that the page in its folder has no such section.
    """
    return "".join(page_parts(tables, found=survey(tables) if found is None else found, run=run))


def page_parts(
    tables: Tables, *, found: Survey, run: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """The same, in pieces that follow each other."""
    stated = numbers(tables, found.counts)
    svgs = {name: figure(svg, name=name) for name, svg in draw_all(stated).items()}
    style, script = (_asset(name) for name in ("report.css", "report.js"))
    return (
        _environment()
        .get_template("report.html")
        .generate(
            manifest=tables.manifest,
            numbers=stated,
            totals=totals(stated["cost"]),
            figures=svgs,
            alt={name: alt_text(name, stated) for name in svgs},
            explorer=explorer(tables, found.lengths),
            questions_a_piece=QUESTIONS_A_PIECE,
            golden_share=GOLDEN_SHARE,
            run=run,
            numbers_json=_data(stated),
            lower_json=_data([one.value for one in Selector if one.lower_is_better]),
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            policy=policy(style=style, script=script),
        )
    )


def policy(*, style: str, script: str) -> str:
    """What the page may do: run this script, use this style sheet, and nothing else."""
    return (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; "
        f"style-src 'sha256-{_digest(style)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def figure(svg: str, *, name: str) -> Markup:
    """A drawn figure as a part of the page: its colours follow the theme, its ids are its own.

    Style attributes become attributes of their own, for the page's policy allows none.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = _STYLE.sub(lambda match: _attributes(match.group(1)), body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    used = set(_REFERENCE.findall(body))
    body = _ID.sub(
        lambda match: f' id="{name}-{match.group(1)}"' if match.group(1) in used else "", body
    )
    body = _REFERENCE.sub(rf"#{name}-\1", body)
    body = re.sub(r'<svg ([^>]*?)\s?width="[^"]*"', r"<svg \1", body, count=1)
    body = re.sub(r'<svg ([^>]*?)\s?height="[^"]*"', r'<svg aria-hidden="true" \1', body, count=1)
    return Markup(re.sub(r"\n\s*", "\n", body))  # noqa: S704 - drawn here, its texts escaped


def _attributes(style: str) -> str:
    """`fill: #fff; stroke: none` as attributes; a font is the page's own."""
    parts = [part.partition(":") for part in style.split(";") if part.strip()]
    kept = {name.strip(): value.strip() for name, _, value in parts}
    font = kept.pop("font", "")
    if found := re.search(r"([\d.]+)px", font):
        kept["font-size"] = found.group(1)
    return "".join(f' {name}="{value}"' for name, value in kept.items())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {"station": station_label, "whole": _whole, "words": _words}
    environment.filters |= {"share": _share, "figure_number": _real, "bytes": _bytes}
    environment.filters |= {"known": _known}
    return environment


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"  # noqa: RUF001 - the sign for nothing


def _real(value: float | None) -> str:
    return "–" if value is None else three_digits(value)  # noqa: RUF001


def _known(text: str, row: Mapping[str, Any], missing: str) -> str:
    return known(text, missing=row.get(missing, 0), calls=row["calls"])


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "–"  # noqa: RUF001


def _bytes(value: float) -> str:
    return f"{value / 1024:,.0f} KiB" if value < 1 << 20 else f"{value / (1 << 20):,.1f} MiB"


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(value: object) -> Markup:
    """JSON in a script element: nothing in it can end the element."""
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return Markup(plain.replace("<", "\\u003c"))  # noqa: S704 - no sign of markup is left
