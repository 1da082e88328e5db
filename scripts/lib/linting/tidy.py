"""clang-tidy over the sources that changed; .clang-tidy says what for, and why not for more."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from linting import build
from linting.tree import JOBS, ROOT, Finding, from_root, git, tracked

MOST = 20  # files, unless all are asked for: with libtorch's headers one takes 10 to 30 s
ROOMS = ("host/", "verify/", "kernels/", "python/")
MEMORY = build.KEPT / "tidy.json"
FOUND = re.compile(r"^(?P<file>/[^:\n]+):(?P<line>\d+):\d+: (warning|error): (?P<what>.*)$", re.M)


def default_base() -> str:
    """Where this branch left origin/main; on main itself the commit before. "" where none is."""
    head = git("rev-parse", "HEAD").strip()
    base = git("merge-base", "origin/main", "HEAD").strip()
    return base if base and base != head else git("rev-parse", "--verify", "HEAD~1").strip()


def changed(base: str) -> set[str]:
    return set(git("diff", "--name-only", "--diff-filter=d", "-z", base).split("\0")) - {""}


class Tidy:
    def __init__(self, program: str, note: Callable[[str], None]):
        self.program, self.note = program, note
        self.memory: dict[str, str] = json.loads(MEMORY.read_text()) if MEMORY.exists() else {}
        self.looked_at = self.remembered = 0

    def check(self, files: set[str] | None) -> list[Finding]:
        """Findings in these files, or in all; a source that does not compile is always one."""
        entries = {
            name: entry
            for entry in build.compile_commands()
            if (name := from_root(entry["file"])).startswith(ROOMS) and name.endswith(".cpp")
        }
        sources = sorted(name for name in entries if files is None or name in files)
        if files is not None and len(sources) > MOST:
            self.note(
                f"clang-tidy: the first {MOST} of {len(sources)} changed sources; --all takes all"
            )
            sources = sources[:MOST]
        if not sources:
            return []
        build.KEPT.mkdir(parents=True, exist_ok=True)
        database = build.KEPT / "compile_commands.json"
        database.write_text(json.dumps([entries[name] for name in sources]))
        headers = self.headers()
        findings: set[Finding] = set()
        with ThreadPoolExecutor(JOBS) as pool:
            for found in pool.map(lambda name: self.one(name, entries[name], headers), sources):
                findings |= found
        MEMORY.write_text(json.dumps(self.memory))
        return sorted(
            f for f in findings if files is None or f.file in files or "diagnostic-error" in f.what
        )

    def headers(self) -> str:
        """One digest of all that a source may include here, and of what is looked for."""
        found = hashlib.sha256()
        for file in (*tracked("*.h", "*.cuh"), ".clang-tidy"):
            found.update((ROOT / file).read_bytes())
        return found.hexdigest()

    def one(self, name: str, entry: dict, headers: str) -> set[Finding]:
        state = [headers, (ROOT / name).read_text("utf-8"), entry["arguments"]]
        key = hashlib.sha256(json.dumps(state).encode()).hexdigest()
        if self.memory.get(name) == key:
            self.remembered += 1
            return set()
        self.looked_at += 1
        done = subprocess.run(
            [
                self.program,
                "--quiet",
                "-p",
                build.KEPT,
                "--extra-arg=-Wno-unknown-warning-option",
                entry["file"],
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        found = {
            Finding(from_root(m["file"]), int(m["line"]), m["what"])
            for m in FOUND.finditer(done.stdout)
        }
        if done.returncode and not found:
            message = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            found.add(Finding(name, 1, f"clang-tidy [diagnostic-error]: {message[-1][:200]}"))
        if not found:
            self.memory[name] = key
        return found
