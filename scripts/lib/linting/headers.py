"""Every header compiles alone, with the flags of its room.

A header of device code is compiled over the emulation of CUDA in tests/simt, as the tests are.
What compiled is remembered with the contents of all files that it read, so that a second run
compiles only what changed. Where nothing is remembered, as in a fresh clone, those are compiled
that a change since the base can have broken: they themselves, or what they include; not more than
some, since the build shows most of it. A door that closed, a change of CMake's, shows there too.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from linting import build
from linting.tree import JOBS, ROOT, Finding, from_root, tracked

MOST = 40  # unless all are asked for: with libtorch's headers one takes 3 to 10 s
TOPS = ("host", "verify", "kernels", "python")
MEMORY = build.KEPT / "headers.json"
ERROR = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: (fatal )?error: (?P<what>.*)$", re.M)


def room_of(header: str) -> dict | None:
    """The room whose folder holds the header; the innermost where one lies in another."""
    holding = [room for room in build.rooms() if header.startswith(f"{room['room']}/")]
    return max(holding, key=lambda room: len(room["room"]), default=None)


def flags_of(room: dict) -> list[str]:
    system = room["system_include_directories"]
    # /usr/include is looked at in any case; named, it would hide the compiler's own headers.
    seen = dict.fromkeys(
        path for path in room["include_directories"] if path not in (*system, "", "/usr/include")
    )
    return [
        *(f"-I{path}" for path in seen),
        *(f"-isystem{path}" for path in dict.fromkeys(system) if path not in ("", "/usr/include")),
        *(f"-D{definition}" for definition in room["compile_definitions"] if definition),
        *filter(None, room["compile_options"]),
    ]


@cache
def emulation() -> list[str] | None:
    """Flags that make device code compile on the host; None where the build has no CUDA."""
    for entry in build.compile_commands():
        words = entry["arguments"]
        if "-DDEADRAY_SIMT" in words:
            at = words.index("-include")
            paths = [words[i + 1] for i, word in enumerate(words) if word == "-isystem"]
            doors = [word for word in words if word.startswith("-I")]
            return [
                "-DDEADRAY_SIMT",
                "-include",
                words[at + 1],
                *doors,
                *map("-isystem{}".format, paths),
            ]
    return None


@cache
def includes_of(file: str) -> list[str]:
    return re.findall(r'^#include [<"](.+)[>"]', (ROOT / file).read_text("utf-8"), re.M)


def reached(header: str) -> set[str]:
    """All that a header includes, by itself or through headers of ours; and itself."""
    found, waiting = {header}, [header]
    while waiting:
        for name in includes_of(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting += [name] if (ROOT / name).is_file() else []
    return found


def may_be_broken(header: str, changed: set[str] | None) -> bool:
    """Whether to compile it: where no base is known, and after a change of what it sees."""
    return changed is None or bool(reached(header) & changed)


def digest(path: str | Path) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "none"


class Headers:
    def __init__(self, note: Callable[[str], None]):
        self.note = note
        self.memory = json.loads(MEMORY.read_text()) if MEMORY.exists() else {}
        self.digests = cache(digest)
        self.compiled = self.left_out = self.remembered = 0

    def check(self, changed: set[str] | None) -> list[Finding]:
        """`changed` are the files that changed since the base; None asks for every header."""
        work: list[tuple[str, list[str]]] = []
        for header in tracked(*(f"{top}/*.h" for top in TOPS), "kernels/*.cuh"):
            room = room_of(header)
            if room is None:
                self.note(f"{header}: not compiled: this build has no room that holds it")
                continue
            command = [build.compiler(), "-std=c++20", "-fsyntax-only", *flags_of(room)]
            if header.endswith(".cuh"):
                if emulation() is None:
                    self.note(
                        f"{header}: not compiled: device code, and this build is without CUDA"
                    )
                    continue
                command += emulation()
            if may_be_broken(header, changed):
                work.append((header, command))
            else:
                self.left_out += 1
        if changed is not None and len(work) > MOST:
            self.note(f"headers: {MOST} of {len(work)} that see a change, the changed ones first")
            work.sort(key=lambda item: item[0] not in changed)
            self.left_out += len(work) - MOST
            work = work[:MOST]
        try:
            with ThreadPoolExecutor(JOBS) as pool:
                each = pool.map(lambda item: self.one(*item), work)
                return [finding for found in each for finding in found]
        finally:  # what was found clean is remembered when the rest is interrupted, too
            MEMORY.parent.mkdir(parents=True, exist_ok=True)
            MEMORY.write_text(json.dumps(self.memory))

    def one(self, header: str, command: list[str]) -> list[Finding]:
        known = self.memory.get(header)
        if known and known["command"] == command and self.unchanged(known["files"]):
            self.remembered += 1
            return []
        self.compiled += 1
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "files"
            done = subprocess.run(
                [*command, "-MMD", "-MF", listed, "-MT", "it", "-x", "c++", "-"],
                input=f'#include "{header}"\n',
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                read = listed.read_text().replace("\\\n", " ").split()[1:]
                files = {
                    str((ROOT / file).resolve()) for file in read if file not in ("-", "<stdin>")
                }
                self.memory[header] = {
                    "command": command,
                    "files": {file: self.digests(file) for file in sorted(files)},
                }
                return []
        self.memory.pop(header, None)
        error = ERROR.search(done.stderr)
        if error is None:
            return [Finding(header, 1, f"does not compile alone: {done.stderr.strip()[:200]}")]
        at = f"{from_root(error['file'])}:{error['line']}"
        return [Finding(header, 1, f"does not compile alone: {at}: {error['what']}")]

    def unchanged(self, files: dict[str, str]) -> bool:
        return all(self.digests(file) == known for file, known in files.items())
