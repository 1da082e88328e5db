"""What the tests of `deadray convert` share: runs of the program, and the packages.

torch and gguf write the files, safetensors and transformers read the results: nothing of deadray's
own judges it. The tests take the packages from here: where one is missing, importing this ends them
with 77 (skipped).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy as np
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    import gguf
except ImportError as error:
    print(f"skipped: {error}; scripts/setup --python installs it")
    sys.exit(77)
if not os.environ.get("DEADRAY"):
    print("skipped: $DEADRAY does not name the program")
    sys.exit(77)

__all__ = [
    "FIXTURES",
    "SITUATIONS",
    "ConvertCase",
    "gguf",
    "load_file",
    "np",
    "save_file",
    "torch",
    "transformers",
]

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/models"
SITUATIONS = ROOT / "tests/fixtures/situations/files"


class ConvertCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "out"

    def convert(self, file: Path, *options: str) -> subprocess.CompletedProcess:
        command = [os.environ["DEADRAY"], "convert", str(file), str(self.out), *options]
        return subprocess.run(command, capture_output=True, text=True)

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
