"""What each part of a measurement costs against tokens, width, parameters and ranks.

    scripts/bench_scaling                       measures here, some minutes; fits; predicts
    scripts/bench_scaling --json FILE           the measurements and the fits, as a record
    scripts/bench_scaling --from FILE           predicts again from a record

Small models with random weights are measured by `deadray verify`. Each part has one law, a constant
times a power that the algorithm gives; the spread of the constant over all runs says how well it
holds. From the laws, and from rates of GPUs that are ASSUMED and were not measured, the table says
what a model of 405 B and one of 1 T would take on 8 and on 64 of them. docs/scaling.md explains it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scaling_prediction import MATRICES, Node, prediction_table
from tool import MALFORMED, RESOURCES, USAGE, ToolError, run_tool, write_whole

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "deadray/scaling/1"


@dataclass(frozen=True)
class Case:
    """A GPT-2 of some width, all norms of it over some tokens."""

    width: int
    layers: int
    tokens: int
    ranks: int = 1
    method: str = "eigh"


CASES = [
    *(Case(512, 4, tokens) for tokens in (1024, 2048, 4096)),
    *(Case(width, 2, 2048) for width in (256, 512, 1024, 2048)),
    *(Case(width, 2, 2048, method="certificate") for width in (512, 1024, 2048)),
    *(Case(1024, layers, 1024) for layers in (2, 4, 8)),
    # Hardly any tokens: what is left of the covariances' time is their merging.
    *(Case(width, 2, 64, ranks=ranks) for width in (1024, 2048) for ranks in (2, 4)),
    *(Case(512, 4, 4096, ranks=ranks) for ranks in (1, 2)),
]


@dataclass(frozen=True)
class Law:
    part: str
    unit: str
    work: str  # what the constant multiplies
    values: tuple[float, ...]  # the constant, of each run

    @property
    def constant(self) -> float:
        return statistics.median(self.values)


def run(case: Case, deadray: Path, folder: Path) -> dict:
    """The record of one case, with one thread for each rank."""
    config = {
        "model_type": "gpt2",
        "n_embd": case.width,
        "n_head": case.width // 64,
        "n_layer": case.layers,
        "n_positions": 128,
        "vocab_size": 1000,
    }
    (folder / "config.json").write_text(json.dumps(config))
    record = folder / "record.json"
    command = [str(deadray), "verify", str(folder), "--init", "random", "--site", "all"]
    command += ["--random-tokens", str(case.tokens), "--method", case.method, "--quiet"]
    command += ["--sequence-length", str(min(128, case.tokens // case.ranks))]
    if case.ranks > 1:
        command = [
            "mpirun",
            "--oversubscribe",
            "--bind-to",
            "none",
            "-n",
            str(case.ranks),
            *command,
        ]
    variables = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    ended = subprocess.run(
        [*command, "--json", str(record)],
        env=os.environ | variables | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if ended.returncode not in (0, 8):
        raise ToolError(RESOURCES, f"{' '.join(command)}: {ended.stderr.strip()}")
    return json.loads(record.read_text())


def measured(case: Case, record: dict) -> dict:
    seconds = record["seconds"]
    return {
        **vars(case),
        "norms": len(record["sites"]),
        "parameters": record["model"]["parameters"],
        "flops": record["forward"]["flops"],
        "load": seconds["load"],
        "forward": seconds["forward"],
        "moments": seconds["moments"],
        "spectrum": seconds["spectrum"],
        "total": seconds["total"],
    }


def laws(runs: list[dict]) -> list[Law]:
    """Each part against what its algorithm does; one thread."""
    alone = [r for r in runs if r["ranks"] == 1]
    eigh = [r for r in alone if r["method"] == "eigh"]
    certificate = [r for r in alone if r["method"] == "certificate"]
    merging = [r for r in runs if r["ranks"] > 1 and r["tokens"] == 64]

    def of(part, unit, work, some, seconds, amount):
        return Law(part, unit, work, tuple(seconds(r) / amount(r) for r in some))

    return [
        of("weights drawn", "s", "parameters", alone, lambda r: r["load"],
           lambda r: r["parameters"]),
        of("forward pass", "s", "flops", alone, lambda r: r["forward"], lambda r: r["flops"]),
        of("covariances", "s", "norms x 3 N d^2", alone, lambda r: r["moments"],
           lambda r: r["norms"] * MATRICES * r["tokens"] * r["width"] ** 2),
        of("spectra, eigh", "s", "norms x d^3", eigh, lambda r: r["spectrum"],
           lambda r: r["norms"] * r["width"] ** 3),
        of("spectra, certificate", "s", "norms x d^3", certificate, lambda r: r["spectrum"],
           lambda r: r["norms"] * r["width"] ** 3),
        of("merging, per rank", "s", "norms x 3 d^2 / 2 doubles", merging,
           lambda r: r["moments"],
           lambda r: r["norms"] * MATRICES * r["width"] ** 2 / 2),
    ]  # fmt: skip


def law_table(found: list[Law]) -> str:
    lines = [f"{'part':22}{'constant':>12}  {'spread':>16}  law", ""]
    for law in found:
        low, high = min(law.values), max(law.values)
        spread = f"{low / law.constant:.2f} to {high / law.constant:.2f}"
        lines.append(f"{law.part:22}{law.constant:>10.2e} {law.unit}  {spread:>16}  x {law.work}")
    return "\n".join(lines)


def scaling_line(runs: list[dict]) -> str:
    """Strong scaling of the whole run, side by side."""
    one, two = (
        next(r["total"] for r in runs if r["tokens"] == 4096 and r["ranks"] == n) for n in (1, 2)
    )
    return f"2 ranks, one thread each: {one:.2f} s on one, {two:.2f} s on two: {one / two:.2f} x"


def read_runs(file: Path) -> list[dict]:
    if not file.is_file():
        raise ToolError(USAGE, f"{file}: no such file: give one that --json has written")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["schema"] == SCHEMA and laws(record["runs"]) and scaling_line(record["runs"]):
            return record["runs"]
    except (ArithmeticError, KeyError, StopIteration, TypeError, ValueError):
        pass
    raise ToolError(MALFORMED, f"{file}: no record {SCHEMA}: give one that --json has written")


def measure_all(deadray: Path) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        return [measured(case, run(case, deadray, Path(name))) for case in CASES]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument(
        "--from", type=Path, metavar="FILE", dest="earlier", help="measure nothing, read FILE"
    )
    parser.add_argument(
        "--deadray",
        type=Path,
        default=ROOT / "build/release/bin/deadray",
        help="the program to measure (that of the build folder)",
    )
    options = parser.parse_args()
    if options.earlier:
        runs = read_runs(options.earlier)
    elif not options.deadray.exists():
        raise ToolError(USAGE, f"{options.deadray}: not there; build deadray, or give --deadray")
    else:
        runs = measure_all(options.deadray)
    found = laws(runs)
    if any(not math.isfinite(law.constant) for law in found):
        raise ToolError(RESOURCES, "a part took no time at all: no law")
    print(law_table(found), scaling_line(runs), prediction_table(Node()), sep="\n\n")
    if options.json:
        constants = {law.part: law.constant for law in found}
        record = {"schema": SCHEMA, "runs": runs, "constants": constants, "assumed": vars(Node())}
        text = json.dumps(record, indent=1) + "\n"
        write_whole(options.json, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    run_tool(main)
