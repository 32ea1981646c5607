"""The look that all figures share, and how a figure becomes SVG or PNG bytes, the same ones every time."""

from __future__ import annotations

import functools
import html
import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec

from traitscope.plots.labels import INK as INK
from traitscope.plots.labels import PAPER as PAPER
from traitscope.plots.labels import columns, cut, settle
from traitscope.texts import isolated, minus, safe

Figure = Any
Axes = Any
P = ParamSpec("P")

# Each stands for a role; ``inline_svg`` replaces it by the page's own colour for that role, light or dark.
MUTED, GRID = "#667086", "#d6dae1"
ARROW_TEXT = "#8a4b00"
ROLES = {INK: "--ink", MUTED: "--muted", GRID: "--line", PAPER: "--card", ARROW_TEXT: "--warn"}

# Okabe and Ito 2008: distinguishable with every common kind of colour blindness.
BLUE, ORANGE, GREEN, RED, SKY, PINK, YELLOW, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#56b4e9",
    "#cc79a7",
    "#f0e442",
    "#8b93a1",
)
CATEGORIES = (BLUE, ORANGE, GREEN, RED, SKY, PINK, GREY, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")

# Measured with DejaVu Sans, which matplotlib brings and which is wider than those that a reader sees.
MEASURED, FONTS = "DejaVu Sans", "'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"

SETTINGS: dict[str, Any] = {
    "font.family": [MEASURED],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": PAPER,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "figure.dpi": 100,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.color": MUTED,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "svg.fonttype": "none",
}


@contextmanager
def look(**more: Any) -> Iterator[None]:
    """Our settings on top of matplotlib's own defaults, whatever the user's matplotlibrc says."""
    import matplotlib.style

    with matplotlib.style.context(["default", {**SETTINGS, **more}]):
        yield


def styled(make: Callable[P, Figure]) -> Callable[P, Figure]:
    """A plot function whose figure is made with our settings, its texts folded into their room."""

    @functools.wraps(make)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with look(), quiet():
            figure = make(*args, **kwargs)
            settle(figure)
            return figure

    return wrapped


@contextmanager
def quiet() -> Iterator[None]:
    """Without matplotlib's warnings of letters that its font has not: a browser takes them from another."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches; nothing of pyplot's global state is touched."""
    from matplotlib.figure import Figure as MplFigure

    return MplFigure(figsize=(width, height), layout="constrained")


@contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """While a figure of ours is written: its layout stands already, and is not made twice more."""
    engine = figure.get_layout_engine()
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def svg_text(figure: Figure, name: str) -> str:
    """The figure as an SVG document without times or random identifiers.

    Args:
        name: salts the identifiers inside, so that figures of different names may stand in one page.
    """
    file = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with look(**{"svg.hashsalt": name}), quiet(), laid_out(figure):
        figure.savefig(file, format="svg", metadata=nothing)
    # Names of groups (axes_1) and images repeat from figure to figure; nothing refers to them.
    svg = re.sub(r'<g id="[^"]*"', "<g", safe(file.getvalue().decode()))
    svg = svg.replace(f"font-family: '{MEASURED}'", f"font-family: {FONTS}")
    # Numbers have true minus signs, as on the axes; names that are read from right to left move none of them.
    svg = re.sub(r"(?<=>)[^<>]+(?=</(?:text|tspan)>)", lambda m: isolated(minus(m[0])), svg)
    return re.sub(r' id="(image[0-9a-f]+)"', lambda m: m[0] if f"#{m[1]}" in svg else "", svg)


def inline_svg(svg: str, label: str) -> str:
    """The ``<svg>`` element alone, for a page: it scales, and takes its text and line colours from the page.

    Args:
        label: what a screen reader says.
    """
    body = svg[svg.index("<svg") :]
    for colour, role in ROLES.items():
        body = body.replace(colour, f"var({role})")
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)
    # On a narrow screen it is not shrunk until its words cannot be read: the figure around it scrolls.
    wide = float(size[1]) if size else 0.0
    width = f"max-width:{1.35 * wide:.0f}px;min-width:{min(wide, 640):.0f}px" if size else ""
    head = f'<svg role="img" aria-label="{isolated(_attribute(safe(label)))}" style="{width}"'
    return re.sub(r'<svg(?: (?:width|height)="[^"]*")*', head, body, count=1)


def png_bytes(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as PNG, without times."""
    file = io.BytesIO()
    with look(), quiet(), laid_out(figure):
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def pdf_bytes(figure: Figure) -> bytes:
    """The figure as PDF, without times; its text stays text (TrueType), to be searched and set anew."""
    file = io.BytesIO()
    nothing = {"Creator": None, "Producer": None, "CreationDate": None}
    with look(**{"pdf.fonttype": 42, "pdf.use14corefonts": False}), quiet(), laid_out(figure):
        figure.savefig(file, format="pdf", metadata=nothing)
    return file.getvalue()


def letters_without_glyph(svg: str) -> str:
    """Letters of a figure, each once, that the font of PDF figures has not: these are boxes there."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(MEASURED)).get_charmap()
    letters = dict.fromkeys(html.unescape("".join(re.findall(r"(?<=>)[^<>]+(?=</(?:text|tspan)>)", svg))))
    # Marks that have no shape of their own (order, joining) are no boxes.
    shown = (one for one in letters if unicodedata.category(one) not in ("Cf", "Cc", "Zs"))
    return "".join(one for one in shown if ord(one) not in known)


def shorten(text: str, most: int = 26) -> str:
    """A label of at most ``most`` columns."""
    return cut(safe(" ".join(str(text).split())), most)


def tops(axes: Axes, labels: Sequence[str], *, most: int = 22) -> None:
    """Column labels above the axes, slanted so that long names do not meet."""
    axes.set_xticks(range(len(labels)), [shorten(label, most) for label in labels])
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)
    for label in axes.get_xticklabels():
        label.set(rotation=40, ha="left", rotation_mode="anchor")


def measure_title(name: str) -> str:
    """A similarity measure's name on an axis."""
    return {"cka": "CKA (debiased)", "cka_biased": "CKA (biased)"}.get(name, name)


def wrap(text: str, width: int, lines: int = 3) -> str:
    """A label broken into lines of about ``width`` characters."""
    import textwrap

    plain = " ".join(str(text).split())
    # Letters in squares take the room of two.
    narrow = max(4, width * len(plain) // max(1, columns(plain)))
    return "\n".join(textwrap.wrap(plain, narrow, max_lines=lines, placeholder=" …"))


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
