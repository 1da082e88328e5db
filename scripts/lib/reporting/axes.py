"""What the figures share: axes of powers of ten, rows of a dot plot that carry their name, a legend
above the axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reporting.palette import FAINT, GRID

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# inches that a row of a dot plot takes, with its name above its line and at its side
ROW, NARROW_ROW = (0.42, 0.21)


def power_of_ten(value: float, _position: object = None) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    return "1" if exponent == 0 else "10" + str(exponent).translate(SUPERSCRIPTS)


def log_axis(
    axes, which: str, values: Sequence[float | None], margin: float = 0.5
) -> tuple[float, float]:
    """Makes an axis logarithmic, with two to about seven ticks in plain text. Returns the limits.

    They hold the positive values and at least `margin` powers of ten on both sides.
    """
    positive = [
        value for value in values if value is not None and value > 0 and math.isfinite(value)
    ] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    margin = max(margin, 0.06 * (high - low))
    low, high = low - margin, high + margin
    # a single power of ten would show no scale
    if math.floor(high) <= math.ceil(low) and margin >= 0.5:
        low, high = math.floor(low) - 0.1, math.ceil(high) + 0.1
    step = max(1, math.ceil((high - low) / 7))
    exponents = [
        e for e in range(math.ceil(low / step) * step, math.floor(high) + 1, step) if abs(e) <= 150
    ]
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(_fixed([10.0**exponent for exponent in exponents]))
    axis.set_major_formatter(_function(power_of_ten))
    axis.set_minor_locator(_fixed([]))
    limits = 10.0 ** max(low, -150), 10.0 ** min(high, 150)  # their quotient must not overflow
    getattr(axes, f"set_{which}lim")(*limits)
    return limits


def count_axis(axes, values: Sequence[int]) -> None:
    """Logarithmic x with plain numbers: dimensions, indices."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(_fixed(list(values)))
    axes.xaxis.set_major_formatter(_function(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(_fixed([]))


def named_rows(axes, names: Sequence[str]) -> None:
    """Draws rows 0, 1, … downwards, each with its name above its line.

    A column of names at the side would take half of a narrow picture.
    """
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    for row, name in enumerate(names):
        axes.axhline(row, color=GRID, linewidth=0.7, zorder=0)
        axes.annotate(
            shortened(name, 52),
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(0, 5),
            textcoords="offset points",
            fontsize=8,
            va="bottom",
        )


def short_names(names: list[str]) -> list[str]:
    """Names from the block's number on, without an end that all share.

    "encoder.layer.3.attention.output.LayerNorm" becomes "3.attention.output". The names stay whole
    where two of them would become equal.
    """
    parts = [name.split(".") for name in names]
    starts = [next((i for i, part in enumerate(name) if part.isdigit()), 0) for name in parts]
    end = len({name[-1] for name in parts}) == 1 and all(
        len(name) - start > 1 for name, start in zip(parts, starts, strict=True)
    )
    short = [
        ".".join(name[start : len(name) - end]) for name, start in zip(parts, starts, strict=True)
    ]
    return [shortened(name, 27) for name in (short if len(set(short)) == len(short) else names)]


def shortened(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most // 2] + "…" + name[-(most - most // 2 - 1) :]


def height_of_rows(count: int) -> float:
    return 1.1 + ROW * count


def narrow_rows(axes, names: Sequence[str]) -> None:
    """Many rows 0, 1, … downwards, their names shortened at the side."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), short_names(names), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if are_many(names):  # whose axis below is a screen away
        axes.tick_params(axis="x", labeltop=True, top=True)


def rows_named_at_the_side(axes, names: Sequence[str]) -> None:
    """Rows 0, 1, … downwards of a wide picture, each on a line of its own."""
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.set_yticks(range(len(names)), [shortened(name, 40) for name in names])
    axes.tick_params(axis="y", length=0, pad=10)
    axes.spines["left"].set_visible(False)


def are_many(names: Sequence) -> bool:
    return len(names) > 20


def height_of_narrow_rows(count: int) -> float:
    return 1.2 + NARROW_ROW * count


def legend_above(axes, columns: int = 2, over_ticks: bool = False) -> None:
    handles, labels = axes.get_legend_handles_labels()
    # of equal labels the first one
    first = dict(zip(reversed(labels), reversed(handles), strict=True))
    if first:
        names = list(dict.fromkeys(labels))
        if max(map(len, names)) > 28:  # two of which would be wider than the picture
            columns = 1
        axes.legend(
            [first[name] for name in names],
            names,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            handletextpad=0.5,
            borderaxespad=2.2 if over_ticks else 0.2,
            columnspacing=1.2,
        )


def level(axes, value: float, label: str, dash: str = "--") -> None:
    axes.axhline(value, color=FAINT, linewidth=1.1, linestyle=dash, label=label, zorder=1)


def _fixed(values: list[float]):
    from matplotlib.ticker import FixedLocator

    return FixedLocator(values)


def _function(form):
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(form)
