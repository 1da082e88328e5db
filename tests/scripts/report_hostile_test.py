#!/usr/bin/env python3
"""scripts/lib/report.py on a folder that somebody else has packed.

What is read and written lies in it, nothing is read without bound, and no cell becomes a formula.
Text in Markdown, in the page and in figures is tested in report_damaged_test.py.
"""

from __future__ import annotations

import csv
import io
import os
import unittest
from pathlib import Path

import report_records as made
from report_case import ReportTest, needs_matplotlib

FORMULA = "=cmd|' /C calc'!A0"


class WhatItReads(ReportTest):
    def expect_problem(self, name: str, words: str) -> None:
        self.write("good.json", made.verify("good"))
        run = self.report("--format", "md", "--out", "-")
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertIn(f"{name}: {words}", run.stderr)
        self.assertIn("| good ", run.stdout)

    def test_follows_no_link_out_of_the_folder(self):
        inside = self.folder / "records"
        inside.mkdir()
        made.write(self.folder / "secret.json", made.verify("secret"))
        made.write(inside / "good.json", made.verify("good"))
        for target in (self.folder / "secret.json", Path("../secret.json"), "/proc/self/environ"):
            (inside / "link.json").symlink_to(target)
            run = self.report("--format", "md", "--out", "-", folder=inside)
            self.assertEqual(run.returncode, 3, run.stderr)
            self.assertIn("link.json: is a link out of the folder", run.stderr)
            self.assertNotIn("secret", run.stdout)
            (inside / "link.json").unlink()

    def test_waits_for_no_pipe_and_reads_no_device(self):
        self.write("good.json", made.verify("good"))
        os.mkfifo(self.folder / "pipe.json")
        (self.folder / "zero.json").symlink_to("/dev/zero")
        run = self.report("--format", "md", "--out", "-")
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_reads_no_record_of_any_size(self):
        with (self.folder / "big.json").open("wb") as stream:
            stream.truncate(10 << 30)
        self.expect_problem("big.json", "has 10737418240 bytes, expected at most 100000000")

    def test_takes_any_depth_and_any_number(self):
        (self.folder / "bad.json").write_text("[" * 1_000_000 + "]" * 1_000_000)
        self.expect_problem("bad.json", "not JSON")
        (self.folder / "bad.json").write_text('{"a": ' + "9" * 1_000_000 + "}")
        self.expect_problem("bad.json", "not JSON")


class WhatItWrites(ReportTest):
    def test_makes_no_formula_of_a_name(self):
        for start in ("=", "+", "-", "@", "\t=", " ="):
            record = made.verify(start + FORMULA)
            record["sites"][0]["name"] = start + FORMULA
            self.write("a.json", record)
            run = self.report("--format", "csv", "--out", "-")
            self.assertEqual(run.returncode, 0, run.stderr)
            cells = [cell for row in csv.reader(io.StringIO(run.stdout)) for cell in row]
            self.assertTrue(any("cmd|" in cell for cell in cells))
            for cell in cells:
                if cell.lstrip().startswith(("=", "+", "-", "@")):
                    float(cell)  # a number alone

    def test_replaces_a_link_and_not_what_it_leads_to(self):
        self.write("records/a.json", made.verify("a"))
        precious = self.folder / "precious"
        precious.write_text("before")
        for name in ("report.md", "report.csv"):
            (self.folder / "records" / name).symlink_to(precious)
        run = self.report("--format", "md,csv", folder=self.folder / "records")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(precious.read_text(), "before")
        self.assertFalse((self.folder / "records/report.md").is_symlink())

    @needs_matplotlib
    def test_obeys_no_settings_of_the_folder_it_is_called_in(self):
        self.write("records/a.json", made.verify("a"))
        (self.folder / "matplotlibrc").write_text("text.usetex: True\n")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        run = self.report("--format", "html", folder=Path("records"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    @needs_matplotlib
    def test_draws_into_no_folder_behind_a_link(self):
        self.write("records/a.json", made.verify("a"))
        (self.folder / "elsewhere").mkdir()
        (self.folder / "records/report-figures").symlink_to(self.folder / "elsewhere")
        run = self.report("--figures", "svg", "--format", "md", folder=self.folder / "records")
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn("report-figures: is a link", run.stderr)
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])

    def write(self, name: str, record: object) -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        super().write(name, record)


if __name__ == "__main__":
    unittest.main(verbosity=2)
