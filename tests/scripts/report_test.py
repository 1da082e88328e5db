#!/usr/bin/env python3
"""scripts/lib/report.py, and `deadray report` in front of it.

Tables of records that the test writes, and the command line. The program is $DEADRAY; its tests are
skipped without it.

python3 tests/scripts/report_test.py
"""

from __future__ import annotations

import ast
import csv
import io
import os
import subprocess
import sys
import unittest

import report_records as made
from report_case import ROOT, ReportTest

TABLES = [
    "models",
    "kinds",
    "spectra",
    "depth",
    "schur",
    "residual",
    "norms",
    "drift",
    "fisher_totals",
    "fisher",
    "flat",
    "timing",
    "timing_fits",
    "timing_skipped",
    "predictor",
    "missing",
    "records",
]


class WhatItShows(ReportTest):
    def test_has_a_table_of_every_kind_of_record(self):
        made.write_all(self.folder)
        run = self.report("--format", "csv", "--out", "-")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        seen = dict.fromkeys(row["table"] for row in csv.DictReader(io.StringIO(run.stdout)))
        self.assertEqual(
            [table for table in seen if not table.endswith(("_points", "_nodes"))], TABLES
        )
        self.assertEqual(self.markdown().count("\n## "), 11)

    def test_gives_the_records_numbers(self):
        self.write("a.json", made.verify("a", sites=2))
        row = self.rows("models")[0]
        self.assertEqual(
            (
                row["model"],
                row["weights"],
                row["norm"],
                row["hidden_size"],
                row["norms"],
                row["verdict"],
            ),
            ("a", "trained", "LayerNorm", "8", "2", "confirmed"),
        )
        self.assertEqual(float(row["abs_cos_exact"]), 1.0)
        points = self.rows("spectrum_points")
        self.assertEqual(
            [(row["index"], float(row["exact"])) for row in points],
            [("0", -1e-18), ("1", 0.25), ("7", 2.0)],
        )
        self.assertIn("| a ", self.markdown())

    def test_pairs_random_and_trained_weights_of_one_model_and_norm(self):
        self.write("a.random.json", made.verify("a", "random", sites=1, along=4e-12))
        self.write("a.checkpoint.json", made.verify("a", sites=2, along=1e-12))
        self.write("b.random.json", made.verify("b", "random"))
        rows = self.rows("depth")
        self.assertEqual([(row["model"], row["norm_name"]) for row in rows], [("a", "h.0.ln")])
        self.assertAlmostEqual(float(rows[0]["deepening_deployed"]), 4.0)

    def test_takes_an_rms_norm_as_a_control(self):
        self.write("r.json", made.verify("r", norm="rmsnorm"))
        row = self.rows("models")[0]
        self.assertEqual(
            (row["predicted_dimension"], row["chance_p"], row["verdict"]), ("0", "0.5", "absent")
        )
        self.assertEqual(self.rows("depth"), [])

    def test_shows_what_a_norms_input_brings_along(self):
        record = made.verify("a", sites=2)
        record["sites"][0]["inherited"] = 20  # the other one is as of records from before the key
        self.write("a.json", record)
        self.assertEqual([row["inherited"] for row in self.rows("norms")], ["20", "0"])

    def test_marks_times_of_a_busy_machine(self):
        record = made.timing()  # its rows are as of records from before the key
        record["rows"][0]["load"] = dict.fromkeys(("others", "steal", "waited", "busy"))
        record["rows"][1]["load"] = {"others": 0.4, "steal": 0.0, "waited": 0.1, "busy": True}
        self.write("t.json", record)
        marks = [row["machine"] for row in self.rows("timing")]
        self.assertEqual(marks, ["", "busy"] + [""] * (len(marks) - 2))

    def test_says_what_is_reconstructed_and_whose_the_roster_is(self):
        made.write_all(self.folder)
        text = self.markdown()
        self.assertIn("## Schur ratio against its null (reconstructed)", text)
        self.assertIn("Rosters are deadray's own choice", text)
        self.assertIn("Roster mine.json: two of mine", text)
        self.assertIn("hf download some/far", text)

    def test_names_two_records_of_one_model_by_their_files(self):
        self.write("one.json", made.verify("a"))
        self.write("two.json", made.verify("a"))
        self.assertEqual([row["model"] for row in self.rows("models")], ["a [one]", "a [two]"])

    def test_reads_records_from_before_spectrum_and_gamma(self):
        record = made.verify("a")
        for key in ("spectrum", "gamma", "final"):
            del record["sites"][0][key]
        self.write("a.json", record)
        self.assertIn("No record here holds a spectrum", self.markdown())

    def test_gives_the_verdict_on_each_consumer_of_a_norm(self):
        record = made.fisher("a")
        record["consumers"][0] |= {"verdict": "refuted", "reason": "dead/random above its limit"}
        # as of records from before them
        del (record["consumers"][1]["verdict"], record["consumers"][1]["reason"])
        self.write("a.json", record)
        self.assertEqual(
            [(row["verdict"], row["reason"]) for row in self.rows("fisher")],
            [("refuted", "dead/random above its limit"), ("", ""), ("", "")],
        )

    def test_gives_the_causes_of_flat_directions_with_their_order(self):
        self.write("a.json", made.causes("a"))
        rows = self.rows("flat")
        self.assertEqual([row["cause"] for row in rows], ["values"])
        self.assertEqual(
            [(row["order"], row["order_random"]) for row in rows],
            [("gauge", "singular of order 2")],
        )

    def test_leaves_empty_what_was_not_measured(self):
        record = made.verify("a")
        for key in ("exact", "deployed", "spectrum"):
            record["sites"][0][key] = None
        record["sites"][0]["schur"] = {"input": None, "output": None, "null": None}
        record["residual"] = None
        self.write("a.json", record)
        self.assertEqual(self.rows("models")[0]["abs_cos_exact"], "")
        for table in ("spectra", "schur", "residual"):
            self.assertEqual(self.rows(table), [])


