"""The report as one HTML page that needs no network: style, script and figures stand in it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from reporting.palette import DARK, LIGHT, variables
from reporting.records import Records
from reporting.section import Panel, Section
from reporting.table import Column, Table
from reporting.words import HONESTY, TITLE, count_of_records, left_out

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(records: Records, sections: list[Section], svg: Callable[[Panel], str]) -> str:
    style = (
        (HERE / "page.css")
        .read_text()
        .replace("LIGHT", variables(LIGHT))
        .replace("DARK", variables(DARK))
    )
    contents = "".join(
        f'<li><a href="#{escape(section.id)}">{escape(section.title)}</a></li>'
        for section in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{escape(TITLE)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{escape(TITLE)}</h1>
<p>{escape(count_of_records(records))} {escape(HONESTY)}</p>
</header>
{_problems(records)}
<nav aria-label="Contents"><ul>{contents}</ul></nav>
<main id="content">
{"".join(_section(section, svg) for section in sections)}</main>
<p id="live" class="hidden" role="status"></p>
<script>
{(HERE / "page.js").read_text()}</script>
</body>
</html>
"""


def _problems(records: Records) -> str:
    if not records.problems:
        return ""
    lines = "".join(f"<li><code>{escape(problem)}</code></li>" for problem in records.problems)
    return (
        '<aside class="problems" aria-labelledby="problems"><h3 id="problems">Not in this '
        f"report</h3><ul>{lines}</ul></aside>"
    )


def _section(section: Section, svg: Callable[[Panel], str]) -> str:
    panels = "".join(_panel(panel, svg) for panel in section.drawn)
    layout = "panels single" if len(section.drawn) == 1 else "panels"
    figures = (
        f'<p class="faint">{escape(section.reading)}</p><div class="{layout}">{panels}</div>'
        if panels
        else f'<p class="faint">{escape(section.reading)}</p>'
    )
    more = f'<p class="faint">{escape(left_out(section))}</p>' if section.left_out else ""
    tables = "".join(
        _table(table) if section.opened else _folded(table) for table in section.tables
    )
    id_ = escape(section.id)
    heading = f'<h2 id="{id_}-heading">{escape(section.title)}</h2><p>{escape(section.shows)}</p>'
    return (
        f'<section id="{id_}" '
        f'aria-labelledby="{id_}-heading">{heading}{figures}{more}{tables}</section>\n'
    )


def _panel(panel: Panel, svg: Callable[[Panel], str]) -> str:
    numbers = _folded(panel.data, panel.id) if panel.data else ""
    return (
        "<figure "
        f'id="{escape(panel.id)}"><h3>{escape(panel.title)}</h3>{svg(panel)}{numbers}</figure>'
    )


def _folded(table: Table, prefix: str = "") -> str:
    return (
        f"<details><summary>Numbers: {escape(table.title)}</summary>"
        f"{_table(table, prefix)}</details>"
    )


def _table(table: Table, prefix: str = "") -> str:
    caption = escape(f"{prefix or 'table'}-{table.id}")
    head = "".join(
        f'<th scope="col"{_css(column)}>{escape(column.title)}</th>' for column in table.columns
    )
    body = "".join(f"<tr>{''.join(_cells(table.columns, row))}</tr>\n" for row in table.rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{caption}">'
        f'<table><caption id="{caption}">{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _css(column: Column) -> str:
    return ' class="number"' if column.pattern is not None else ""


def _cells(columns: list[Column], row: list) -> list[str]:
    return [_cell(i, *cell) for i, cell in enumerate(zip(columns, row, strict=True))]


def _cell(at: int, column: Column, value: object) -> str:
    """A cell; the first of a row names it.

    A number carries its full precision, for sorting and copying.
    """
    shown = escape(column.show(value))
    if at == 0:
        return f'<th scope="row">{shown}</th>'
    data = (
        f' data-value="{"" if value is None else escape(repr(value))}"'
        if column.pattern is not None or value is None
        else ""
    )
    css = _css(column) or (' class="verdict-refuted"' if value == "refuted" else "")
    return f"<td{css}{data}>{shown}</td>"
