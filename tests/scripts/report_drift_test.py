#!/usr/bin/env python3
"""What scripts/lib/report.py shows of several models that were compared with the first."""

from __future__ import annotations

import json
import math
import unittest

import report_records as made
from report_case import ReportTest, needs_matplotlib
from reporting.records import Record
from reporting.sections import drift_figures as drift


class WhatItTells(ReportTest):
    def test_has_a_row_for_each_norm(self):
        self.write("run.json", made.several([1, 2, 10]))
        rows = {row["norm_name"]: row for row in self.rows("drift")}
        self.assertEqual(list(rows), ["h.0.ln", "h.0.q_norm", "ln_f"])
        still, rms, final = rows.values()
        self.assertEqual((still["abs_cos_min"], still["at_model"]), ("1.0", ""))
        self.assertEqual((rms["norm"], rms["abs_cos_min"]), ("RMSNorm", ""))
        self.assertEqual((rms["gamma_change_last"], rms["dimension_last"]), ("0.25", "0"))
        self.assertEqual((final["final"], final["models"]), ("true", "3"))
        self.assertEqual((final["abs_cos_min"], final["at_model"]), ("0.5", "c"))
        self.assertEqual((final["gamma_min"], final["dimension_first"]), ("0.25", "1"))
        self.assertEqual(final["dimension_last"], "3")

    def test_has_every_point_with_its_number(self):
        self.write("run.json", made.several([1, 2, 10]))
        points = [row for row in self.rows("drift_points") if row["norm_name"] == "ln_f"]
        self.assertEqual(
            [(row["model"], row["step"], row["one_minus_abs_cos"]) for row in points],
            [("b", "2", "0.25"), ("c", "10", "0.5")],
        )

    def test_leaves_empty_what_the_last_model_lacks(self):
        record = made.several([1, 2, 10])
        del record["pairs"][1]["norms"][2]
        self.write("run.json", record)
        final = self.rows("drift")[2]
        self.assertEqual((final["models"], final["at_model"]), ("2", "b"))
        self.assertEqual((final["abs_cos_last"], final["dimension_last"]), ("", ""))

    def test_names_what_contradicts_itself(self):
        record = made.several([1, 2, 10])
        norm = record["pairs"][0]["norms"][0]
        pairs = record["pairs"]
        for key, value, problem in (
            ("labels", ["a"], "labels: 1 values, expected 3"),
            ("steps", [1, 2], "steps: 2 values"),
            ("steps", [1, 10, 2], "steps: not ascending"),
            ("models", record["models"][:1], "models: 1, expected at least 2"),
            ("pairs", pairs[:1], "pairs: expected one for each of the models 1 to 2"),
            (
                "pairs",
                [pairs[0] | {"norms": [norm | {"name": "x"}]}, pairs[1]],
                "pairs[0].norms[0].name: 'x' is not among models[0].sites",
            ),
            (
                "pairs",
                [pairs[0] | {"norms": [norm | {"gamma_min": [0.5]}]}, pairs[1]],
                "pairs[0].norms[0].gamma_min: 1 values, expected 2",
            ),
        ):
            self.write("run.json", record | {key: value})
            run = self.report("--format", "md", "--out", "-")
            self.assertEqual(run.returncode, 3)
            self.assertIn(f"run.json: {problem}", run.stderr)


@needs_matplotlib
class WhatItDraws(ReportTest):
    def figures(self, record: dict) -> list[str]:
        self.write("run.json", record)
        run = self.report("--json", str(self.folder / "about.json"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return json.loads((self.folder / "about.json").read_text())["sections"]["drift"]

    def test_draws_a_run_and_models_side_by_side(self):
        all_three = ["drift-0-abs-cos", "drift-0-one-minus-abs-cos", "drift-0-gamma-change"]
        of_a_run = [*all_three, "drift-0-gamma-min", "drift-0-coordinates"]
        self.assertEqual(self.figures(made.several([0, 10, 2000])), of_a_run)
        self.assertEqual(self.figures(made.several()), all_three)
        self.assertEqual(self.figures(made.several([5, 6], ("a", "b"))), all_three)

    def test_draws_no_axis_without_a_value(self):
        record = made.several([1, 2, 3])
        for pair in record["pairs"]:
            pair["norms"] = [norm for norm in pair["norms"] if norm["norm"] == "rmsnorm"]
            pair["norms"][0]["gamma_change"] = 0.0
        self.assertEqual(self.figures(record), ["drift-0-gamma-min"])

    def test_draws_many_norms_and_many_models(self):
        """Bands instead of lines, gaps where a model lacks a norm, ten of eleven models."""
        for steps, figures in (([10**k for k in range(12)], 5), (None, 3)):
            record = made.several(steps, tuple(f"model {i}" for i in range(12)))
            sites = record["models"][0]["sites"]
            for i in range(60):
                sites.insert(i, {"name": f"h.{i}.more"})
                for pair in record["pairs"][i % 3 :]:
                    pair["norms"].append(pair["norms"][0] | {"name": f"h.{i}.more"})
            self.assertEqual(len(self.figures(record)), figures)

    def test_draws_records_that_do_not_count_coordinates(self):
        record = made.several([1, 2, 3])
        for pair in record["pairs"]:
            for norm in pair["norms"]:
                del norm["coordinates"]
        self.assertNotIn("drift-0-coordinates", self.figures(record))

    def test_takes_norms_in_the_order_of_the_first_model(self):
        record = made.several([1, 2, 3])
        record["pairs"][0]["norms"].reverse()
        names = [norm.name for norm in drift.norms_of(Record("run.json", record))]
        self.assertEqual(names, ["h.0.ln", "h.0.q_norm", "ln_f"])

    def test_stretches_wide_runs_by_their_logarithms(self):
        self.assertEqual(drift._positions([0, 50, 99]), [0, 50, 99])
        self.assertEqual(drift._positions([0, 10, 1000]), [0.5, 1.0, 3.0])
        self.assertEqual(drift._positions([0, 0]), [0, 0])

    def test_leaves_gaps(self):
        record = made.several([1, 2, 3])
        del record["pairs"][0]["norms"][2]
        final = drift.norms_of(Record("run.json", record))[2]
        cosine, drifted, *_ = drift.QUANTITIES
        self.assertEqual(repr(drift._series(final, cosine, 3)), repr([1.0, math.nan, 0.5]))
        self.assertEqual(repr(drift._series(final, drifted, 3)), repr([math.nan, math.nan, 0.5]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
