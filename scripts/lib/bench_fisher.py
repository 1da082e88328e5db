"""deadray's directional Fisher information side by side with that of curvlinops.

    scripts/bench_fisher        the MGM sample, 4x128 tokens; norms of its first, middle, last block
    scripts/bench_fisher --batch 2 --sequence-length 64 --sites transformer.h.3.ln_2 --json FILE

For every norm `deadray fisher --site NAME --dump` measures the norm's consumers in float32, along
directions of its own choice. scripts/lib/fisher_curvlinops.py evaluates v^T F v of the same
directions in float32, with the same tokens and as many threads. A second run of it in float64 is
the judge of both. The consumers of a norm must have weights of their own: the head of a tied model
has none.

The relative difference is the worst over the directions of a kind. Wanted between the two sides: at
most 1e-6. A weight_only direction leaves of every product <r, h> only the constant that the norm
fixes. Where that constant is small, F is small and roundings weigh more, on both sides, so that
1e-6 may be missed. The columns against FP64 tell whose rounding it is. F of a dead direction is
rounding alone: the largest is shown beside that of random directions.

Seconds a direction leave out the start of the processes and the loading of the model. For deadray
they are its record's total less load, for curvlinops the time to build and apply its operators.
Peak memory is the kernel's own count (wait4) of each process, the largest of its runs.
Ends with exit code 6 when a piece is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from bench_baseline import ROOT, SAMPLES, Run, run
from tool import MALFORMED, RESOURCES, USAGE, ToolError, run_tool, write_whole

WANTED = 1e-6  # some roundings of 2^-24 in each derivative, averaged over tokens and vocabulary
ALIVE = ("weight_only", "random")
PEER = ROOT / "scripts/lib/fisher_curvlinops.py"
# what may be set for its process alone
TUNED_FOR_DEADRAY = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass
class Site:
    name: str
    consumers: list[str]
    kinds: list[str]
    deadray: list[float]
    curvlinops: list[float]
    float64: list[float]

    def difference(self, kind: str, one: list[float], other: list[float]) -> float:
        return max(
            abs(a - b) / b for a, b, of in zip(one, other, self.kinds, strict=True) if of == kind
        )

    def largest(self, kind: str, values: list[float]) -> float:
        return max(value for value, of in zip(values, self.kinds, strict=True) if of == kind)


@dataclass
class Cost:
    seconds_a_direction: float
    process_seconds: float  # whole processes, imports and loading included
    peak_mb: float


def random_tokens(model: Path, batch: int, length: int, seed: int, file: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    np.save(
        file,
        np.random.default_rng(seed).integers(
            config["vocab_size"], size=(batch, length), dtype=np.int64
        ),
    )


class Bench:
    def __init__(self, arguments: argparse.Namespace, folder: Path):
        self.arguments, self.folder, self.tokens = arguments, folder, folder / "tokens.npy"
        self.threads = str(arguments.threads)
        random_tokens(
            arguments.model, arguments.batch, arguments.sequence_length, arguments.seed, self.tokens
        )

    def deadray(self) -> tuple[list[Path], Cost]:
        dumps, runs, seconds, directions = [], [], 0.0, 0
        for i, site in enumerate(self.arguments.sites):
            dump, record = self.folder / f"{i}.safetensors", self.folder / f"{i}.json"
            command = [self.arguments.deadray, "fisher", self.arguments.model, "--site", site]
            command += ["--dtype", "float32", "--tokens", self.tokens, "--threads", self.threads]
            command += ["--controls", self.arguments.controls, "--no-kfac", "--quiet"]
            command += ["--dump", dump, "--json", record]
            runs.append(run(list(map(str, command))))
            spent = json.loads(record.read_text())["seconds"]
            seconds += spent["total"] - spent["load"]
            directions += len(cases(dump))
            dumps.append(dump)
        return dumps, cost(runs, seconds / directions)

    def curvlinops(self, dumps: list[Path], dtype: str) -> tuple[list[list[float]], Cost]:
        environment = {
            name: value for name, value in os.environ.items() if name not in TUNED_FOR_DEADRAY
        } | {"OMP_NUM_THREADS": self.threads}
        command = [sys.executable, PEER, self.arguments.model, "--tokens", self.tokens]
        command += ["--directions", *dumps, "--dtype", dtype, "--threads", self.threads]
        command += ["--columns", self.arguments.columns]
        done = run(list(map(str, command)), environment)
        result = json.loads(done.output)
        return result["fisher"], cost([done], result["seconds"] / sum(map(len, result["fisher"])))


def cases(dump: Path) -> list[dict]:
    with safe_open(dump, framework="numpy") as file:
        found = json.loads((file.metadata() or {}).get("cases", "[]"))
    if not found:
        raise ToolError(
            MALFORMED, f"{dump}: no cases in the metadata, expected those of deadray fisher --dump"
        )
    return found


def cost(runs: list[Run], seconds_a_direction: float) -> Cost:
    return Cost(
        seconds_a_direction, sum(run.seconds for run in runs), max(run.peak_mb for run in runs)
    )


def compared(
    names: list[str], dumps: list[Path], curvlinops: list[list[float]], float64: list[list[float]]
) -> list[Site]:
    sites = []
    for name, dump, theirs, judge in zip(names, dumps, curvlinops, float64, strict=True):
        ours = cases(dump)
        sites.append(
            Site(
                name,
                sorted({case["consumer"] for case in ours}),
                [case["kind"] for case in ours],
                [case["fisher"] for case in ours],
                theirs,
                judge,
            )
        )
    return sites


def show(sites: list[Site], ours: Cost, theirs: Cost) -> None:
    print(
        f"{'relative difference':<28} {'kind':<12} {'directions':>10} {'deadray-curvlinops':>19} "
        f"{'deadray-FP64':>13} {'curvlinops-FP64':>16} {'wanted':>7}"
    )
    for site in sites:
        for kind in ALIVE:
            if kind in site.kinds:
                between = site.difference(kind, site.deadray, site.curvlinops)
                print(
                    f"{site.name:<28} {kind:<12} {site.kinds.count(kind):>10} {between:>19.1e} "
                    f"{site.difference(kind, site.deadray, site.float64):>13.1e} "
                    f"{site.difference(kind, site.curvlinops, site.float64):>16.1e} {WANTED:>7.0e} "
                    f"{'yes' if between <= WANTED else 'no'}"
                )
    print(
        f"\n{'largest F':<28} {'kind':<12} {'':>10} {'deadray':>19} {'curvlinops':>13} {'FP64':>16}"
    )
    for site in sites:
        for kind in ("dead", "random"):
            largest = [
                site.largest(kind, values)
                for values in (site.deadray, site.curvlinops, site.float64)
            ]
            print(
                f"{site.name:<28} {kind:<12} {'':>10} {largest[0]:>19.1e} {largest[1]:>13.1e} "
                f"{largest[2]:>16.1e}"
            )
    print(
        f"\n{'cost':<28} {'':<12} {'':>10} {'deadray':>19} {'curvlinops':>13} {'':>16} {'ratio':>7}"
    )
    for what, unit, a, b in (
        ("a direction", "s", ours.seconds_a_direction, theirs.seconds_a_direction),
        ("whole processes", "s", ours.process_seconds, theirs.process_seconds),
        ("peak memory", "MB", ours.peak_mb, theirs.peak_mb),
    ):
        print(f"{what:<28} {unit:<12} {'':>10} {a:>19.4g} {b:>13.4g} {'':>16} {b / a:>6.3g}x")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_fisher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=SAMPLES / "microformer-mgm",
        help="folder with config.json and weights that transformers loads",
    )
    parser.add_argument(
        "--sites",
        type=lambda text: text.split(","),
        metavar="NORM,…",
        help="names of norms; the two of the first, middle and last block of a GPT-2",
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument(
        "--controls", type=int, default=4, help="random directions of each consumer"
    )
    parser.add_argument(
        "--columns", type=int, default=8, help="directions that curvlinops takes at once"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both")
    parser.add_argument("--seed", type=int, default=0, help="of the tokens")
    parser.add_argument(
        "--deadray",
        type=Path,
        default=ROOT / "build/release/bin/deadray",
        help="the program to measure",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    arguments = parser.parse_args()
    for name in ("batch", "sequence_length", "controls", "columns", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: at least 1")
    if not (arguments.model / "config.json").is_file():
        raise ToolError(
            RESOURCES,
            f"{arguments.model}: no config.json there; the MGM sample comes with scripts/samples "
            "microformer-mgm",
        )
    if not os.access(arguments.deadray, os.X_OK):
        raise ToolError(
            RESOURCES,
            f"{arguments.deadray} is missing: build it with cmake --build --preset release",
        )
    if arguments.sites is None:
        config = json.loads((arguments.model / "config.json").read_text())
        if config.get("model_type") != "gpt2":
            raise ToolError(
                USAGE,
                f"--sites is needed for a model of type {config.get('model_type')}: names of "
                "norms, as deadray predict --site all prints them",
            )
        last = config["n_layer"] - 1
        arguments.sites = [
            f"h.{block}.ln_{i}" for block in sorted({0, last // 2, last}) for i in (1, 2)
        ]
    arguments.deadray, arguments.model = arguments.deadray.resolve(), arguments.model.resolve()
    return arguments


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        dumps, ours = bench.deadray()
        curvlinops, theirs = bench.curvlinops(dumps, "float32")
        float64, _ = bench.curvlinops(dumps, "float64")
        sites = compared(arguments.sites, dumps, curvlinops, float64)
    print(
        f"{arguments.model.name}, {arguments.batch}x{arguments.sequence_length} tokens, float32, "
        f"{arguments.threads} threads; relative differences of F, those of one side from float64\n"
    )
    show(sites, ours, theirs)
    if arguments.json:
        text = (
            json.dumps(
                {
                    "schema": "deadray/bench-fisher/1",
                    "model": arguments.model.name,
                    "tokens": [arguments.batch, arguments.sequence_length],
                    "threads": arguments.threads,
                    "columns": arguments.columns,
                    "sites": [asdict(site) for site in sites],
                    "deadray": asdict(ours),
                    "curvlinops": asdict(theirs),
                },
                indent=2,
            )
            + "\n"
        )
        write_whole(arguments.json, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    run_tool(main)
