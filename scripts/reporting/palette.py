"""Colours by their role. Figures are drawn in the light ones; on the page each becomes a CSS variable, which has a dark one too.

After Okabe and Ito, darkened (light page) or lightened (dark page) until each has at least 4.5:1 against the paper and a grey of its own;
markers, fills and dashes tell the same apart without any colour.
"""

from __future__ import annotations

LIGHT = {"ink": "#1b1f24", "paper": "#ffffff", "grid": "#d5dae0", "faint": "#5b6470", "blue": "#0072b2", "orange": "#b84a00", "green": "#00715a", "purple": "#8f3f78"}
DARK = {"ink": "#e7eaee", "paper": "#14171b", "grid": "#343b45", "faint": "#a3adb9", "blue": "#56b4e9", "orange": "#f09a4a", "green": "#35c9a0", "purple": "#e59fca"}

INK, PAPER, GRID, FAINT = LIGHT["ink"], LIGHT["paper"], LIGHT["grid"], LIGHT["faint"]
BLUE, ORANGE, GREEN, PURPLE = LIGHT["blue"], LIGHT["orange"], LIGHT["green"], LIGHT["purple"]

NORMS = {"layernorm": (BLUE, "o", "LayerNorm"), "rmsnorm": (ORANGE, "s", "RMSNorm")}
SERIES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"), (INK, "v", "-"), (FAINT, "P", "--"))


def variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
