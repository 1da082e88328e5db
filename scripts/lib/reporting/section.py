"""A subject of the report: words, tables, and the panels (small pictures) that it is drawn with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reporting.table import Table

MOST_PANELS = (
    40  # of one section: a page of hundreds of pictures helps nobody, and the tables have every row
)


@dataclass(frozen=True)
class Panel:
    id: str
    title: str
    description: str  # what a person who cannot see it should know
    draw: Callable  # of a matplotlib Axes
    height: float = 2.8  # inches
    data: Table | None = (
        None  # the numbers of this panel, where the section's tables do not have them
    )
    width: float = 4.6  # inches, 331 units of the SVG: its text is readable on a telephone


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    shows: str  # what stands here
    reading: str  # how to read the figure
    tables: list[Table]
    panels: list[Panel] = field(default_factory=list)
    opened: bool = True  # whether the page shows the tables at once
    posters: list[Panel] = field(default_factory=list)  # wide ones, for documents: files only

    @property
    def drawn(self) -> list[Panel]:
        return self.panels[:MOST_PANELS]

    @property
    def left_out(self) -> int:
        return len(self.panels) - len(self.drawn)

    @property
    def all_tables(self) -> list[Table]:
        return self.tables + _merged([panel.data for panel in self.panels if panel.data])


def in_parts(rows: list, most: int = 30) -> list[tuple[list, str]]:
    """Splits the rows of a dot plot into parts that fit a screen or two.

    Each comes with what its title says of that.
    """
    parts = [rows[start : start + most] for start in range(0, len(rows), most)]
    return [
        (part, f", part {i} of {len(parts)}" if len(parts) > 1 else "")
        for i, part in enumerate(parts, 1)
    ]


def _merged(tables: list[Table]) -> list[Table]:
    """Panels of one kind have the same columns: one table of all."""
    merged: dict[str, Table] = {}
    for table in tables:
        merged.setdefault(table.id, Table(table.id, table.title, table.columns, [])).rows.extend(
            table.rows
        )
    return list(merged.values())
