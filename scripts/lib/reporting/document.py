"""The report as Markdown, for a pull request or a terminal."""

from __future__ import annotations

from reporting.records import Records
from reporting.section import Section
from reporting.table import escape_markdown, markdown
from reporting.words import HONESTY, TITLE, count_of_records


def document(records: Records, sections: list[Section]) -> str:
    parts = [f"# {TITLE}", f"{count_of_records(records)} {HONESTY}"]
    if records.problems:
        parts += [
            "Not in this report:",
            "\n".join(f"- {escape_markdown(problem)}" for problem in records.problems),
        ]
    for section in sections:
        parts += [f"## {section.title}", escape_markdown(section.shows)]
        for table in section.tables:
            parts += [f"**{table.title}**", markdown(table)]
    return "\n\n".join(parts) + "\n"
