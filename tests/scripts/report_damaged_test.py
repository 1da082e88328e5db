#!/usr/bin/env python3
"""scripts/lib/report.py on damaged and hostile records.

One line for each that cannot be used, and no harm from those that can.
"""

from __future__ import annotations

import json
import os
import re
import unittest
from collections import Counter
from html.parser import HTMLParser

import report_records as made
from report_case import ReportTest, needs_matplotlib
from reporting.page import page
from reporting.records import Records
from reporting.schemas import SCHEMAS, TEXT, Nullable
from reporting.section import Panel, Section
from reporting.table import Table, count, text


class WhatItRefuses(ReportTest):
    def expect_problem(self, content: str | bytes, *parts: str) -> None:
        """One line names the file and each part.

        The good record is still reported, and the exit code says that not all is.
        """
        self.write("good.json", made.verify("good"))
        (self.folder / "bad.json").write_bytes(
            content.encode() if isinstance(content, str) else content
        )
        run = self.report("--format", "md", "--out", "-")
        self.assertEqual((run.returncode, run.stderr.count("\n")), (3, 1), run.stderr)
        self.assertTrue(
            run.stderr.startswith(f"deadray report: {self.folder}/bad.json: "), run.stderr
        )
        for part in parts:
            self.assertIn(part, run.stderr)
            self.assertIn(part, run.stdout.replace("\\", ""))
        self.assertIn("| good ", run.stdout)

    def test_names_the_key_at_which_a_record_was_cut_off(self):
        text = json.dumps(made.verify("a", sites=2))
        for stop, key in (
            ("", "empty"),
            ('{"sch', "cut off at its beginning"),
            (text[: text.index('"floor"') + 9], "cut off at sites[0].exact.floor"),
            (text[: text.rindex('"hidden_size"') + 5], "cut off at sites[1]"),
            (text[:-1], "cut off at environment"),
        ):
            self.expect_problem(stop, key)

    def test_names_what_is_missing_or_of_another_type(self):
        def changed(change) -> str:
            record = made.verify("a", sites=2)
            change(record)
            return json.dumps(record)

        self.expect_problem(changed(lambda r: r.pop("model")), "model: missing")
        self.expect_problem(
            changed(lambda r: r["sites"][1]["deployed"].pop("floor")),
            "sites[1].deployed.floor: missing",
        )
        self.expect_problem(
            changed(lambda r: r["sites"][0]["exact"].update(lambda_v="small")),
            "sites[0].exact.lambda_v: 'small', expected a finite number",
        )
        self.expect_problem(
            changed(lambda r: r["sites"][0].update(hidden_size=True)),
            "sites[0].hidden_size: True, expected a whole number",
        )
        self.expect_problem(
            changed(lambda r: r["sites"][0].update(hidden_size=-1)),
            "sites[0].hidden_size: -1, expected a whole number from 0",
        )
        self.expect_problem(
            changed(lambda r: r["sites"][0].update(hidden_size=0)),
            "sites[0].hidden_size: 0, expected at least 1",
        )
        self.expect_problem(
            changed(lambda r: r["sites"][0]["exact"].update(gap=1)).replace(
                '"gap": 1', '"gap": 1e999'
            ),
            "sites[0].exact.gap: inf, expected a finite number",
        )
        self.expect_problem(
            changed(lambda r: r["sites"][0].update(verdict="maybe")),
            "sites[0].verdict",
            "confirmed or absent",
        )
        self.expect_problem(changed(lambda r: r.update(sites=[])), "sites: empty")
        self.expect_problem(
            changed(lambda r: r["sites"][0]["spectrum"].update(exact=[1.0])),
            "sites[0].spectrum.exact: 1 values, expected 3",
        )
        self.expect_problem(
            changed(lambda r: r["residual"].update(ratio=[1.0])),
            "residual.ratio: 1 values, expected 3",
        )
        self.expect_problem(
            changed(lambda r: r["residual"].update(steps=[1.0])),
            "residual.steps: 1 values, expected 3",
        )
        self.expect_problem(
            changed(lambda r: r["residual"].update(reference=-1)),
            "residual.reference: -1, expected a whole number from 0",
        )

    def test_names_what_must_be_above_zero(self):
        for record, kind, key, expected in (
            (made.timing(), "rows", "seconds", "a number above 0"),
            (made.timing(), "rows", "d", "at least 1"),
            (made.predictor(), "warm", "hidden_size", "at least 1"),
            (made.predictor(), "warm", "copy", "a number above 0"),
            (made.predictor(), "warm", "predict", "a number above 0"),
        ):
            record[kind][1][key] = 0
            self.expect_problem(json.dumps(record), f"{kind}[1].{key}: 0, expected {expected}")
        timing = made.timing()
        timing["fits"][0]["exponent"] = 1e300
        self.expect_problem(json.dumps(timing), "fits[0].exponent: 1e+300, expected from -16 to 16")

    def test_names_another_version_and_another_kind(self):
        for schema in ("deadray/verify/2", "deadray/verify", "deadray/unheard/1"):
            self.expect_problem(
                json.dumps(made.verify("a") | {"schema": schema}),
                "schema",
                schema,
                "deadray/verify/1",
            )

    def test_refuses_what_is_no_json(self):
        self.expect_problem(b"\xff\xfe{", "not UTF-8")
        self.expect_problem('{"schema": "deadray/verify/1", "model": NaN}', "NaN")
        self.expect_problem('{"schema": "deadray/verify/1" "model": 1}', "not JSON")
        self.expect_problem("[" * 100_000, "not JSON")

    def test_names_files_whose_names_cannot_be_printed(self):
        hostile_name = os.fsdecode(b"b\xff\n\x1b[2J`<b>.json")
        printed = "b\ufffd\ufffd\ufffd[2J`<b>.json"
        self.write("good.json", made.verify("good"))
        (self.folder / hostile_name).write_text("{")
        run = self.report("--format", "md", "--out", "-")
        self.assertEqual(
            (run.returncode, run.stderr),
            (
                3,
                f"deadray report: {self.folder}/{printed}: cut off at its beginning; make it "
                "again, or remove it\n",
            ),
        )
        self.assertIn(printed.replace("`", "\\`").replace("<", "\\<"), run.stdout)
        self.write(hostile_name, made.verify("good"))
        folder = self.folder / os.fsdecode(b"out\xff\n")
        folder.mkdir()
        run = self.report(
            "--format", "md,csv", "--out", str(folder), "--json", str(folder / "about.json")
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("out\ufffd\ufffd/report.md", run.stdout)
        about = json.loads((folder / "about.json").read_text())
        self.assertEqual(about["records"]["verify"], [printed, "good.json"])
        self.assertIn(printed, (folder / "report.csv").read_text())
        run = self.report("--format", "md", folder=folder)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (3, 1), run.stderr)

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

    def test_says_which_record_is_of_a_run_that_was_stopped(self):
        self.write("part.json", made.verify("part") | {"complete": False})
        self.write("whole.json", made.verify("whole") | {"complete": True})
        run = self.report("--format", "md")
        self.assertEqual((run.returncode, run.stderr.count("note: ")), (0, 1), run.stderr)
        self.assertIn("part.json: its run was stopped", run.stderr)

    def test_needs_a_record(self):
        self.write("bad.json", {"schema": "deadray/verify/1"})
        run = self.report("--format", "md")
        self.assertEqual(run.returncode, 3)
        self.assertIn("no usable record", run.stderr)
        self.assertFalse((self.folder / "report.md").exists())


