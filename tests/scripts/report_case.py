"""What the tests of scripts/lib/report.py share: a folder for records, and runs of the script."""

from __future__ import annotations

import csv
import importlib.util
import io
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import report_records as made

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
sys.dont_write_bytecode = True
needs_matplotlib = unittest.skipUnless(
    importlib.util.find_spec("matplotlib"), "matplotlib is missing: scripts/setup --report"
)


class ReportTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def report(
        self, *more: str, python: tuple[str, ...] = (), folder: Path | None = None
    ) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            *python,
            "-B",
            ROOT / "scripts/lib/report.py",
            folder or self.folder,
            *more,
        ]
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
