#!/usr/bin/env python3
"""The figures of scripts/lib/report.py: as files and in the page, and their colours."""

from __future__ import annotations

import json
import unittest
from pathlib import Path

import report_records as made
from report_case import ReportTest, needs_matplotlib
from reporting.palette import DARK, LIGHT, contrast, ink_on


@needs_matplotlib
class WhatItDraws(ReportTest):
    def test_writes_the_same_again_and_does_not_read_what_it_wrote(self):
        made.write_all(self.folder)
        contents = []
        for _ in range(2):
            run = self.report("--json", str(self.folder / "about.json"), "--figures", "png,pdf")
            self.assertEqual(run.returncode, 0, run.stderr)
            contents.append(
                {
                    file.relative_to(self.folder): file.read_bytes()
                    for file in sorted(self.folder.rglob("*"))
                    if file.is_file()
                }
            )
            self.assertIn("report.html", run.stdout)
        self.assertEqual(contents[0].keys(), contents[1].keys())
        for file, content in contents[0].items():
            self.assertEqual(contents[1][file] == content, True, file)
        about = json.loads(contents[0][Path("about.json")])
        self.assertEqual(len(about["files"]), 3 + 2 * sum(map(len, about["sections"].values())))
        self.assertEqual(list(self.folder.rglob("*.part")), [])

    def test_writes_svg_files_in_light_and_in_dark_colours(self):
        made.write_all(self.folder)
        run = self.report("--format", "md", "--figures", "svg", "--theme", "light,dark")
        self.assertEqual(run.returncode, 0, run.stderr)
        figures = self.folder / "report-figures"
        light = (figures / "agreement-wide-0.svg").read_text()
        dark = (figures / "agreement-wide-0-dark.svg").read_text()
        for colour in (LIGHT["ink"], LIGHT["paper"], LIGHT["blue"]):
            self.assertIn(colour, light)
            self.assertNotIn(colour, dark)
        for colour in (DARK["ink"], DARK["paper"], DARK["blue"]):
            self.assertIn(colour, dark)
        self.assertNotIn("<text", light)  # outlines: no font of the reader's changes the picture
        names = sorted(file.name for file in figures.iterdir())
        self.assertEqual(
            [name for name in names if name.endswith("-dark.svg")],
            sorted(name[:-4] + "-dark.svg" for name in names if not name.endswith("-dark.svg")),
        )

    def test_only_svg_files_have_dark_colours(self):
        made.write_all(self.folder)
        run = self.report("--figures", "png,svg", "--theme", "dark")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--theme dark", run.stderr)
        self.assertFalse((self.folder / "report-figures").exists())

    def test_the_wide_picture_stands_in_files_and_not_in_the_page(self):
        made.write_all(self.folder)
        self.report("--json", str(self.folder / "about.json"), "--figures", "png")
        about = json.loads((self.folder / "about.json").read_text())
        self.assertIn("agreement-wide-0", about["sections"]["agreement"])
        self.assertNotIn("agreement-wide", (self.folder / "report.html").read_text())
        self.report("--json", str(self.folder / "about.json"))
        about = json.loads((self.folder / "about.json").read_text())
        self.assertEqual(about["sections"]["agreement"], ["agreement-0"])

    def test_figures_have_names_and_descriptions_and_ids_of_their_own(self):
        made.write_all(self.folder)
        self.report()
        page = (self.folder / "report.html").read_text()
        ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(page.count("<svg"), page.count('role="img"'))
        self.assertEqual(page.count("<svg"), page.count("</desc>"))
        self.assertNotIn("Refuted", page)
        self.assertNotIn("https://", page)
        self.assertNotIn("http://", page.replace('xmlns="http://www.w3.org/2000/svg"', ""))

    def test_names_refuted_consumers_in_the_description(self):
        record = made.fisher("a")
        record["consumers"][0]["verdict"] = "refuted"
        self.write("a.json", record)
        self.report()
        page = (self.folder / "report.html").read_text()
        self.assertIn(" Refuted: h.0.attn.c_attn.</desc>", page)
        self.assertIn('<td class="verdict-refuted">refuted</td>', page)


class ItsColours(unittest.TestCase):
    def test_stand_out_from_the_paper(self):
        """4.5:1 is WCAG's AA for text; the grid is decoration."""
        self.assertAlmostEqual(contrast("#000000", "#ffffff"), 21)
        # the well-known lightest grey
        self.assertAlmostEqual(contrast("#767676", "#ffffff"), 4.54, places=2)
        for colours in (LIGHT, DARK):
            self.assertEqual(colours.keys(), LIGHT.keys())
            for name, colour in colours.items():
                if name not in ("paper", "grid"):
                    self.assertGreaterEqual(
                        contrast(colour, colours["paper"]), 4.5, f"{name} {colour}"
                    )

    def test_numbers_stand_out_from_any_fill(self):
        for grey in range(256):
            fill = f"#{grey:02x}{grey:02x}{grey:02x}"
            self.assertGreaterEqual(contrast(ink_on(fill), fill), 4.5, fill)


if __name__ == "__main__":
    unittest.main(verbosity=2)
