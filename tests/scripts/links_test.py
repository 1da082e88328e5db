#!/usr/bin/env python3
"""The Markdown of the tree: links and file names lead somewhere, lines have at most 100 columns."""

from __future__ import annotations

import re
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "host", "kernels", "python", "results", "scripts", "tests", "verify")
WIDTH = 100
FENCE = re.compile(r"^\s*```")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r'\b(?:src|srcset|href)="([^"]+)"')
SPAN = re.compile(r"`[^`]*`")
NAMED_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)}|cmake)/(?!\d+`)[\w./-]+)`")  # not verify/1
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")  # https:, mailto:
MADE = ("results/timing/all.json",)  # by a command of the documents


def documents() -> list[Path]:
    """All Markdown but what is no part of the tree: builds, environments, samples."""
    return sorted([*ROOT.glob("*.md"), *(f for d in FOLDERS for f in (ROOT / d).rglob("*.md"))])


def prose(text: str) -> list[tuple[int, str]]:
    """Numbered lines, without code blocks and what stands between two <!-- table --> marks."""
    lines, fenced, generated = [], False, False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
            continue
        generated = (generated or line == "<!-- table -->") and line != "<!-- /table -->"
        if not (fenced or generated or line.startswith("    ")):
            lines.append((number, line))
    return lines


def anchors(text: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    found: set[str] = set()
    for _, line in prose(text):
        if heading := re.match(r"#+ (.+)", line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            again = (f"{slug}-{i}" for i in range(1, 1000))
            found.add(slug if slug not in found else next(s for s in again if s not in found))
    return found


def broken_links(file: Path) -> list[str]:
    broken = []
    for number, line in prose(file.read_text("utf-8")):
        for target in LINK.findall(SPAN.sub("", line)) + PICTURE.findall(line):
            if ELSEWHERE.match(target):
                continue
            path, _, anchor = target.partition("#")
            there = (file.parent / path).resolve() if path else file
            if not there.exists():
                broken.append(f"{file}:{number}: {target}: no such file")
            elif anchor and anchor not in anchors(there.read_text("utf-8")):
                broken.append(f"{file}:{number}: {target}: no such heading")
    return broken


def missing_files(file: Path) -> list[str]:
    return [
        f"{file}:{number}: {name}: no such file"
        for number, line in prose(file.read_text("utf-8"))
        for name in NAMED_FILE.findall(line)
        if name not in MADE and not (ROOT / name).exists()
    ]


def wide_lines(file: Path) -> list[str]:
    """Tables may be wide, and so may a line that is one long link."""
    return [
        f"{file}:{number}: {len(line)} columns, at most {WIDTH}"
        for number, line in prose(file.read_text("utf-8"))
        if len(line) > WIDTH and not line.startswith("|") and len(LINK.sub("", line)) > WIDTH - 30
    ]


class Documents(unittest.TestCase):
    def check(self, faults) -> None:
        self.assertGreater(len(documents()), 10)
        found = [fault.removeprefix(f"{ROOT}/") for file in documents() for fault in faults(file)]
        self.assertEqual("\n".join(found), "")

    def test_have_links_that_lead_somewhere(self):
        self.check(broken_links)

    def test_name_files_that_are_there(self):
        self.check(missing_files)

    def test_have_lines_of_at_most_100_columns(self):
        self.check(wide_lines)

    def test_are_all_in_the_index(self):
        index = (ROOT / "docs/README.md").read_text("utf-8")
        linked = set(LINK.findall(index))
        pages = {file.name for file in (ROOT / "docs").glob("*.md")} - {"README.md"}
        self.assertEqual(pages - linked, set())


class TheChecks(unittest.TestCase):
    def test_headings_become_anchors(self):
        text = "# A file's `x/1`, and more\n## Twice\n## Twice\n```\n# not one\n```\n"
        self.assertEqual(anchors(text), {"a-files-x1-and-more", "twice", "twice-1"})

    def test_code_and_generated_tables_are_no_prose(self):
        text = "a\n    code\n```\ncode\n```\n<!-- table -->\nb\n<!-- /table -->\nc\n"
        self.assertEqual([line for _, line in prose(text)], ["a", "<!-- /table -->", "c"])

    def test_faults_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.md"
            file.write_text(
                "# Here\n[a](gone.md) [b](#here) [c](#there) `[d](gone.md)`\n"
                f'<img src="gone.svg"> `host/gone.h`\n{"w " * 60}\n| {"w " * 60}|\n',
                "utf-8",
            )
            self.assertEqual(len(broken_links(file)), 3)
            self.assertEqual(len(missing_files(file)), 1)
            self.assertEqual(len(wide_lines(file)), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
