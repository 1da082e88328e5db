"""deadray on a quiet machine, beside one busy loop, and beside four, in one run.

    scripts/bench_busy                                   verify, fisher, bench timing; minutes
    scripts/bench_busy --only verify --tokens 2048       one of them
    scripts/bench_busy --against OTHER/build/release/bin/deadray

A busy loop is a process that only counts, at deadray's own priority. With T threads of deadray and
B loops on C cores a fair kernel gives every thread C / (T + B) of a core. So max(1, (T + B) / C)
times the quiet seconds are the fair share, and what is above it deadray loses by itself: one thread
of two that is late keeps the other waiting.

Whole processes are timed, in rounds: all commands and builds quiet, then all beside one loop, then
beside four. The least of the rounds counts. The lines below a command are its own account, the
`seconds` of its record; of `bench timing` they are the medians of its methods. Look at those: its
readings last 50 ms at least, whatever they read.
It runs on a machine that is quiet but for it. The last line says whether that was so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tool import RESOURCES, USAGE, ToolError, run_tool, write_whole

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("verify", "fisher", "timing")
QUIET = 0
BUSY = 0.1  # of the processors; more is no quiet machine, as in `bench timing`
MEASURED = (0, 1, 8)  # exit codes; 1 and 8: measured, and refuted or undetermined
# A parent that was killed stops no one: a loop asks every few milliseconds whether it is there.
LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@contextmanager
def busy_loops(count: int) -> Iterator[list[subprocess.Popen]]:
    """Processes that keep a core busy each, as long as the block runs."""
    loops: list[subprocess.Popen] = []
    try:
        for _ in range(count):
            command = [sys.executable, "-c", LOOP, str(os.getpid())]
            loops.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        yield loops
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


def fair_share(threads: int, loops: int, cores: int) -> float:
    """How many times as long a fair kernel lets `threads` take beside `loops`."""
    return max(1.0, (threads + loops) / cores)


def account(record: dict) -> dict[str, float]:
    """Where a command says that its seconds went."""
    if record["schema"].startswith("deadray/timing/"):
        return {f"{row['method']}, d = {row['d']}": row["seconds"] for row in record["rows"]}
    told = dict(record["seconds"])
    rest = told.pop("total") - sum(told.values())
    return told | {"rest": max(0.0, rest)}


def busy_seconds(stat: Path = Path("/proc/stat")) -> float | None:
    """Processor seconds of all programs since the system started; None where it does not tell."""
    try:
        first, *ticks = stat.read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    if first != "cpu" or len(ticks) < 7:
        return None
    user, nice, system, _, _, irq, softirq = map(int, ticks[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """One whole process."""

    seconds: float
    others: float | None  # share of the processors that others used, loops among them
    account: dict[str, float]
    threads: int
    commit: str


def run(command: list[str]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        busy, own, start = busy_seconds(), children_seconds(), time.perf_counter()
        done = subprocess.run(
            [*command, "--json", str(record), "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        seconds, others = time.perf_counter() - start, None
        if busy is not None and (after := busy_seconds()) is not None:
            rest = after - busy - (children_seconds() - own)
            others = min(1.0, max(0.0, rest / (seconds * cores())))
        if done.returncode not in MEASURED:
            message = " ".join(done.stderr.split())[-300:] or "no message"
            raise ToolError(
                RESOURCES, f"{' '.join(command)}: exit code {done.returncode}: {message}"
            )
        told = json.loads(record.read_text())
    environment = told["environment"]
    return Run(seconds, others, account(told), environment["threads"], environment["commit"])


def children_seconds() -> float:
    """Processor seconds of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass
class Row:
    """One command of one build: by the number of loops beside it, the run that took least."""

    part: str
    program: str
    runs: dict[int, Run]

    def lines(self) -> Iterator[tuple[str, dict[int, float]]]:
        yield self.part, {loops: run.seconds for loops, run in self.runs.items()}
        for what in self.runs[QUIET].account:
            seconds = {loops: run.account.get(what, 0.0) for loops, run in self.runs.items()}
            if all(seconds.values()):  # else it was not asked for
                yield f"  {what}", seconds


def command_of(part: str, deadray: Path, arguments: argparse.Namespace) -> list[str]:
    if part == "timing":
        return [str(deadray), "bench", "timing", "--dims", arguments.dims]
    shape = ["--site", arguments.site, "--random-tokens", str(arguments.tokens)]
    return [str(deadray), part, str(arguments.model), *shape]


