"""Checks that need no build: clang-format, ruff, and the width of what no formatter breaks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from linting.tree import ROOT, Finding, tracked
from tool import RESOURCES, ToolError

WIDTH = 100
CXX = ("*.cpp", "*.h", "*.cu", "*.cuh")
PYTHON = ("*.py", "*.pyi")
# What the width is checked of. The formatter leaves long literals and comments in C++ as they are;
# ruff checks Python itself.
NARROW = (
    "CMakeLists.txt",
    "*.cmake",
    "CMakePresets.json",
    "pyproject.toml",
    "*.sh",
    "scripts/*",
    *CXX,
)
LOCATED = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+):(\d+:)? (?P<what>.*)")


class Tools:
    """The pinned programs, beside the interpreter that runs this: `scripts/setup --lint`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> str:
        program = self.folder / name
        if not program.exists():
            raise ToolError(RESOURCES, f"missing: {program}; run scripts/setup --lint")
        return str(program)

    def run(self, name: str, *words: str) -> str:
        """Everything that the program prints. How it ends is not looked at: it prints why."""
        command = [self.path(name), *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode and not (done.stdout + done.stderr).strip():
            raise ToolError(RESOURCES, f"{name}: exit code {done.returncode}, without a word")
        return done.stdout + done.stderr


def fix(tools: Tools) -> None:
    if sources := tracked(*CXX):
        tools.run("clang-format", "-i", *sources)
    if scripts := tracked(*PYTHON):
        tools.run("ruff", "check", "--quiet", "--fix", *scripts)
        tools.run("ruff", "format", "--quiet", *scripts)


def cxx_format(tools: Tools) -> list[Finding]:
    """One finding a file, at the first line that clang-format would write otherwise."""
    sources = tracked(*CXX)
    output = tools.run("clang-format", "--dry-run", "-Werror", *sources) if sources else ""
    first: dict[str, int] = {}
    for match in LOCATED.finditer(output):
        if "clang-format-violations" in match["what"]:
            first.setdefault(match["file"], int(match["line"]))
    if "error" in output and not first:
        raise ToolError(RESOURCES, f"clang-format: {output.strip().splitlines()[0]}")
    what = "not as clang-format writes it: run scripts/lint --fix"
    return [Finding(file, line, what) for file, line in first.items()]


def python_format(tools: Tools) -> list[Finding]:
    scripts = tracked(*PYTHON)
    if not scripts:
        return []
    output = tools.run("ruff", "format", "--check", *scripts)
    files = re.findall(r"^Would reformat: (.+)$", output, re.MULTILINE)
    what = "not as ruff formats it: run scripts/lint --fix"
    findings = [Finding(file, 1, what) for file in files]
    output = tools.run("ruff", "check", "--output-format", "concise", "--no-fix", *scripts)
    if not findings and "All checks passed" not in output and not LOCATED.search(output):
        raise ToolError(RESOURCES, f"ruff: {output.strip().splitlines()[0]}")
    found = (LOCATED.fullmatch(line) for line in output.splitlines())
    return findings + [Finding(m["file"], int(m["line"]), m["what"]) for m in found if m]


def widths() -> list[Finding]:
    findings = []
    for file in tracked(*NARROW):
        if file.endswith(".py") or file.startswith(("scripts/rosters/", "scripts/lib/reporting/")):
            continue
        for number, line in enumerate((ROOT / file).read_text("utf-8").splitlines(), 1):
            if len(line) > WIDTH:
                findings.append(Finding(file, number, f"{len(line)} columns, at most {WIDTH}"))
    return findings
