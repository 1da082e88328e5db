"""Small pictures for notebooks, in SVG: no library, no file."""

from __future__ import annotations

import html
import math
from typing import Any

_WIDTH, _HEIGHT, _MARGIN = 480, 200, 36


def spectrum_svg(sites: list[dict[str, Any]]) -> str:
    """Eigenvalues of one norm's covariance over their number, both logarithmic.

    sites: of a record deadray/verify/1. Shows the last LayerNorm that has a spectrum, else the last
    norm that has one; nothing where none has ("certificate" and "directional" take none).
    """
    shown = [site for site in sites if _eigenvalues(site)]
    if not shown:
        return ""
    site = ([s for s in shown if s["norm"] == "layernorm"] or shown)[-1]
    points = [
        (index + 1, max(value, 0.0))
        for index, value in zip(site["spectrum"]["index"], _eigenvalues(site), strict=True)
        if value is not None
    ]
    floor = (site["exact"] or site["deployed"])["floor"] or 1e-300
    xs = [math.log10(number) for number, _ in points]
    ys = [math.log10(max(value, floor * 1e-4)) for _, value in points]
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
        for x, y in zip(
            _placed(xs, _MARGIN, _WIDTH - 8), _placed(ys, _HEIGHT - _MARGIN, 22), strict=True
        )
    )
    name = html.escape(site["name"])
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" fill="currentColor" '
        'font-size="11" font-family="sans-serif">'
        f'<text x="{_MARGIN}" y="14">{name}: eigenvalues of its covariance</text>{marks}'
        f'<text x="{_MARGIN}" y="{_HEIGHT - 6}">number, 1 to {points[-1][0]} (logarithmic)</text>'
        f'<text x="2" y="30">{10 ** max(ys):.0e}</text>'
        f'<text x="2" y="{_HEIGHT - _MARGIN}">{10 ** min(ys):.0e}</text></svg>'
    )


def _eigenvalues(site: dict[str, Any]) -> list[float | None]:
    spectrum = site["spectrum"] or {}
    return spectrum.get("exact") or spectrum.get("deployed") or []


def _placed(values: list[float], low: float, high: float) -> list[float]:
    """Linear from the values' range to pixels."""
    least, span = min(values), (max(values) - min(values)) or 1.0
    return [low + (value - least) / span * (high - low) for value in values]
