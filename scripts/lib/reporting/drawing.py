"""Draws panels with matplotlib: as SVG for the page, or as PNG, PDF and SVG files.

The SVG takes the page's colours and has its own text and its own name. Only this file and axes.py
need matplotlib: tables do without.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import matplotlib
from matplotlib.figure import Figure

from reporting.palette import DARK, FAINT, GRID, INK, LIGHT, PAPER
from reporting.section import Panel

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "legend.frameon": False,
    "lines.markersize": 6,
    "text.parse_math": False,  # names come from files and may hold a $
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
    "axes.unicode_minus": True,
    "path.simplify": False,
}
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def figure_of(panel: Panel) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(panel.width, panel.height), layout="constrained")
        panel.draw(figure.add_subplot())
        return figure


UNDATED = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None, "Creator": None}}


def save(panel: Panel, stream: io.BufferedIOBase, form: str) -> None:
    """PNG, PDF or SVG, in the light colours; without dates, so that equal records give equal files.

    An SVG has its letters as outlines: it looks the same whatever fonts the reader has.
    """
    figure = figure_of(panel)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": panel.id, "svg.fonttype": "path"}):
        figure.savefig(
            stream, format=form, dpi=200, metadata={"Title": panel.title} | UNDATED[form]
        )


def save_dark_svg(panel: Panel, stream: io.BufferedIOBase) -> None:
    """The same SVG with each colour's dark counterpart."""
    light = io.BytesIO()
    save(panel, light, "svg")
    dark = COLOUR.sub(lambda match: DARK_OF[match[0]], light.getvalue().decode())
    stream.write(dark.encode())


def svg(panel: Panel) -> str:
    """A picture to stand in a page, named and described for those who do not see it.

    Its colours are the page's variables, its ids its own.
    """
    stream = io.StringIO()
    figure = figure_of(panel)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": panel.id}):
        figure.savefig(
            stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    ET.register_namespace("", SVG)
    root = ET.fromstring(stream.getvalue())
    for unwanted in root.findall(f"{{{SVG}}}metadata"):
        root.remove(unwanted)
    for element in root.iter():
        _adapt(element, panel.id)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{panel.id}-title {panel.id}-text"}
    for at, (tag, id_, words) in enumerate(
        (("title", "title", panel.title), ("desc", "text", panel.description))
    ):
        element = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{panel.id}-{id_}"})
        element.text = words
        root.insert(at, element)
    return ET.tostring(root, encoding="unicode")


ROLES = {
    colour: "currentColor" if name == "ink" else f"var(--{name})" for name, colour in LIGHT.items()
}
DARK_OF = {colour: DARK[name] for name, colour in LIGHT.items()}
COLOUR = re.compile("|".join(ROLES))


def _adapt(element: ET.Element, prefix: str) -> None:
    for key, value in list(element.attrib.items()):
        if key == f"{{{XLINK}}}href":
            del element.attrib[key]
            key = "href"
        if key == "id":
            value = f"{prefix}-{value}"
        elif key == "href" and value.startswith("#"):
            value = f"#{prefix}-{value[1:]}"
        elif key == "style":
            value = COLOUR.sub(lambda match: ROLES[match[0]], value)
            # the page has the family
            value = re.sub(r"font: ([\d.]+)px [^;]*", r"font-size: \1px", value)
        element.set(key, re.sub(r"url\(#", f"url(#{prefix}-", value))
