#!/usr/bin/env python3
"""scripts/timing_table on records that the test writes, and the table that is committed.

python3 tests/scripts/timing_table_test.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def record(date: str, *rows: tuple[int, str, str | None, float]) -> str:
    return json.dumps(
        {
            "schema": "deadray/timing/1",
            "date": date,
            "rows": [
                {
                    "d": d,
                    "method": method,
                    "peer": peer,
                    "device": "cpu",
                    "model": None,
                    "seconds": seconds,
                }
                for d, method, peer, seconds in rows
            ],
        }
    )


class TimingTableTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.document = self.folder / "timing.md"
        self.document.write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n")

    def run_script(self, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, ROOT / "scripts/lib/timing_table.py", *arguments],
            capture_output=True,
            text=True,
        )

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def test_has_a_line_for_each_method_and_library(self) -> None:
        old = self.write(
            "a.json",
            record(
                "2026-01-01",
                (256, "predict", None, 2e-7),
                (256, "eigh", None, 0.01),
                (256, "eigh", "scipy evr", 0.02),
            ),
        )
        new = self.write(
            "b.json",
            record("2026-01-02", (512, "eigh", None, 0.08), (256, "eigh", "scipy evr", 0.03)),
        )
        done = self.run_script("--document", self.document, new, old)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            self.document.read_text().splitlines(),
            [
                "before",
                "<!-- table -->",
                "| method | of | 256 | 512 | grows as |",
                "|---|---|---|---|---|",
                "| `predict` | deadray | 200 ns |  |  |",
                "| `eigh` | deadray | 10 ms | 80 ms | d^3.00 |",
                "| `eigh` | scipy evr | 30 ms |  |  |",
                "<!-- /table -->",
                "after",
            ],
        )
        self.assertEqual(
            self.run_script("--check", "--document", self.document, old, new).returncode, 0
        )
        self.assertEqual(self.run_script("--check", "--document", self.document, old).returncode, 1)

    def test_refuses_another_record(self) -> None:
        done = self.run_script(
            "--document", self.document, self.write("c.json", '{"schema": "deadray/verify/1"}')
        )
        self.assertEqual(done.returncode, 3)
        self.assertIn("deadray/verify/1", done.stderr)

    def test_the_committed_table_is_that_of_the_committed_records(self) -> None:
        self.assertEqual(self.run_script("--check").returncode, 0, "run scripts/timing_table")


if __name__ == "__main__":
    unittest.main()
