#!/usr/bin/env python3
"""docs/security.md and what it promises of the programs as they are built.

Each promise names tests that exist. The programs load no library from the folder in which they are
called. DEADRAY=build/release/bin/deadray python3 tests/scripts/security_test.py
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/security.md"
PROMISE = re.compile(r"^- \*\*", re.MULTILINE)
TESTS = re.compile(r"`(tests/[\w/.-]+)`(?:: ((?:`\w+`(?:, | and )?)+))?")
COMMANDS = (["predict", "--help"], ["verify", "--help"])


def named_tests(text: str) -> list[tuple[str, list[str]]]:
    """Files of tests, each with the names of tests that follow it."""
    return [
        (file, re.findall(r"`(\w+)`", names))
        for file, names in TESTS.findall(" ".join(text.split()))
    ]


def promises(page: str) -> list[str]:
    section = page[page.index("## Promises") :]
    section = section[: section.index("\n## ", 1)]
    return [f"- **{part}" for part in PROMISE.split(section)[1:]]


def is_test_in(name: str, source: str) -> bool:
    """Whether a file has a test of that name: of GoogleTest, of unittest, or the fuzz targets."""
    return re.search(rf"\bTEST(?:_F|_P)?\(\w+, {name}\)|def {name}\(", source) is not None


class SecurityPageTest(unittest.TestCase):
    def test_every_promise_names_its_tests(self) -> None:
        found = promises(PAGE.read_text("utf-8"))
        self.assertGreater(len(found), 5)
        for promise in found:
            with self.subTest(promise[:60]):
                self.assertTrue(named_tests(promise), "no test named")

    def test_every_named_test_exists(self) -> None:
        for file, names in named_tests(PAGE.read_text("utf-8")):
            with self.subTest(file):
                self.assertTrue((ROOT / file).exists(), "no such file")
                for name in names:
                    self.assertTrue(is_test_in(name, (ROOT / file).read_text("utf-8")), name)

    def test_sees_what_is_missing(self) -> None:
        self.assertEqual(
            named_tests("proved by `tests/a_test.cpp`:\n`DoesIt`, `Too` and\n`test_x`, and `else`"),
            [("tests/a_test.cpp", ["DoesIt", "Too", "test_x"])],
        )
        self.assertTrue(is_test_in("DoesIt", "TEST_F(ATest, DoesIt) {"))
        self.assertFalse(is_test_in("DoesIt", "TEST_F(ATest, DoesItNot) {"))
        self.assertEqual(len(promises("## Promises\n- **A.** b\n- **B.** c\n\n## Limits\n")), 2)


@unittest.skipUnless(os.environ.get("DEADRAY"), "$DEADRAY does not name the program")
class LibrariesTest(unittest.TestCase):
    def test_none_is_looked_for_in_the_current_folder(self) -> None:
        """A model's folder may hold a libstdc++.so.6 of its own."""
        program = str(Path(os.environ["DEADRAY"]).resolve())
        environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
        with tempfile.TemporaryDirectory() as folder:
            for command in COMMANDS:
                run = subprocess.run(
                    [program, *command],
                    cwd=folder,
                    env=environment | {"LD_DEBUG": "libs"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                tried = re.findall(r"trying file=(.*)", run.stderr)
                if run.returncode == 6:  # no deadray-verify in this build
                    continue
                self.assertEqual(run.returncode, 0, run.stderr[-1000:])
                self.assertEqual([file for file in tried if not file.startswith("/")], [], command)


if __name__ == "__main__":
    unittest.main(verbosity=2)