def measure(arguments: argparse.Namespace) -> list[Row]:
    programs = {"deadray": arguments.deadray}
    if arguments.against:
        programs["against"] = arguments.against
    rows = [Row(part, name, {}) for part in arguments.only for name in programs]
    for turn in range(arguments.repetitions):
        for loops in (QUIET, *arguments.beside):
            with busy_loops(loops):
                for row in rows:
                    where = f"round {turn + 1}, beside {loops}"
                    print(f"{where}: {row.part} of {row.program}", file=sys.stderr)
                    new = run(command_of(row.part, programs[row.program], arguments))
                    old = row.runs.get(loops)
                    row.runs[loops] = min(old or new, new, key=lambda run: run.seconds)
    return rows


def table(rows: list[Row], beside: list[int], cores: int) -> str:
    text = f"{'what':<28} {'build':<8} {'quiet, s':>9}" + "".join(
        f" {f'beside {loops}, s':>12} {'times':>6} {'fair':>5}" for loops in beside
    )
    for row in rows:
        for what, seconds in row.lines():
            quiet = seconds[QUIET]
            text += f"\n{what:<28} {row.program:<8} {quiet:>9.3g}"
            for loops in beside:
                times = seconds[loops] / quiet
                fair = fair_share(row.runs[loops].threads, loops, cores)
                text += f" {seconds[loops]:>12.3g} {times:>6.2f} {fair:>5.2g}"
    return text


def quiet_text(rows: list[Row]) -> str:
    shares = [row.runs[QUIET].others for row in rows]
    if None in shares:
        return "whether the machine was quiet is not known"
    text = f"beside no loop other programs used up to {100 * max(shares):.0f} % of the processors"
    return text if max(shares) <= BUSY else text + ": not quiet, do not use these figures"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_busy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    built = ROOT / "build/release/bin/deadray"
    model = ROOT / "samples/smollm2-135m"
    parser.add_argument("--model", type=Path, default=model, help="(samples/smollm2-135m)")
    parser.add_argument("--site", default="all", help="final, all (the default), or a norm's name")
    parser.add_argument("--tokens", type=int, default=1024, help="random ones (1024)")
    parser.add_argument("--dims", default="512,1024", help="of bench timing (512,1024)")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(PARTS),
        metavar="PART,…",
        help=f"of {', '.join(PARTS)}",
    )
    parser.add_argument(
        "--beside",
        type=lambda text: [int(n) for n in text.split(",")],
        default=[1, 4],
        metavar="B,…",
        help="numbers of busy loops (1,4)",
    )
    parser.add_argument("--repetitions", type=int, default=2, help="the least counts (2)")
    parser.add_argument("--deadray", type=Path, default=built, help="the program to measure")
    parser.add_argument("--against", type=Path, metavar="DEADRAY", help="another build of it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    arguments = parser.parse_args()
    for part in arguments.only:
        if part not in PARTS:
            parser.error(f"--only: unknown part {part}; there are: {', '.join(PARTS)}")
    if min(arguments.repetitions, arguments.tokens, *arguments.beside) < 1:
        parser.error("--repetitions, --tokens and --beside: at least 1")
    if arguments.only != ["timing"] and not arguments.model.exists():
        raise ToolError(RESOURCES, f"{arguments.model} is missing: scripts/samples fetches samples")
    for program in (arguments.deadray, arguments.against):
        if program and not os.access(program, os.X_OK):
            raise ToolError(
                RESOURCES, f"{program} is missing: build it with cmake --build --preset release"
            )
    return arguments


def require_record(path: Path) -> None:
    """A file that is there is replaced only where a record was: not a model's."""
    if path.exists() and not path.read_bytes()[:64].lstrip(b"{ \n").startswith(b'"schema"'):
        raise ToolError(USAGE, f"--json {path}: is there and is no record; give another name")


def main() -> None:
    arguments = parse()
    if arguments.json:
        require_record(arguments.json)
    rows = measure(arguments)
    print(table(rows, arguments.beside, cores()))
    print(quiet_text(rows))
    if arguments.json:
        record = {
            "schema": "deadray/busy/1",
            "model": arguments.model.name,
            "site": arguments.site,
            "tokens": arguments.tokens,
            "cores": cores(),
            "rows": [asdict(row) for row in rows],
        }
        text = json.dumps(record, indent=2) + "\n"
        write_whole(arguments.json, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    run_tool(main)
