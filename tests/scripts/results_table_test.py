#!/usr/bin/env python3
"""scripts/results_table on records that the test writes, and the table that is committed.

python3 tests/scripts/results_table_test.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def record(name: str, init: str, verdicts: list[str]) -> dict:
    reading = {
        "abs_cos": 0.5,
        "principal_cosines": [0.75, 0.25],
        "depth": 1e-20,
        "below": [3, 2, 1, 0],
    }
    sites = [
        {
            "norm": "layernorm",
            "final": True,
            "hidden_size": 24,
            "exact": reading,
            "deployed": reading | {"principal_cosines": []},
            "verdict": v,
        }
        for v in verdicts
    ]
    for earlier in sites[:-1]:
        earlier |= {"final": False, "exact": reading | {"principal_cosines": [0.125]}}
    machine = {"cpu": "Some CPU", "cores": 2, "memory_bytes": 2**34, "device": "cpu"}
    suite = {
        "command": f"deadray suite r --only {name}",
        "commit": "abc",
        "started": "2026-01-02T03:04:05Z",
        "seconds": 12.34,
        "peak_memory_bytes": 2**30,
        "machine": machine,
    }
    return {
        "schema": "deadray/verify/1",
        "model": {"name": name, "init": init},
        "calibration": {"tokens": 4096},
        "sites": sites,
        "residual": {"preserved": False},
        "seconds": {"forward": 16.0},
        "forward": {"flops": 1e12},
        "environment": {"gemm_flops_per_second": 1e11},
        "suite": suite,
    }


class ResultsTableTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.readme = self.folder / "README.md"
        self.readme.write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n")
        (self.folder / "r.json").write_text(
            json.dumps({"note": "our own choice", "models": [{"name": "a"}, {"name": "b"}]})
        )

    def run_script(self, *more: str) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            ROOT / "scripts/lib/results_table.py",
            self.folder,
            "--roster",
            self.folder / "r.json",
            *more,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def write(self, name: str, init: str, verdicts: list[str]) -> None:
        (self.folder / f"{name}.{init}.json").write_text(json.dumps(record(name, init, verdicts)))

    def test_shows_what_the_records_say_and_what_is_not_run(self):
        self.write("a", "random", ["confirmed"])
        self.write("extra", "checkpoint", ["confirmed", "refuted"])
        self.assertEqual(self.run_script("--check").returncode, 1)
        self.assertEqual(self.run_script().returncode, 0)
        text = self.readme.read_text()
        figures = "layernorm | 24 | 4096 | 0.250000 | 0.500000 | 1.0e-20 | 3 2 1 0 | not preserved"
        self.assertIn(f"| a | random | {figures} | confirmed | 12.3 | 62% | 1.00 |\n", text)
        self.assertIn(
            f"| extra | trained | {figures} | refuted (2 norms) | 12.3 | 62% | 1.00 |\n", text
        )
        self.assertIn("Not run yet, 3 of 4 rows: a (trained), b (random), b (trained).", text)
        self.assertIn(
            "Commit abc, 2026-01-02, Some CPU, 2 cores, 16 GiB, cpu:\n\n    deadray suite r "
            "--only a\n    deadray suite r --only extra\n",
            text,
        )
        self.assertIn("our own choice", text)
        self.assertNotIn("RMSNorm", text)
        self.assertTrue(
            text.startswith("before\n<!-- table -->\n")
            and text.endswith("\n<!-- /table -->\nafter\n")
        )
        self.assertNotIn("old", text)
        self.assertEqual(self.run_script("--check").returncode, 0)
        self.run_script()
        self.assertEqual(self.readme.read_text(), text)

    def test_compares_the_control_of_rmsnorms_with_chance(self):
        for name, cosine in (("a", 0.125), ("b", 0.25), ("not-in-the-roster", 1.0)):
            made = record(name, "random", ["absent"])
            made["sites"][0] |= {
                "norm": "rmsnorm",
                "hidden_size": 16,
                "exact": made["sites"][0]["exact"] | {"abs_cos": cosine, "principal_cosines": []},
            }
            (self.folder / f"{name}.random.json").write_text(json.dumps(made))
        self.assertEqual(self.run_script().returncode, 0)
        self.assertIn(
            "is 0.75 on average over 2 final norms of the roster; chance is 0.80 ± 0.42.",
            self.readme.read_text(),
        )

    def test_refuses_what_is_no_record_in_one_line(self):
        for name, content, part in (
            ("a.random.json", "{", "not JSON"),
            ("a.random.json", "{}", "not the suite's record of a, random"),
        ):
            (self.folder / name).write_text(content)
            run = self.run_script()
            self.assertEqual((run.returncode, run.stderr.count("\n")), (3, 1), run.stderr)
            self.assertIn(part, run.stderr)
        (self.folder / "a.random.json").write_text(json.dumps(record("b", "random", ["absent"])))
        self.assertEqual(self.run_script().returncode, 3)
        (self.folder / "a.random.json").unlink()
        self.readme.write_text("no markers")
        self.assertIn("<!-- table -->", self.run_script().stderr)

    def test_the_committed_table_is_what_the_committed_records_say(self):
        run = subprocess.run(
            [sys.executable, ROOT / "scripts/lib/results_table.py", "--check"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(run.returncode, 0, run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
