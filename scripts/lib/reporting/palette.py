"""Colours by their role. Figures are drawn in the light ones.

On the page each becomes a CSS variable, which has a dark one too. They are Okabe and Ito's,
darkened for the light page and lightened for the dark one, until each has at least 4.5:1 against
the paper and a grey of its own. Markers, fills and dashes tell the same apart without any colour.
"""

from __future__ import annotations

LIGHT = {
    "ink": "#1b1f24",
    "paper": "#ffffff",
    "grid": "#d5dae0",
    "faint": "#5b6470",
    "blue": "#0072b2",
    "orange": "#b84a00",
    "green": "#00715a",
    "purple": "#8f3f78",
}
DARK = {
    "ink": "#e7eaee",
    "paper": "#14171b",
    "grid": "#343b45",
    "faint": "#a3adb9",
    "blue": "#56b4e9",
    "orange": "#f09a4a",
    "green": "#35c9a0",
    "purple": "#e59fca",
}

INK, PAPER, GRID, FAINT = LIGHT["ink"], LIGHT["paper"], LIGHT["grid"], LIGHT["faint"]
BLUE, ORANGE, GREEN, PURPLE = LIGHT["blue"], LIGHT["orange"], LIGHT["green"], LIGHT["purple"]

NORMS = {"layernorm": (BLUE, "o", "LayerNorm"), "rmsnorm": (ORANGE, "s", "RMSNorm")}
SERIES = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (GREEN, "^", "-."),
    (PURPLE, "D", ":"),
    (INK, "v", "-"),
    (FAINT, "P", "--"),
    (BLUE, "X", ":"),
    (ORANGE, "<", "-."),
    (GREEN, ">", "--"),
    (PURPLE, "*", "-"),
)

# On fills that are the same on a light page and a dark one. The colours of ink and paper change.
ON_BRIGHT, ON_DARK = "#010101", "#fefefe"


def luminance(colour: str) -> float:
    """Relative, as WCAG defines it, 0 to 1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(fill: str) -> str:
    """The better of black and white: at least 4.5:1 on any fill."""
    return max((ON_BRIGHT, ON_DARK), key=lambda ink: contrast(ink, fill))


def variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
