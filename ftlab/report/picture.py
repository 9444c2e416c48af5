"""Picture: a figure as SVG inside a page, in the colours of its style sheet. It does not know what a figure shows."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Stand-ins in which a figure is drawn; on the page each becomes the style sheet's variable of that name, so that one
#: picture is readable in light and in dark.
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "train": "#050505",
    "validation": "#060606",
    "before": "#070707",
    "shots": "#090909",
    "after": "#080808",
}

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.7,
    "font.size": 9.5,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}

#: What matplotlib writes and a page of several pictures must not hold: a style for all elements, wherever they are; ids
#: of groups, the same in every picture; fonts, which the page gives.
_UNWANTED = (r"<defs>\s*<style.*?</style>\s*</defs>", r'(?<=<g) id="[^"]*"', r"font-family: [^;]*; ?")

#: Width of every picture in points. Narrow, since a phone scales it to about 330 pixels and its text must stay legible.
WIDTH = 360


def picture(key: str, height: int, title: str, description: str, draw: Callable[[Axes], None]) -> Markup:
    """Draw a figure and return it as an `<svg>` that scales with the page.

    Args:
        key: name of the picture, unique on the page; its ids hang on it.
        height: height in points, at a width of WIDTH.
        title: what the picture is called, for those who do not see it.
        description: what it shows, for them too.
        draw: puts the content on the axes.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    # The salt makes ids that stay the same from run to run and differ from picture to picture.
    with matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": key}]):
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    body = re.search(r"<svg[^>]*>(.*)</svg>", buffer.getvalue(), flags=re.DOTALL)
    assert body is not None, "matplotlib wrote an <svg>"
    content = body[1]
    for unwanted in _UNWANTED:
        content = re.sub(unwanted, "", content, flags=re.DOTALL)
    for name, stand_in in COLOURS.items():
        content = content.replace(stand_in, f"var(--{name})")
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{key}-title {key}-description" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-description">{escape(description)}</desc>{content}</svg>'
    )
