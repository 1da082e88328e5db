"""deadray.watch side by side with what one would write by hand, in one run on one machine.

    scripts/bench_watch                     8 LayerNorms of width 2048, 8192 rows; minutes
    scripts/bench_watch --rows 16384 --turns 3 --json FILE

By hand (scripts/lib/watch_bench/by_hand.py): forward hooks keep every norm's input and output, then
torch.cov in FP64, torch.linalg.eigh and a Cholesky factor give what `watch` gives: both readings
and the Schur ratios. By hand, deployed: the outputs alone, and so do two of the watching sides.
Bare: the forward passes alone. Each is a process of its own, and they take turns, so that a busy
machine slows all.

Seconds are medians, from the first pass to the last figure, of the wall's clock and of the
processor's, which other people's load moves far less. Imports and the making of the model are left
out. Peak memory is the kernel's own count (VmHWM), the largest of a side's turns, and less
that of the bare passes.

The answers are compared where both sides have them: |cos|, and the least, second and last
eigenvalue over the largest, in each reading, and the Schur ratios. Wanted: three times as fast, at
most half the memory beyond the bare passes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from bench_baseline import ROOT, Run, run
from tool import RESOURCES, ToolError, run_tool, write_whole
from watch_bench.side import SIDES, WATCHED

FASTER, LEANER = 3.0, 0.5
KEYS = {"seconds": "wall s", "cpu_seconds": "cpu s", "peak_mb": "peak MB"}


def turns(arguments: argparse.Namespace) -> dict[str, list[dict]]:
    command = [sys.executable, "-m", "watch_bench.side"]
    sizes = ("width", "norms", "rows", "batch", "threads")
    sizes = [word for name in sizes for word in (f"--{name}", str(getattr(arguments, name)))]
    path = f"{arguments.package}{os.pathsep}{ROOT / 'scripts/lib'}"
    environment = os.environ | {"PYTHONPATH": path}
    done: dict[str, list[dict]] = {side: [] for side in SIDES}
    for turn in range(arguments.turns):
        for side in SIDES:
            print(f"turn {turn + 1} of {arguments.turns}: {side}", file=sys.stderr, flush=True)
            result: Run = run([*command, side, *sizes], environment)
            done[side].append(json.loads(result.output))
    return done


def disagreement(by_hand: dict[str, dict], watched: dict[str, dict]) -> tuple[float, float]:
    """The largest difference of |cos| or a Schur ratio, and of eigenvalues over the largest."""
    if by_hand.keys() != watched.keys():
        raise ToolError(RESOURCES, f"the sides found different norms: {list(watched)}")
    ratios, eigenvalues = [0.0], [0.0]
    for name, one in by_hand.items():
        other = watched[name]
        for reading in one.keys() & {"exact", "deployed"}:
            mine, theirs = one[reading], other[reading]
            ratios.append(abs(mine["abs_cos"] - theirs["abs_cos"]))
            for key in ("first", "second", "last"):
                if theirs[key] is not None:
                    eigenvalues.append(abs(theirs[key] - mine[key]) / mine["last"])
        for key, value in one.get("schur", {}).items():
            if value is not None and other["schur"][key] is not None:
                ratios.append(abs(value - other["schur"][key]))
    return max(ratios), max(eigenvalues)


def summary(done: dict[str, list[dict]]) -> dict[str, dict]:
    rows = {}
    for side, results in done.items():
        row = {
            key: statistics.median(r[key] for r in results) for key in ("seconds", "cpu_seconds")
        }
        row["peak_mb"] = max(r["peak_mb"] for r in results)
        for key in KEYS:
            row[f"{key}_over_bare"] = row[key] - rows.get("bare", row)[key]
        rows[side] = row | {"parts": results[-1]["parts"]}
    return rows


def show(rows: dict[str, dict], done: dict[str, list[dict]]) -> None:
    heads = [word for key in KEYS.values() for word in (key, "over bare")]
    print(f"{'':<22}" + "".join(f"{head:>10}" for head in heads) + "  of that, s")
    for side, row in rows.items():
        cells = [row[key + suffix] for key in KEYS for suffix in ("", "_over_bare")]
        parts = [
            f"{key} {row['parts'][key]:.2f}" for key in ("moments", "spectrum") if row["parts"]
        ]
        print(f"{side:<22}" + "".join(f"{cell:>10.4g}" for cell in cells) + "  " + ", ".join(parts))
    print(
        f"\nover bare, beside the same by hand "
        f"(wanted: {FASTER:g} times as fast, {LEANER:g} of the memory)"
    )
    for side, (*_, baseline) in WATCHED.items():
        hand = rows[baseline]
        fast = {key: hand[f"{key}_over_bare"] / rows[side][f"{key}_over_bare"] for key in KEYS}
        print(
            f"{side:<22} {fast['seconds']:.2f} times as fast, {fast['cpu_seconds']:.2f} by the "
            f"processor's time; {1 / fast['peak_mb']:.2f} of the memory"
        )
    for side, (method, _, baseline) in WATCHED.items():
        if method != "directional":
            ratio, value = disagreement(done[baseline][-1]["norms"], done[side][-1]["norms"])
            print(f"{side}: |cos| within {ratio:.1e}, eigenvalues within {value:.1e} of the last")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--norms", type=int, default=8)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=1024, help="rows a pass (1024)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--package", type=Path, default=ROOT / "build/release/python", help="where deadray is"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not list(arguments.package.glob("deadray/_measure*.so")):
        raise ToolError(RESOURCES, f"{arguments.package}: no deadray with a measuring part there")
    done = turns(arguments)
    rows = summary(done)
    show(rows, done)
    if arguments.json:
        text = json.dumps({"sides": rows, "norms": {s: r[-1]["norms"] for s, r in done.items()}})
        write_whole(arguments.json, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    run_tool(main)
