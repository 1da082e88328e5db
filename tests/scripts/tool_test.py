#!/usr/bin/env python3
"""scripts/lib/tool.py: whatever a script ends in becomes one line and an exit code."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts/lib"


def run(body: str) -> tuple[int, str]:
    """Exit code and standard error of a script whose main() is `body`."""
    code = (
        f"import sys\nsys.path.insert(0, {str(SCRIPTS)!r})\nsys.argv[0] = 'script'\nfrom tool "
        f"import *\ndef main():\n    {body}\nrun_tool(main)"
    )
    ended = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr


class RunToolTest(unittest.TestCase):
    def test_takes_no_unforeseen_exception_for_a_refuted_prediction(self):
        for body, what in (
            ("{}['key']", "KeyError: 'key' (<string>, line 6)"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("main()", "RecursionError"),
        ):
            code, line = run(body)
            self.assertEqual((code, line.count("\n")), (7, 1), line)
            self.assertTrue(line.startswith(f"script: internal error: {what}"), line)
            self.assertIn("this is a defect of deadray", line)

    def test_keeps_the_codes_of_what_is_foreseen(self):
        self.assertEqual(run("pass"), (0, ""))
        self.assertEqual(run("sys.exit(3)"), (3, ""))
        self.assertEqual(run("raise ToolError(4, 'no such kind')"), (4, "script: no such kind\n"))
        self.assertEqual(run("raise KeyboardInterrupt"), (130, ""))
        self.assertEqual(run("raise BrokenPipeError"), (141, ""))
        self.assertEqual(run("raise MemoryError")[0], 6)
        self.assertEqual(run("open('/nowhere/file')")[0], 3)
        self.assertEqual(run("import signal; os.kill(os.getpid(), signal.SIGTERM)"), (143, ""))

    def test_prints_one_line_whatever_names_hold(self):
        for body in (
            r"raise ToolError(3, 'a\n\x1b[2J\udcff')",
            r"raise ValueError('a\n\x1b[2J\udcff')",
        ):
            _, line = run(body)
            self.assertEqual(line.count("\n"), 1, line)
            self.assertNotIn("\x1b", line)
            self.assertIn("\N{REPLACEMENT CHARACTER}", line)

    def test_prints_nothing_that_a_terminal_obeys(self):
        hostile = r"'a\x1b[31m\x07\x9b2J\r\u202e\n\tγ\n'"
        _, shown = run(f"sys.stderr.write({hostile})")
        self.assertEqual(shown, "a\ufffd[31m\ufffd\ufffd2J\ufffd\ufffd\n\tγ\n")
        _, shown = run(f"print({hostile}, file=sys.stderr, end='')")
        self.assertNotIn("\x1b", shown)


if __name__ == "__main__":
    unittest.main(verbosity=2)
