"""Runs deadray while calls of the C library fail under it, and checks how it ends.

    python3 tests/faults/run_faults.py [--seeds N] [--first SEED] [--only CASE] [--verbose]

Each seed is one run of `predict`, `verify`, `convert` or `suite` on small models: safetensors,
PyTorch, GGUF. The library deadray_faults.so lets some of its calls fail, about as many as EXPECTED
says; an undisturbed run has told how many calls there are. Then each run must have ended in one of
two ways:

- as the undisturbed one did: same exit code, same files, same output;
- with an exit code of FAILED and one line on standard error. What files there are is whole and as
  in the undisturbed run. Nothing else is left in the folder.

Never a crash in deadray's own code. Crashes whose first frame lies in a library are listed. The run
fails, too, when no call failed in any of the runs. Exit codes: 0 all held, 1 not, 6 not built.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/fixtures/models"
SAFETENSORS = MODELS / "gpt2-sharded"
PYTORCH = ROOT / "tests/fixtures/containers/pytorch/bert-pooler"
GGUF = ROOT / "tests/fixtures/gguf/models/gpt2.gguf"

FAILED = {3, 4, 6}  # damaged, unknown, resources: what broken reads and full disks look like
FILES = ("read", "write", "sync", "rename", "close", "open")
MEMORY = ("malloc", "map")
EXPECTED = (0.7, 1.5, 3.0)  # faults of a run, on average
SECONDS = 120  # a run that takes longer hangs; undisturbed ones take one or less

# What libtorch says where it cannot read /proc/cpuinfo. It goes on with kernels for any processor.
# Their sums differ in the last digits.
OTHER_KERNELS = "Error in cpuinfo"

# What differs between two runs of one input.
VOLATILE = {
    "seconds",
    "environment",
    "peak_memory_bytes",
    "started",
    "command",
    "machine",
    "roster",
}
# Frames on the way from a fault or a signal to whoever asked for it.
BETWEEN = ("deadray_faults", "libc.so", "libstdc++", "libgcc_s", "ld-linux", "linux-vdso")


@dataclass
class Case:
    name: str
    arguments: list[str]  # {out} is the run's folder
    suite: bool = False


def cases(folder: Path) -> list[Case]:
    roster = folder / "roster.json"
    entries = [{"name": m, "path": str(MODELS / m)} for m in ("gpt2-tied", "llama-mha")]
    roster.write_text(json.dumps({"schema": "deadray/roster/1", "models": entries}))
    tokens = "--random-tokens 96 --threads 2 --json {out}/record.json".split()
    found = []
    for kind, model in (("safetensors", SAFETENSORS), ("pytorch", PYTORCH), ("gguf", GGUF)):
        predict = ["predict", str(model), "--json", "{out}/record.json", "--directions", "{out}/d"]
        verify = ["verify", str(model), "--site", "all", "--dump", "{out}/dump", *tokens]
        found += [Case(f"predict {kind}", predict), Case(f"verify {kind}", verify)]
    found.append(Case("convert", ["convert", str(GGUF), "{out}/converted"]))
    suite = ["suite", str(roster), "--out", "{out}/suite", "--random-tokens", "96", "--quiet"]
    found.append(Case("suite", [*suite, "--threads", "2"], suite=True))
    return found


def comparable(value: object) -> object:
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items() if k not in VOLATILE}
    return [comparable(v) for v in value] if isinstance(value, list) else value


def content(file: Path) -> object:
    """@raise ValueError: half a JSON file"""
    data = file.read_bytes()
    return comparable(json.loads(data)) if file.suffix == ".json" else data


@dataclass
class Run:
    """One run, and what it left."""

    code: int
    output: str
    errors: list[str]  # lines of standard error but for notes and the suite's table
    files: dict[str, object]  # by path in the folder; None: half a JSON file
    faults: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    calls: Counter = field(default_factory=Counter)
    other_kernels: bool = False

    def read_report(self, file: Path) -> None:
        for line in file.read_text().splitlines() if file.exists() else []:
            _, kind, *words = line.split(" ")
            if kind == "fault":
                self.faults.append(" ".join(words))
            elif kind == "crash":
                self.crashes.append(" ".join(words))
            else:
                for word in words:
                    name, count = word.split("=")
                    self.calls[name] = max(self.calls[name], int(count))


class Programs:
    def __init__(self, build: Path):
        self.program = build / "bin/deadray-dynamic"
        self.library = build / "tests/deadray_faults.so"
        for needed in (self.program, self.library, build / "bin/deadray-verify"):
            if not needed.exists():
                print(f"{needed}: not built", file=sys.stderr)
                sys.exit(6)

    def run(self, case: Case, folder: Path, faults: str) -> Run:
        folder.mkdir()
        report = folder.with_suffix(".report")
        environment = os.environ | {
            "LD_PRELOAD": str(self.library),
            "DEADRAY_FAULTS": faults,
            "DEADRAY_FAULTS_REPORT": str(report),
        }
        command = [str(self.program), *(a.format(out=folder) for a in case.arguments)]
        try:
            done = subprocess.run(command, capture_output=True, env=environment, timeout=SECONDS)
            code, output, errors = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            code, output, errors = 124, late.stdout or b"", late.stderr or b""
        lines = errors.decode(errors="replace").splitlines()
        run = Run(code, output.decode(errors="replace").replace(str(folder), ""), [], {})
        run.other_kernels = any(line.startswith(OTHER_KERNELS) for line in lines)
        passed_over = ("note: ", OTHER_KERNELS)
        run.errors = [line for line in lines if line and not line.startswith(passed_over)]
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = file.relative_to(folder).as_posix()
            try:
                run.files[name] = content(file)
            except ValueError:
                run.files[name] = None
        run.read_report(report)
        return run


def settings(seed: int, calls: Counter) -> str:
    """The rates of one run: of files, of memory, or of both."""
    chance = random.Random(seed)
    kinds = chance.choice((FILES, MEMORY, FILES + MEMORY))
    made = [kind for kind in kinds if calls[kind] > 0]
    each = chance.choice(EXPECTED) / len(made)
    rates = [f"{kind}={each / calls[kind]:.9g}" for kind in made]
    return ",".join([f"seed={seed}", *rates])


def verdicts(record: object) -> list[str]:
    """Of a record; of a dump, which has none, an empty list."""
    if isinstance(record, dict):
        own = [record["verdict"]] if record.get("verdict") else []
        return own + [v for value in record.values() for v in verdicts(value)]
    return [v for value in record for v in verdicts(value)] if isinstance(record, list) else []


def in_library(crash: str) -> str:
    """The frame outside the C library that a crash came from; empty where it is deadray's own."""
    frames = [f for f in crash.split(" ")[1:] if not f.startswith(BETWEEN)]
    return frames[0] if frames and not frames[0].startswith("deadray") else ""


