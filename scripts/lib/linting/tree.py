"""What is checked and how findings are told."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tool import RESOURCES, ToolError

ROOT = Path(__file__).resolve().parents[3]
JOBS = 2  # processes side by side


@dataclass(frozen=True, order=True)
class Finding:
    file: str  # from the root of the repository
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def git(*words: str) -> str:
    """Standard output of a git command; "" where it fails, for example for an unknown commit."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise ToolError(RESOURCES, "missing: git; scripts/setup installs it") from error


def tracked(*patterns: str) -> list[str]:
    """Files under git whose path or name matches a pattern, without those that were removed."""
    files = [name for name in git("ls-files", "-z").split("\0") if name]
    if not files:
        raise ToolError(RESOURCES, f"{ROOT}: git lists no files; scripts/lint checks what it lists")
    return [
        file
        for file in files
        if any(fnmatch(file, pattern) or fnmatch(Path(file).name, pattern) for pattern in patterns)
        and (ROOT / file).is_file()
    ]


def from_root(path: str | Path) -> str:
    """A path as findings name it. The build's doors to the rooms are links into the tree."""
    real = (ROOT / path).resolve()
    return real.relative_to(ROOT).as_posix() if real.is_relative_to(ROOT) else str(path)
