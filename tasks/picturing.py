"""What the task engine shows of a published dataset: its figures, and where it lies."""

import asyncio
import base64

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from weak2wise_core.dataset.publishing import REPORT, Published
from weak2wise_core.report.captions import alt_text
from weak2wise_core.report.drawing import FIGURES, draw, on_white
from weak2wise_core.report.numbers import Numbers


def artifact_key(dataset: str, kind: str) -> str:
    """A key of lower-case letters, digits and dashes, as the engine wants it."""
    plain = "".join(char if char.isalnum() and char.isascii() else "-" for char in dataset.lower())
    return f"{plain}-{kind}"


async def show_dataset(published: Published) -> None:
    """Write the figures as images, and links to dataset and report."""
    dataset, places = published.manifest["dataset"], {"dataset": published.folder}
    if published.numbers is not None:
        pictures = await asyncio.to_thread(figures_as_markdown, published.numbers)
        await acreate_markdown_artifact(
            key=artifact_key(dataset, "figures"),
            markdown=pictures,
            description=f"The figures of {dataset} {published.version}",
        )
        places["report"] = published.folder / REPORT
    for what, place in places.items():
        await acreate_link_artifact(
            key=artifact_key(dataset, what),
            link=place.as_uri(),
            link_text=str(place),
            description=f"The {what}, on the machine that built it",
        )


def figures_as_markdown(found: Numbers) -> str:
    """Every figure of the report as an image in the text itself, with what it shows in words."""
    parts = []
    for name in FIGURES:
        image = base64.b64encode(on_white(draw(name, found)).encode()).decode()
        sentence = alt_text(name, found)
        parts.append(f"![{name}](data:image/svg+xml;base64,{image})\n\n{_plain(sentence)}")
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is: names of models are data."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]()#+!|<>~" else char for char in text)
