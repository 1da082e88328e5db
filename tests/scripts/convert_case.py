"""What the tests of scripts/convert share: runs of the program in this process, and the packages.

The tests take the packages from here: where one is missing, importing this ends them with 77
(skipped).
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple
from unittest import mock

try:
    import gguf
    import numpy as np
    import torch
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}; scripts/setup --python installs it")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import convert  # noqa: E402
from tool import run_tool  # noqa: E402

__all__ = ["FIXTURES", "ROOT", "SITUATIONS", "ConvertCase", "gguf", "load_file", "np", "torch"]

FIXTURES = ROOT / "tests/fixtures/models"
SITUATIONS = ROOT / "tests/fixtures/situations/files"


class Outcome(NamedTuple):
    returncode: int
    stderr: str


class ConvertCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "out"

    def convert(self, file: Path, *options: str) -> Outcome:
        """As the program runs, but in this process: torch takes seconds to load."""
        errors = io.StringIO()
        arguments = ["convert.py", str(file), str(self.out), *options]
        with (
            mock.patch("sys.argv", arguments),
            contextlib.redirect_stderr(errors),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            try:
                run_tool(convert.main)
                code = 0
            except SystemExit as exit:
                code = exit.code
        return Outcome(code, errors.getvalue())

    def expect_failure(self, file: Path, code: int, *words: str) -> None:
        """One line, the right exit code, every word in it, and nothing left behind."""
        result = self.convert(file)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual([p.name for p in self.out.glob("*")] if self.out.exists() else [], [])

    def write(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name