HOSTILE = "\"><script>alert(1)</script>![x](http://x)'|$x^$`*/../\\\u0007\u202e\ud800\n"
ABSENT = object()


def hostile(value: object, spec: object) -> object:
    """`value` with HOSTILE wherever its schema has any text.

    Keys that may lack are added, and what is null stays so.
    """
    if isinstance(spec, Nullable):
        return None if value is None else hostile(value, spec.inner)
    if isinstance(spec, dict):
        given = {} if value is ABSENT else value
        return given | {key: hostile(given.get(key, ABSENT), inner) for key, inner in spec.items()}
    if isinstance(spec, list):
        return [hostile(item, spec[0]) for item in ([ABSENT] if value is ABSENT else value)]
    return HOSTILE if spec is TEXT else spec(1) if value is ABSENT else value


class Tags(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.counts, self.attributes = Counter(), set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] += 1
        self.attributes |= {name for name, _ in attributes}


class WhatItEndures(ReportTest):
    def write_hostile(self) -> None:
        made.write_all(self.folder)
        for file in self.folder.glob("*.json"):
            record = json.loads(file.read_text())
            self.write(file.name, hostile(record, SCHEMAS[record["schema"]]))

    def test_escapes_every_text_in_markdown(self):
        self.write_hostile()
        document = self.markdown()
        self.assertIn("\\<script>", document)
        for harm in (r"(?<!\\)<", r"\]\(", r"[\x00-\x09\x0b-\x1f\u202e\ud800]"):
            self.assertIsNone(re.search(harm, document), harm)

    @needs_matplotlib
    def test_escapes_every_text_in_the_page_and_in_names_of_figures(self):
        made.write_all(self.folder)
        self.report()
        harmless = Tags((self.folder / "report.html").read_text())
        self.write_hostile()
        run = self.report("--figures", "png")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        tags = Tags((self.folder / "report.html").read_text())
        self.assertEqual((tags.counts["script"], tags.counts["b"], tags.counts["img"]), (1, 0, 0))
        self.assertEqual(
            (tags.counts.keys(), tags.attributes), (harmless.counts.keys(), harmless.attributes)
        )
        figures = [file.name for file in (self.folder / "report-figures").iterdir()]
        self.assertIn("timing-peers-0.png", figures)
        for name in figures:
            self.assertRegex(name, r"^[a-z0-9-]+\.png$")

    def test_escapes_every_attribute_of_the_page(self):
        table = Table(
            HOSTILE,
            HOSTILE,
            [text(HOSTILE, HOSTILE), count(HOSTILE, HOSTILE)],
            [[HOSTILE, 1], [None, None]],
        )
        panel = Panel(HOSTILE, HOSTILE, HOSTILE, draw=print, data=table)
        tags = Tags(
            page(
                Records(),
                [Section(HOSTILE, HOSTILE, HOSTILE, HOSTILE, [table], [panel])],
                svg=lambda panel: "",
            )
        )
        self.assertEqual((tags.counts["script"], tags.counts["section"]), (1, 1))
        self.assertLessEqual(
            {name for name in tags.attributes if not name.startswith("aria-")},
            {
                "lang",
                "charset",
                "name",
                "content",
                "http-equiv",
                "rel",
                "href",
                "class",
                "id",
                "role",
                "tabindex",
                "scope",
                "data-value",
            },
        )

    @needs_matplotlib
    def test_draws_extremes(self):
        """Figures of nothing, zeros, negative and huge values, and long names.

        None may stop the report or make matplotlib warn.
        """
        record = made.verify("a", sites=3)
        record["sites"][0]["exact"]["lambda_v"] = record["sites"][0]["deployed"]["lambda_v"] = 0.0
        record["sites"][1] |= {"exact": None, "deployed": None, "spectrum": None, "gamma": None}
        record["sites"][2]["spectrum"]["deployed"] = [0.0, None, 1e300]
        record["sites"][2]["deployed"] |= {"floor": None, "lambda_v": None, "depth": None}
        record["sites"][2]["schur"]["null"] = None
        record["residual"]["ratio"] = [1.0, None, 1e-300]
        self.write("a.json", record)
        self.write("b.json", made.verify("b", "activations") | {"residual": None})
        post = made.verify("post-LN")
        post["residual"] |= {"ratio": [], "excluded": [0, 1, 2], "preserved": None}
        self.write("c.json", post)
        later = made.verify("embedding-LN")
        later["residual"] |= {
            "ratio": [None, 1.0, 2.0],
            "steps": [None, None, 2.0],
            "excluded": [0],
            "reference": 1,
        }
        self.write("d.json", later)
        dead = made.fisher("a")
        dead["consumers"][0]["random"] = {"median": 0.0, "min": 0.0, "max": 0.0}
        self.write("f.json", dead)
        timing = made.timing()
        timing["rows"] = [
            row | {"method": "W" * 300, "device": row.get("peer") and "W" * 300}
            for row in timing["rows"]
        ]
        timing["fits"][0] |= {"method": "W" * 300, "exponent": -16}
        self.write("t.json", timing)
        run = self.report()
        self.assertEqual((run.returncode, run.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
