#!/usr/bin/env python3
"""scripts/report.py, and `deadray report` in front of it, on records that the test writes.

python3 tests/scripts/report_test.py        the program from $DEADRAY; its tests are skipped without it
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import report_records as made

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True
from reporting.palette import DARK, LIGHT, contrast, ink_on  # noqa: E402

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
TABLES = [
    "models",
    "kinds",
    "spectra",
    "depth",
    "schur",
    "residual",
    "norms",
    "fisher_totals",
    "fisher",
    "timing",
    "timing_fits",
    "timing_skipped",
    "predictor",
    "missing",
    "records",
]


class ReportTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def report(self, *more: str, python: tuple[str, ...] = (), folder: Path | None = None) -> subprocess.CompletedProcess:
        command = [sys.executable, *python, "-B", ROOT / "scripts/report.py", folder or self.folder, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def markdown(self, code: int = 0) -> str:
        run = self.report("--format", "md", "--out", "-")
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stdout

    def rows(self, table: str) -> list[dict]:
        run = self.report("--format", "csv", "--out", "-")
        self.assertEqual(run.returncode, 0, run.stderr)
        return [row for row in csv.DictReader(io.StringIO(run.stdout)) if row["table"] == table]

    def write(self, name: str, record: object) -> None:
        made.write(self.folder / name, record)


class WhatItShows(ReportTest):
    def test_has_a_table_of_every_kind_of_record(self):
        made.write_all(self.folder)
        run = self.report("--format", "csv", "--out", "-")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        seen = dict.fromkeys(row["table"] for row in csv.DictReader(io.StringIO(run.stdout)))
        self.assertEqual([table for table in seen if table not in ("spectrum_points", "residual_nodes")], TABLES)
        self.assertEqual(self.markdown().count("\n## "), 9)

    def test_gives_the_records_numbers(self):
        self.write("a.json", made.verify("a", sites=2))
        row = self.rows("models")[0]
        self.assertEqual(
            (row["model"], row["weights"], row["norm"], row["hidden_size"], row["norms"], row["verdict"]), ("a", "trained", "LayerNorm", "8", "2", "confirmed")
        )
        self.assertEqual(float(row["abs_cos_exact"]), 1.0)
        points = self.rows("spectrum_points")
        self.assertEqual([(row["index"], float(row["exact"])) for row in points], [("0", -1e-18), ("1", 0.25), ("7", 2.0)])
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
        self.assertEqual((row["predicted_dimension"], row["chance_p"], row["verdict"]), ("0", "0.5", "absent"))
        self.assertEqual(self.rows("depth"), [])

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

    def test_carries_hostile_names_without_harm(self):
        self.write("a.json", made.verify("<script>|$x^$\u0007\n"))
        text = self.markdown()
        self.assertIn("\\<script>\\|$x^$", text)
        self.assertNotIn("\u0007", text)


class WhatItRefuses(ReportTest):
    def expect_problem(self, content: str | bytes, *parts: str) -> None:
        """One line naming the file and each part; the good record is still reported, the exit code says that not all is."""
        self.write("good.json", made.verify("good"))
        (self.folder / "bad.json").write_bytes(content.encode() if isinstance(content, str) else content)
        run = self.report("--format", "md", "--out", "-")
        self.assertEqual((run.returncode, run.stderr.count("\n")), (3, 1), run.stderr)
        self.assertTrue(run.stderr.startswith(f"deadray report: {self.folder}/bad.json: "), run.stderr)
        for part in parts:
            self.assertIn(part, run.stderr)
            self.assertIn(part, run.stdout.replace("\\", ""))
        self.assertIn("| good ", run.stdout)

    def test_names_the_key_at_which_a_record_was_cut_off(self):
        text = json.dumps(made.verify("a", sites=2))
        for stop, key in (("", "empty"), ('{"sch', "cut off at its beginning"), (text[: text.index('"floor"') + 9], "cut off at sites[0].exact.floor"),
                          (text[: text.rindex('"hidden_size"') + 5], "cut off at sites[1]"), (text[:-1], "cut off at environment")):  # fmt: skip
            self.expect_problem(stop, key)

    def test_names_what_is_missing_or_of_another_type(self):
        def changed(change) -> str:
            record = made.verify("a", sites=2)
            change(record)
            return json.dumps(record)

        self.expect_problem(changed(lambda r: r.pop("model")), "model: missing")
        self.expect_problem(changed(lambda r: r["sites"][1]["deployed"].pop("floor")), "sites[1].deployed.floor: missing")
        self.expect_problem(changed(lambda r: r["sites"][0]["exact"].update(lambda_v="small")), "sites[0].exact.lambda_v: 'small', expected a finite number")
        self.expect_problem(changed(lambda r: r["sites"][0].update(hidden_size=True)), "sites[0].hidden_size: True, expected a whole number")
        self.expect_problem(changed(lambda r: r["sites"][0].update(hidden_size=-1)), "sites[0].hidden_size: -1, expected a whole number from 0")
        self.expect_problem(changed(lambda r: r["sites"][0].update(hidden_size=0)), "sites[0].hidden_size: 0, expected at least 1")
        self.expect_problem(
            changed(lambda r: r["sites"][0]["exact"].update(gap=1)).replace('"gap": 1', '"gap": 1e999'), "sites[0].exact.gap: inf, expected a finite number"
        )
        self.expect_problem(changed(lambda r: r["sites"][0].update(verdict="maybe")), "sites[0].verdict", "confirmed or absent")
        self.expect_problem(changed(lambda r: r.update(sites=[])), "sites: empty")
        self.expect_problem(changed(lambda r: r["sites"][0]["spectrum"].update(exact=[1.0])), "sites[0].spectrum.exact: 1 values, expected 3")
        self.expect_problem(changed(lambda r: r["residual"].update(ratio=[1.0])), "residual.ratio: 1 values, expected 3")
        timing = made.timing()
        timing["rows"][1]["seconds"] = 0
        self.expect_problem(json.dumps(timing), "rows[1].seconds: 0, expected a number above 0")

    def test_names_another_version_and_another_kind(self):
        for schema in ("deadray/verify/2", "deadray/verify", "deadray/unheard/1"):
            self.expect_problem(json.dumps(made.verify("a") | {"schema": schema}), "schema", schema, "deadray/verify/1")

    def test_refuses_what_is_no_json(self):
        self.expect_problem(b"\xff\xfe{", "not UTF-8")
        self.expect_problem('{"schema": "deadray/verify/1", "model": NaN}', "NaN")
        self.expect_problem('{"schema": "deadray/verify/1" "model": 1}', "not JSON")
        self.expect_problem("[" * 100_000, "not JSON")

    def test_skips_with_a_note_what_is_none_of_its_records(self):
        self.write("good.json", made.verify("good"))
        self.write("package.json", {"name": "x"})
        self.write("list.json", [1])
        self.write("p.json", {"schema": "deadray/predict/1"})
        (self.folder / "notes.txt").write_text("{")
        (self.folder / "folder.json").mkdir()
        run = self.report("--format", "md")
        self.assertEqual(run.returncode, 0)
        self.assertEqual(run.stderr.count("note: "), 3, run.stderr)
        self.assertEqual(self.report("--format", "md", "--quiet").stderr, "")

    def test_needs_a_record(self):
        self.write("bad.json", {"schema": "deadray/verify/1"})
        run = self.report("--format", "md")
        self.assertEqual(run.returncode, 3)
        self.assertIn("no usable record", run.stderr)
        self.assertFalse((self.folder / "report.md").exists())

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

    def test_says_what_to_install_and_writes_tables_without_it(self):
        self.write("good.json", made.verify("good"))
        bare = ("-S", "-E")  # no site-packages: no matplotlib
        run = self.report(python=bare)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
        self.assertIn("scripts/setup --report", run.stderr)
        self.assertEqual(list(self.folder.glob("report.*")), [])
        self.assertEqual(self.report("--format", "md,csv", python=bare).returncode, 0)


@unittest.skipUnless(HAS_MATPLOTLIB, "matplotlib is missing: scripts/setup --report")
class WhatItDraws(ReportTest):
    def test_writes_the_same_again_and_does_not_read_what_it_wrote(self):
        made.write_all(self.folder)
        contents = []
        for _ in range(2):
            run = self.report("--json", str(self.folder / "about.json"), "--figures", "png,pdf")
            self.assertEqual(run.returncode, 0, run.stderr)
            contents.append({file.relative_to(self.folder): file.read_bytes() for file in sorted(self.folder.rglob("*")) if file.is_file()})
            self.assertIn("report.html", run.stdout)
        self.assertEqual(contents[0].keys(), contents[1].keys())
        for file, content in contents[0].items():
            self.assertEqual(contents[1][file] == content, True, file)
        about = json.loads(contents[0][Path("about.json")])
        self.assertEqual(len(about["files"]), 3 + 2 * sum(map(len, about["sections"].values())))
        self.assertEqual(list(self.folder.rglob("*.partial")), [])

    def test_figures_have_names_and_descriptions_and_ids_of_their_own(self):
        made.write_all(self.folder)
        self.report()
        page = (self.folder / "report.html").read_text()
        ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(page.count("<svg"), page.count('role="img"'))
        self.assertEqual(page.count("<svg"), page.count("</desc>"))
        self.assertNotIn("https://", page)
        self.assertNotIn("http://", page.replace('xmlns="http://www.w3.org/2000/svg"', ""))

    def test_escapes_names(self):
        self.write("a.json", made.verify('<script>alert("x")</script>'))
        self.report()
        self.assertNotIn("<script>alert", (self.folder / "report.html").read_text())

    def test_draws_extremes(self):
        """Nothing, zeros, negative and huge values: a figure of them must not stop the report."""
        record = made.verify("a", sites=3)
        record["sites"][0]["exact"]["lambda_v"] = record["sites"][0]["deployed"]["lambda_v"] = 0.0
        record["sites"][1] |= {"exact": None, "deployed": None, "spectrum": None, "gamma": None}
        record["sites"][2]["spectrum"]["deployed"] = [0.0, None, 1e300]
        record["sites"][2]["deployed"] |= {"floor": None, "lambda_v": None, "depth": None}
        record["residual"]["ratio"] = [1.0, None, 1e-300]
        self.write("a.json", record)
        self.write("b.json", made.verify("b", "activations") | {"residual": None})
        post = made.verify("post-LN")
        post["residual"] |= {"ratio": [], "excluded": [0, 1, 2], "preserved": None}
        self.write("c.json", post)
        dead = made.fisher("a")
        dead["consumers"][0]["random"] = {"median": 0.0, "min": 0.0, "max": 0.0}
        self.write("f.json", dead)
        run = self.report()
        self.assertEqual((run.returncode, run.stderr), (0, ""))


class ItsColours(unittest.TestCase):
    def test_stand_out_from_the_paper(self):
        """4.5:1 is WCAG's AA for text; the grid is decoration."""
        self.assertAlmostEqual(contrast("#000000", "#ffffff"), 21)
        self.assertAlmostEqual(contrast("#767676", "#ffffff"), 4.54, places=2)  # the well-known lightest grey
        for colours in (LIGHT, DARK):
            self.assertEqual(colours.keys(), LIGHT.keys())
            for name, colour in colours.items():
                if name not in ("paper", "grid"):
                    self.assertGreaterEqual(contrast(colour, colours["paper"]), 4.5, f"{name} {colour}")

    def test_numbers_stand_out_from_any_fill(self):
        for grey in range(256):
            fill = f"#{grey:02x}{grey:02x}{grey:02x}"
            self.assertGreaterEqual(contrast(ink_on(fill), fill), 4.5, fill)


@unittest.skipUnless(os.environ.get("DEADRAY"), "the program is not known: DEADRAY=build/release/bin/deadray")
class ItsProgram(ReportTest):
    def deadray(self, *more: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run([os.environ["DEADRAY"], "report", *more], capture_output=True, text=True, check=False, env=os.environ | environment)

    def test_becomes_the_script(self):
        self.write("a.json", made.verify("a"))
        run = self.deadray(str(self.folder), "--format", "md", "--out", "-", DEADRAY_PYTHON=sys.executable)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, self.markdown())

    def test_says_in_one_line_what_is_missing(self):
        for environment, part in (({"DEADRAY_PYTHON": "/nowhere/python"}, "scripts/setup --report"), ({"DEADRAY_SCRIPTS": "/nowhere"}, "DEADRAY_SCRIPTS")):
            run = self.deadray(str(self.folder), **environment)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
            self.assertIn(part, run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
