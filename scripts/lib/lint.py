"""Checks what git tracks, and names each finding in a line: file:line: what is wrong there.

    scripts/lint                   every check that can be made here
    scripts/lint --fix             lets clang-format and ruff write the files first
    scripts/lint --before-build    formats of C++ and Python, ruff's lints, widths
    scripts/lint --after-build     headers compile alone; clang-tidy

The checks after the build read build/release, which scripts/test makes. They look at what changed
since --base: at 40 headers at most that see a change, and with clang-tidy at 20 sources. --all
takes everything.
Exit codes: 0 clean, 1 findings, 2 usage, 6 something missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from linting import build, formats
from linting.headers import Headers
from linting.tidy import Tidy, changed, default_base
from linting.tree import Finding, git
from tool import RESOURCES, USAGE, ToolError, run_tool


def note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def before_build(tools: formats.Tools) -> list[Finding]:
    return formats.cxx_format(tools) + formats.python_format(tools) + formats.widths()


def after_build(tools: formats.Tools, base: str | None, everything: bool) -> list[Finding]:
    base = base or default_base()
    if not base and not everything:
        note("no commit before this one to compare with: every header, and clang-tidy on no source")
    since = None if everything or not base else changed(base)
    headers = Headers(note)
    findings = headers.check(since)
    tidy = Tidy(tools.path("clang-tidy"), note)
    if everything or base:
        findings += tidy.check(since)
    print(
        f"{headers.compiled} headers compiled alone, {headers.left_out} left out, "
        f"{headers.remembered} remembered as clean; clang-tidy on {tidy.looked_at} sources, "
        f"{tidy.remembered} remembered as clean",
        file=sys.stderr,
    )
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/lint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fix", action="store_true", help="format the files first")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--before-build", action="store_true", help="only what needs no build")
    part.add_argument("--after-build", action="store_true", help="only what needs the build")
    parser.add_argument("--base", metavar="REV", help="what changed since this commit")
    parser.add_argument("--all", action="store_true", help="every header and every source")
    arguments = parser.parse_args()
    if arguments.base and not git(
        "rev-parse", "--verify", "--quiet", f"{arguments.base}^{{commit}}"
    ):
        raise ToolError(USAGE, f"--base {arguments.base}: no such commit")
    tools = formats.Tools(Path(sys.executable).parent)
    if arguments.fix:
        formats.fix(tools)
    findings = [] if arguments.after_build else before_build(tools)
    if not arguments.before_build:
        if build.rooms():
            findings += after_build(tools, arguments.base, arguments.all)
        elif arguments.after_build:
            raise ToolError(RESOURCES, f"{build.BUILD} holds no build: cmake --preset release")
        else:
            note(f"headers and clang-tidy: not checked: {build.BUILD} holds no build")
    for finding in sorted(set(findings)):
        print(finding)
    if findings:
        print(f"{len(set(findings))} findings", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_tool(main)
