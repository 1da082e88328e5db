"""Tables of cells that are text."""

from __future__ import annotations

import html
from collections.abc import Sequence

Row = Sequence[str]


def text_table(heads: Row, rows: Sequence[Row]) -> str:
    """Lines of plain text, in columns."""
    lines = [heads, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(c.ljust(w) for c, w in line).rstrip() for line in padded)


def html_table(heads: Row, rows: Sequence[Row]) -> str:
    """Markup in cells is shown as text."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