class ItsCommandLine(ReportTest):
    def test_is_quiet_where_every_subcommand_is(self):
        made.write_all(self.folder)
        for option in ("-q", "--quiet"):
            run = self.report("--format", "md,csv", option)
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""), option)

    def test_names_what_is_wrong_with_the_command_line(self):
        self.write("good.json", made.verify("good"))
        nowhere = str(self.folder / "none")
        for code, more, part in (
            (2, ("--format", "xml"), "'xml'"),
            (2, ("--figures", "gif"), "'gif'"),
            (2, ("--fromat", "md"), "did you mean --format?"),
            (2, ("--out", "-"), "--format md or --format csv"),
            (6, ("--format", "md", "--out", nowhere), "no such folder"),
            (6, ("--format", "md", "--json", f"{nowhere}/x.json"), "none/"),
        ):
            run = self.report(*more)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (code, 1), run.stderr)
            self.assertIn(part, run.stderr)
        self.assertEqual(self.report(folder=self.folder / "none").returncode, 2)

    def test_replaces_no_record_that_it_reads(self):
        self.write("good.json", made.verify("good"))
        before = (self.folder / "good.json").read_bytes()
        (self.folder / "link").symlink_to(self.folder / "good.json")
        for name in ("good.json", "link", f"../{self.folder.name}/good.json"):
            run = self.report("--format", "md", "--json", str(self.folder / name))
            self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)
            self.assertIn("would be replaced", run.stderr)
        self.assertEqual((self.folder / "good.json").read_bytes(), before)
        self.assertFalse((self.folder / "report.md").exists())
        for _ in range(2):  # its own record it writes anew
            run = self.report("--format", "md", "--json", str(self.folder / "about.json"))
            self.assertEqual(run.returncode, 0, run.stderr)

    def test_says_what_to_install_and_writes_tables_without_it(self):
        self.write("good.json", made.verify("good"))
        bare = ("-S", "-E")  # no site-packages: no matplotlib
        run = self.report(python=bare)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
        self.assertIn("scripts/setup --report", run.stderr)
        self.assertEqual(list(self.folder.glob("report.*")), [])
        self.assertEqual(self.report("--format", "md,csv", python=bare).returncode, 0)


class ItsInterpreter(ReportTest):
    def test_must_be_new_enough(self):
        """The version alone stops an interpreter that is too old.

        The files that it reads before it is told so keep to what it understands.
        """
        code = (
            "import runpy, sys; sys.version_info = (3, 9, 18); sys.path.insert(0, "
            f"{str(ROOT / 'scripts/lib')!r}); runpy.run_path('scripts/lib/report.py')"
        )
        run = subprocess.run(
            [sys.executable, "-B", "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
        self.assertIn("Python 3.9, expected 3.10 or later; set DEADRAY_PYTHON", run.stderr)
        for file in ("report.py", "reporting/__init__.py"):
            text = (ROOT / "scripts/lib" / file).read_text()
            ast.parse(text, feature_version=(3, 7))
            self.assertNotIn("from __future__", text)  # annotations are known from 3.7 on

    def test_writes_utf_8_whatever_the_locale(self):
        self.write("a.json", made.verify("γ"))
        run = subprocess.run(
            [
                sys.executable,
                "-B",
                ROOT / "scripts/lib/report.py",
                self.folder,
                "--format",
                "csv",
                "--out",
                "-",
            ],
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
        )
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        self.assertIn("γ".encode(), run.stdout)


@unittest.skipUnless(
    os.environ.get("DEADRAY"), "the program is not known: DEADRAY=build/release/bin/deadray"
)
class ItsProgram(ReportTest):
    def deadray(self, *more: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [os.environ["DEADRAY"], "report", *more],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )

    def test_becomes_the_script(self):
        self.write("a.json", made.verify("a"))
        run = self.deadray(
            str(self.folder), "--format", "md", "--out", "-", DEADRAY_PYTHON=sys.executable
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, self.markdown())

    def test_says_in_one_line_what_is_missing(self):
        for environment, part in (
            ({"DEADRAY_PYTHON": "/nowhere/python"}, "scripts/setup --report"),
            ({"DEADRAY_SCRIPTS": "/nowhere"}, "DEADRAY_SCRIPTS"),
        ):
            run = self.deadray(str(self.folder), **environment)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
            self.assertIn(part, run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
