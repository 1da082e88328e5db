"""A table of a report: values as measured, and how to print them.

For people as Markdown, for programs as CSV.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    key: str  # in CSV, as records name it
    title: str
    pattern: str | None = None  # format() of a number; None for text

    def show(self, value: object) -> str:
        if value is None:
            return NOTHING
        if isinstance(value, bool):
            return "yes" if value else "no"
        return format(value, self.pattern) if self.pattern is not None else str(value)


@dataclass(frozen=True)
class Table:
    id: str
    title: str
    columns: list[Column]
    rows: list[list]

    def column(self, key: str) -> list:
        at = next(i for i, column in enumerate(self.columns) if column.key == key)
        return [row[at] for row in self.rows]

    def without_empty_columns(self) -> Table:
        kept = [i for i in range(len(self.columns)) if any(row[i] is not None for row in self.rows)]
        return Table(
            self.id,
            self.title,
            [self.columns[i] for i in kept],
            [[row[i] for i in kept] for row in self.rows],
        )


def text(key: str, title: str) -> Column:
    return Column(key, title)


def count(key: str, title: str) -> Column:
    return Column(key, title, "d")


def cosine(key: str, title: str) -> Column:
    return Column(key, title, ".6f")


def small(key: str, title: str) -> Column:
    return Column(key, title, ".2e")


def ratio(key: str, title: str) -> Column:
    return Column(key, title, ".3g")


def markdown(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return (
            "| "
            + " | ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(cells, widths, is_text, strict=True)
            )
            + " |"
        )

    cells = [
        [
            escape_markdown(column.show(value))
            for column, value in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]
    titles = [escape_markdown(column.title) for column in table.columns]
    is_text = [column.pattern is None for column in table.columns]
    widths = [max(3, *(len(row[i]) for row in [titles, *cells])) for i in range(len(titles))]
    rule = (
        "|"
        + "|".join(
            "-" * (width + 2) if left else "-" * (width + 1) + ":"
            for width, left in zip(widths, is_text, strict=True)
        )
        + "|"
    )
    return "\n".join([line(titles), rule, *map(line, cells)])


def escape_markdown(value: str) -> str:
    for character in ("\\", "|", "`", "*", "<"):
        value = value.replace(character, "\\" + character)
    # a link or a picture; brackets alone are none, and stand in names
    return value.replace("](", "]\\(")


def csv_of(tables: list[Table]) -> str:
    """All tables below one another.

    The first column says which. Each row has the columns of all tables, empty where they are not
    its own.
    """
    keys = list(dict.fromkeys(column.key for table in tables for column in table.columns))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["table", *keys])
    for table in tables:
        own = [column.key for column in table.columns]
        for row in table.rows:
            values = dict(zip(own, row, strict=True))
            writer.writerow([table.id, *(_plain(values.get(key)) for key in keys)])
    return stream.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, str):
        return _no_formula(value)
    return str(value).lower() if isinstance(value, bool) else "" if value is None else value


def _no_formula(value: str) -> str:
    """Text that a spreadsheet takes for text; a formula in a name could run programs there."""
    return f"'{value}" if value.lstrip().startswith(("=", "+", "-", "@")) else value