def flaws_of_rows(rows: list[dict], wanted: list[dict]) -> list[str]:
    """Of a suite's summary: a row is as it should be, or it failed."""
    failed = {"state", "code", "reason"}
    return [
        f"suite.json says otherwise of {row['model']}: {row}"
        for row, want in zip(rows, wanted, strict=True)
        if row.get("verdict") != want["verdict"] and not failed <= row.keys()
    ]


def flaws_of_files(case: Case, run: Run, undisturbed: Run) -> list[str]:
    found = []
    for name, what in run.files.items():
        want = undisturbed.files.get(name)
        if name not in undisturbed.files:
            found.append(f"left {name} behind")
        elif what is None:
            found.append(f"{name} is half a record")
        elif case.suite and name.endswith("suite.json"):
            found += flaws_of_rows(what["rows"], want["rows"])
        elif what != want and not (run.other_kernels and verdicts(what) == verdicts(want)):
            found.append(f"{name} differs, verdicts {verdicts(what)}")
    return found


def flaws_of_end(case: Case, run: Run, undisturbed: Run) -> list[str]:
    if run.code == undisturbed.code:
        found = []
        if run.files.keys() != undisturbed.files.keys():
            found.append(f"exit code {run.code}, but only {sorted(run.files)}")
        if len(run.output.splitlines()) != len(undisturbed.output.splitlines()):  # it has timings
            found.append(f"exit code {run.code}, but other output")
        if run.errors:
            found.append(f"exit code {run.code}, but {run.errors}")
        return found
    if run.code not in FAILED:
        return [f"exit code {run.code}: {run.errors}"]
    most = 1 + case.suite * len(undisturbed.files)  # a suite has a line for each row that failed
    if not 1 <= len(run.errors) <= most:
        return [f"{len(run.errors)} lines: {run.errors}"]
    return []


def flaws(case: Case, run: Run, undisturbed: Run) -> list[str]:
    found = flaws_of_files(case, run, undisturbed)
    if run.crashes or run.code < 0:
        if run.crashes and all(map(in_library, run.crashes)):
            return [f for f in found if ".part" not in f]
        return [*found, f"crashed: {run.code} {run.crashes}"]
    return found + flaws_of_end(case, run, undisturbed)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=1, help="seed to begin with")
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--verbose", action="store_true", help="say how each seed ended")
    arguments = parser.parse_args()
    programs = Programs(arguments.build)
    ends, kinds, listed, failed = Counter(), Counter(), Counter(), 0
    with tempfile.TemporaryDirectory(prefix="deadray-faults-") as name:
        folder = Path(name)
        every = [case for case in cases(folder) if case.name.startswith(arguments.only)]
        undisturbed = [
            programs.run(case, folder / f"case{i}", "seed=0") for i, case in enumerate(every)
        ]
        for case, run in zip(every, undisturbed, strict=True):
            assert run.code in (0, 8) and not run.errors, f"{case.name}: {run.code} {run.errors}"
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            i = seed % len(every)
            faults = settings(seed, undisturbed[i].calls)
            run = programs.run(every[i], folder / str(seed), faults)
            found = flaws(every[i], run, undisturbed[i])
            ends[run.code] += 1
            kinds.update(fault.split(" ")[0] for fault in run.faults)
            listed.update(frame for crash in run.crashes if (frame := in_library(crash)))
            if found or arguments.verbose:
                print(
                    f"seed {seed}: {every[i].name}: exit code {run.code}, DEADRAY_FAULTS={faults}"
                )
                print("".join(f"  {line}\n" for line in [*run.faults, *run.errors, *found]), end="")
            failed += bool(found)
    print(f"{arguments.seeds} runs, exit codes {dict(sorted(ends.items()))}")
    print(f"{kinds.total()} calls failed: {dict(kinds.most_common())}")
    for frame, count in listed.most_common():
        print(f"crashed in a library, {count} times: {frame}")
    if kinds.total() == 0:
        print("no call failed: this run shows nothing")
    return 1 if failed or kinds.total() == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
