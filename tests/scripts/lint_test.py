#!/usr/bin/env python3
"""scripts/lib/lint.py on a small repository that the test makes: what it finds, and what it mends.

.venv/bin/python tests/scripts/lint_test.py   exit code 77 (skipped): no scripts/setup --lint
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
GOOD_CXX = "#pragma once\n\nint twice(int n);\n"
BAD_CXX = "#pragma once\nint   twice( int n ) ;\n"
GOOD_PYTHON = "print(1)\n"


class LintTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        for name in (".clang-format", ".clang-tidy", "ruff.toml"):
            shutil.copy(ROOT / name, self.folder / name)
        library = self.folder / "scripts/lib"
        library.mkdir(parents=True)
        for name in ("lint.py", "tool.py"):
            shutil.copy(ROOT / "scripts/lib" / name, library / name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "scripts/lib/linting", library / "linting", ignore=ignored)
        self.git("init", "--quiet")
        self.write("host/base/twice.h", GOOD_CXX)
        self.write("tests/one.py", GOOD_PYTHON)
        self.commit()

    def git(self, *words: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *names, *words], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a")

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        return file

    def lint(self, *options: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-B", self.folder / "scripts/lib/lint.py", *options],
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def assert_clean(self, *options: str) -> subprocess.CompletedProcess:
        run = self.lint(*options)
        self.assertEqual((run.returncode, run.stdout), (0, ""), run.stderr)
        return run

    def assert_finds(self, lines: list[str], *options: str) -> None:
        """Every finding is one line that begins so."""
        run = self.lint(*options)
        found = run.stdout.splitlines()
        self.assertEqual((run.returncode, len(found)), (1, len(lines)), run.stdout + run.stderr)
        for line, expected in zip(found, lines, strict=True):
            self.assertTrue(line.startswith(expected), f"{line!r}, expected {expected!r}")


class FormatsTest(LintTest):
    def test_a_good_tree_is_clean(self):
        self.assert_clean("--before-build")

    def test_names_each_file_that_the_formatters_would_change(self):
        self.write("host/base/twice.h", BAD_CXX)
        self.write("tests/one.py", "print( 1 )\n")
        self.assert_finds(
            ["host/base/twice.h:2: not as clang-format", "tests/one.py:1: not as ruff"],
            "--before-build",
        )

    def test_fix_mends_what_the_formatters_can(self):
        file = self.write("host/base/twice.h", "#pragma once\n\nint   twice( int n ) ;\n")
        self.write("tests/one.py", "import os\nprint( 1 )\n")
        self.assert_clean("--before-build", "--fix")
        self.assertEqual(file.read_text(), GOOD_CXX)

    def test_names_what_ruff_finds_with_its_line(self):
        self.write("tests/one.py", "for l in (1, 2):\n    print(l)\n")
        self.assert_finds(["tests/one.py:1: E741 "], "--before-build")

    def test_names_lines_that_no_formatter_breaks(self):
        self.write("scripts/run", "#!/bin/sh\n# " + "a" * 99 + "\n")
        self.write("CMakeLists.txt", "é" * 100 + "\n" + "# " + "é" * 100 + "\n")
        self.assert_finds(
            ["CMakeLists.txt:2: 102 columns", "scripts/run:2: 101 columns"], "--before-build"
        )

    def test_leaves_alone_what_git_does_not_know(self):
        self.write(".gitignore", "out/\n")
        self.write("out/twice.h", BAD_CXX)
        self.assert_clean("--before-build")


class AfterBuildTest(LintTest):
    def setUp(self):
        super().setUp()
        build = self.folder / "build/release"
        door = build / "doors/host_base/host"
        door.mkdir(parents=True)
        (door / "base").symlink_to(self.folder / "host/base")
        room = {
            "room": "host/base",
            "uses": [],
            "include_directories": [str(door.parent)],
            "system_include_directories": [],
            "compile_definitions": [],
            "compile_options": [],
        }
        rooms = {"source": str(self.folder), "rooms": [room]}
        (build / "rooms.json").write_text(json.dumps(rooms))
        source = self.folder / "host/base/twice.cpp"
        self.include = f"-I{door.parent}"
        command = (
            f"c++ {self.include} -Winvalid-pch -include /no/cmake_pch.hxx -std=c++20 -c {source}"
        )
        entry = {"directory": str(build), "file": str(source), "command": command}
        (build / "compile_commands.json").write_text(json.dumps([entry]))
        self.write(".gitignore", "/build/\n")
        text = '#include "host/base/twice.h"\n\nint twice(int n) { return 2 * n; }\n'
        self.write("host/base/twice.cpp", text)
        self.commit()

    def test_says_what_is_missing_without_a_build(self):
        shutil.rmtree(self.folder / "build")
        run = self.lint("--after-build")
        self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
        self.assertIn("holds no build", self.assert_clean().stderr)

    def test_a_header_that_lacks_an_include_is_found(self):
        self.write("host/base/names.h", "#pragma once\n\nstd::string name();\n")
        self.assert_finds(
            ["host/base/names.h:1: does not compile alone: host/base/names.h:3: "], "--after-build"
        )

    def test_a_header_is_compiled_again_only_when_what_it_reads_changed(self):
        self.write("host/base/four.h", '#pragma once\n\n#include "host/base/twice.h"\n')
        for compiled, remembered in ((2, 0), (0, 2)):
            self.assertIn(
                f"{compiled} headers compiled alone, 0 left out, {remembered} remembered",
                self.assert_clean("--after-build", "--all").stderr,
            )
        self.write("host/base/twice.h", GOOD_CXX + "int thrice(int n);\n")
        self.assertIn("2 headers compiled", self.assert_clean("--after-build", "--all").stderr)

    def test_a_header_is_compiled_when_what_it_sees_changed(self):
        self.write("host/base/four.h", '#pragma once\n\n#include "host/base/twice.h"\n')
        self.write("host/base/other.h", "#pragma once\n")
        self.commit()
        run = self.assert_clean("--after-build", "--base", "HEAD")
        self.assertIn("0 headers compiled alone, 3 left out", run.stderr)
        self.write("host/base/twice.h", GOOD_CXX + "int thrice(int n);\n")
        run = self.assert_clean("--after-build", "--base", "HEAD")
        self.assertIn("2 headers compiled alone, 1 left out", run.stderr)
        run = self.assert_clean("--after-build", "--base", "HEAD", "--all")
        self.assertIn("0 left out", run.stderr)

    def test_sources_that_compile_at_once_are_looked_at_each(self):
        source, unity = self.folder / "host/base/twice.cpp", self.folder / "build/unity_0_cxx.cxx"
        unity.write_text(f'/* by CMake */\n\n#include "{source}"\n')
        commands = self.folder / "build/release/compile_commands.json"
        commands.write_text(commands.read_text().replace(str(source), str(unity)))
        text = '#include "host/base/twice.h"\n\nint twice(int Count) { return 2 * Count; }\n'
        self.write("host/base/twice.cpp", text)
        self.assert_finds(
            ["host/base/twice.cpp:3: invalid case style"], "--after-build", "--base", "HEAD"
        )

    def test_clang_tidy_looks_at_what_changed(self):
        for looked_at, remembered in ((1, 0), (0, 1)):
            self.assertIn(
                f"clang-tidy on {looked_at} sources, {remembered} remembered",
                self.assert_clean("--after-build").stderr,
            )
        self.assertIn(
            "clang-tidy on 0 sources", self.assert_clean("--after-build", "--base", "HEAD").stderr
        )
        text = '#include "host/base/twice.h"\n\nint twice(int Count) { return 2 * Count; }\n'
        self.write("host/base/twice.cpp", text)
        self.assert_finds(
            ["host/base/twice.cpp:3: invalid case style"], "--after-build", "--base", "HEAD"
        )

    def test_says_what_is_missing_without_its_packages(self):
        for name in ("lint", "lib/lib.sh"):
            shutil.copy(ROOT / "scripts" / name, self.folder / "scripts" / name)
        command = [self.folder / "scripts/lint"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (6, 1), run.stderr)
        self.assertIn("run scripts/setup --lint", run.stderr)

    def test_an_unknown_base_is_a_usage_error(self):
        run = self.lint("--base", "nothing")
        self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)


if __name__ == "__main__":
    missing = [
        name for name in ("clang-format", "clang-tidy", "ruff") if not (TOOLS / name).exists()
    ]
    if missing:
        print(f"skipped: no {', '.join(missing)} in {TOOLS}; scripts/setup --lint installs it")
        sys.exit(77)
    unittest.main(verbosity=2)
