"""deadray side by side with what it replaces, in one run on one machine.

    scripts/bench_baseline                          everything, some minutes
    scripts/bench_baseline predict verify-mgm       some parts
    scripts/bench_baseline --json results.json

predict          cold `deadray predict` on MiniLM's final norm; against Python's safetensors and
                 numpy, which read that one tensor
predict-gguf     the same on SmolLM2's GGUF; against Python's gguf, which reads that tensor
predict-bin      the same on MGM's pytorch_model.bin; against torch.load(mmap, weights_only)
predict-many     all norms, and the final one alone, of a GPT-NeoX of 1,600 blocks that is written
                 here, sparse (scripts/lib/many_norms.py); against safetensors and NumPy
warm             `deadray bench predict`: its own table
verify-mgm       `deadray verify`, 16x256 tokens, against scripts/lib/baseline_hf.py
verify-smollm2   the same with 8x512 tokens
verify-random    the same on pythia-160m at random initialisation, 16x256 tokens; its configuration
                 is that of scripts/rosters/fourteen.json
certificate      `deadray bench timing` at d = 4096; against SciPy's eigh(subset_by_index=[0, 1]) on
                 a matrix made the same way

Measures whole processes and shows medians and ratios. The two sides take turns, so that a busy
machine slows both. One unmeasured run each brings the files into the page cache. Peak memory is the
kernel's own count (wait4) of each process. `wanted` is the project's own goal: so many
times better than the baseline, or at most so much.
Ends with exit code 6 when a piece is missing, and names it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tool import RESOURCES, ToolError, run_tool, write_whole

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
READ_ONE_TENSOR = """
from safetensors import safe_open
with safe_open({file!r}, framework="numpy") as tensors:
    tensors.get_tensor({name!r})
"""
READ_ONE_OF_GGUF = """
from gguf import GGUFReader
next(t for t in GGUFReader({file!r}).tensors if t.name == {name!r}).data.sum()
"""
READ_ONE_OF_BIN = """
import torch
torch.load({file!r}, mmap=True, weights_only=True, map_location="cpu")[{name!r}].numpy()
"""
# As transformers reads it; NumPy's import is a fraction of torch's.
READ_ONE_AS_TORCH = """
import json
from safetensors import safe_open
folder, name = {folder!r}, {name!r}
shard = json.load(open(folder + "/model.safetensors.index.json"))["weight_map"][name]
with safe_open(folder + "/" + shard, framework="pt") as tensors:
    tensors.get_tensor(name)
"""
SCIPY_BOTTOM_TWO = """
import json, time, numpy, scipy.linalg
d, repetitions = {d}, {repetitions}
random = numpy.random.default_rng(0)
gamma = 1 + 0.2 * random.standard_normal(d)
rows = random.standard_normal((d + d // 4, d))
rows -= rows.mean(1, keepdims=True)
rows *= gamma / numpy.sqrt((rows * rows).mean(1, keepdims=True) + 1e-5)
rows -= rows.mean(0)
covariance = rows.T @ rows / len(rows)
seconds = []
for _ in range(repetitions):
    start = time.perf_counter()
    scipy.linalg.eigh(covariance, subset_by_index=[0, 1])
    seconds.append(time.perf_counter() - start)
print(json.dumps(sorted(seconds)[repetitions // 2]))
"""


@dataclass
class Run:
    seconds: float
    cpu_seconds: float  # of all threads; other people's load moves it far less
    peak_mb: float
    output: str


@dataclass
class Row:
    part: str
    quantity: str
    deadray: float
    baseline: float
    unit: str
    ratio: float  # baseline / deadray
    wanted: float | None  # of the ratio, at least
    limit: float | None  # of deadray's value, at most


def run(command: list[str], environment: Mapping[str, str] = os.environ) -> Run:
    """Runs a whole process: wall time from spawn to exit, peak memory, standard output.

    A child's peak counts from its spawning, so this parent stays small.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, err.fileno(), 2),
        ]
        start = time.perf_counter()
        pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - start
        code = os.waitstatus_to_exitcode(status)
        if code:
            err.seek(0)
            message = " ".join(err.read().decode(errors="replace").split())[-300:]
            raise ToolError(
                RESOURCES, f"{' '.join(command)[:160]}: exit code {code}: {message or 'no message'}"
            )
        out.seek(0)
        return Run(
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
            out.read().decode(errors="replace"),
        )


def compare(ours: list[str], theirs: list[str], repetitions: int) -> tuple[Run, Run]:
    """Medians of both, taken in turns after one unmeasured run each."""
    runs: list[tuple[Run, Run]] = []
    for turn in range(repetitions + 1):
        pair = run(ours), run(theirs)
        if turn:
            runs.append(pair)

    def median(side: int) -> Run:
        sides = [pair[side] for pair in runs]
        return Run(
            *(
                statistics.median(getattr(r, field) for r in sides)
                for field in ("seconds", "cpu_seconds", "peak_mb")
            ),
            "",
        )

    return median(0), median(1)


def in_python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


class Bench:
    def __init__(self, deadray: Path, repetitions: int | None):
        self.deadray, self.repetitions = str(deadray), repetitions
        self.rows: list[Row] = []

    def add(
        self,
        part: str,
        quantity: str,
        ours: float,
        theirs: float,
        unit: str,
        wanted: float | None,
        limit: float | None = None,
    ) -> None:
        row = Row(part, quantity, ours, theirs, unit, theirs / ours, wanted, limit)
        self.rows.append(row)
        goal = (
            "" if wanted is None else f" {wanted:>6.3g}x  {'yes' if row.ratio >= wanted else 'no'}"
        )
        if limit is not None:
            goal += f" <= {limit:g} {unit}  {'yes' if ours <= limit else 'no'}"
        print(
            f"{part:<15} {quantity:<34} {ours:>10.4g} {theirs:>10.4g} {unit:<3} "
            f"{row.ratio:>8.3g}x{goal}",
            flush=True,
        )

    def sample(self, name: str) -> Path:
        folder = SAMPLES / name
        if not (folder / "model.safetensors").is_file():
            raise ToolError(RESOURCES, f"{folder} is missing: run scripts/samples {name}")
        return folder

    def original(self, sample: str, pattern: str) -> Path:
        """A sample's file as it was fetched."""
        found = sorted((SAMPLES / sample / "original").glob(pattern))
        if not found:
            raise ToolError(
                RESOURCES,
                f"{SAMPLES / sample}/original/{pattern} is missing: run scripts/samples {sample}",
            )
        return found[0]

    def cold(
        self,
        part: str,
        quantity: str,
        model: Path,
        python: list[str],
        wanted: float,
        limit: float | None = None,
    ) -> None:
        """Whole processes that read the final norm."""
        ours, theirs = compare(
            [self.deadray, "predict", str(model), "--site", "final"],
            python,
            self.repetitions or 31,
        )
        self.add(part, quantity, ours.seconds * 1e3, theirs.seconds * 1e3, "ms", wanted, limit)

    def predict(self) -> None:
        folder = self.sample("all-minilm-l6-v2")
        code = READ_ONE_TENSOR.format(
            file=str(folder / "model.safetensors"), name="encoder.layer.5.output.LayerNorm.weight"
        )
        self.cold("predict", "cold, whole process", folder, in_python(code), 20)

    def predict_gguf(self) -> None:
        file = self.original("smollm2-135m", "*.gguf")
        code = READ_ONE_OF_GGUF.format(file=str(file), name="output_norm.weight")
        self.cold("predict-gguf", "cold, whole process", file, in_python(code), 20, limit=10)

    def predict_bin(self) -> None:
        file = self.original("microformer-mgm", "pytorch_model.bin")
        code = READ_ONE_OF_BIN.format(file=str(file), name="transformer.ln_f.weight")
        self.cold("predict-bin", "cold, whole process", file.parent, in_python(code), 20, limit=10)

    def predict_many(self) -> None:
        # On a disk: where the system's temporary folder is memory, holes count as much as data.
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
            # Another process writes and reads: with NumPy in it this one would not stay small.
            python = [sys.executable, str(ROOT / "scripts/lib/many_norms.py")]
            norms = int(run([*python, "write", name]).output)
            self.many_read(name, [*python, "read", name], norms)
            table, reading = compare(
                [self.deadray, "predict", name], [*python, "read", name], self.repetitions or 11
            )
            part, ours, theirs = "predict-many", table.seconds * 1e3, reading.seconds * 1e3
            self.add(part, "whole process", ours, theirs, "ms", 3)
            self.add(part, "peak memory", table.peak_mb, reading.peak_mb, "MB", None, limit=64)
            stem = "gpt_neox.final_layer_norm.weight"
            for way, command in (
                ("NumPy", [*python, "read", name, stem]),
                ("torch", in_python(READ_ONE_AS_TORCH.format(folder=name, name=stem))),
            ):
                self.cold(part, f"final norm, by {way}", Path(name), command, 20, limit=40)

    def many_read(self, folder: str, python: list[str], norms: int) -> None:
        """What reading takes inside of both processes; deadray's has the predictions too."""
        record = Path(folder) / "record.json"
        seconds: list[tuple[float, float]] = []
        for turn in range((self.repetitions or 11) + 1):
            run([self.deadray, "predict", folder, "--json", str(record), "--quiet"])
            theirs = float(run(python).output)
            ours = json.loads(record.read_text())["seconds"]
            if turn:
                seconds.append((ours["read"] + ours["predict"], theirs))
        ours, theirs = (statistics.median(side) * 1e3 for side in zip(*seconds, strict=True))
        self.add("predict-many", f"{norms:,} norms read", ours, theirs, "ms", 1.5)

    def warm(self) -> None:
        print(run([self.deadray, "bench", "predict"]).output.rstrip("\n"), flush=True)

    def verify(
        self,
        part: str,
        folder: Path,
        batch: int,
        length: int,
        repetitions: int,
        wanted: float,
        random: bool = False,
    ) -> None:
        shape = [str(folder), "--batch", str(batch), "--sequence-length", str(length)]
        ours, theirs = compare(
            [self.deadray, "verify", *shape, *(["--init", "random"] if random else [])],
            [
                sys.executable,
                str(ROOT / "scripts/lib/baseline_hf.py"),
                *shape,
                *(["--random"] if random else []),
            ],
            repetitions,
        )
        self.add(
            part,
            f"whole process, {batch}x{length} tokens",
            ours.seconds,
            theirs.seconds,
            "s",
            wanted,
        )
        self.add(part, "processor seconds", ours.cpu_seconds, theirs.cpu_seconds, "s", None)
        self.add(part, "peak resident memory", ours.peak_mb, theirs.peak_mb, "MB", 2)

    def verify_mgm(self) -> None:
        self.verify("verify-mgm", self.sample("microformer-mgm"), 16, 256, self.repetitions or 5, 3)

    def verify_smollm2(self) -> None:
        self.verify(
            "verify-smollm2", self.sample("smollm2-135m"), 8, 512, self.repetitions or 3, 1.5
        )

    def verify_random(self) -> None:
        roster = json.loads((ROOT / "scripts/rosters/fourteen.json").read_text())
        config = next(
            model["config"] for model in roster["models"] if model["name"] == "pythia-160m"
        )
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(config))
            self.verify(
                "verify-random", Path(folder), 16, 256, self.repetitions or 3, 2, random=True
            )

    def certificate(self, d: int = 4096) -> None:
        repetitions = self.repetitions or 3
        options = f"--dims {d} --methods certificate,eigh --repetitions {repetitions} --json -"
        rows = json.loads(run([self.deadray, "bench", "timing", *options.split()]).output)["rows"]
        seconds = {row["method"]: row["seconds"] for row in rows if row["d"] == d}
        code = SCIPY_BOTTOM_TWO.format(d=d, repetitions=repetitions)
        scipy = json.loads(run([sys.executable, "-c", code]).output)
        part, ours = "certificate", seconds["certificate"]
        self.add(part, f"against eigh, d = {d}", ours, seconds["eigh"], "s", 5)
        self.add(part, f"against SciPy's bottom two, d = {d}", ours, scipy, "s", 1)


PARTS = {
    "predict": Bench.predict,
    "predict-gguf": Bench.predict_gguf,
    "predict-bin": Bench.predict_bin,
    "predict-many": Bench.predict_many,
    "warm": Bench.warm,
    "verify-mgm": Bench.verify_mgm,
    "verify-smollm2": Bench.verify_smollm2,
    "verify-random": Bench.verify_random,
    "certificate": Bench.certificate,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_baseline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all unless named"
    )
    parser.add_argument(
        "--repetitions", type=int, help="of each side, in place of each part's own number"
    )
    parser.add_argument(
        "--deadray",
        type=Path,
        default=ROOT / "build/release/bin/deadray",
        help="the program to measure",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part}; there are: {', '.join(PARTS)}")
    if arguments.repetitions is not None and arguments.repetitions < 1:
        parser.error("--repetitions: at least 1")
    if not os.access(arguments.deadray, os.X_OK):
        raise ToolError(
            RESOURCES,
            f"{arguments.deadray} is missing: build it with cmake --build --preset release",
        )

    bench = Bench(arguments.deadray.resolve(), arguments.repetitions)
    missing: list[str] = []
    print(
        f"{'part':<15} {'what':<34} {'deadray':>10} {'baseline':>10}     {'ratio':>8} "
        f"{'wanted':>8}",
        flush=True,
    )
    for name in arguments.parts or PARTS:
        try:
            PARTS[name](bench)
        except (ToolError, OSError, KeyError, ValueError) as error:
            missing.append(f"{name}: {error}")
            print(f"{name:<15} not measured", flush=True)
    if arguments.json:
        text = (
            json.dumps(
                {
                    "schema": "deadray/baseline/1",
                    "rows": [asdict(row) for row in bench.rows],
                    "missing": missing,
                },
                indent=2,
            )
            + "\n"
        )
        write_whole(arguments.json, lambda stream: stream.write(text.encode()))
    if missing:
        raise ToolError(RESOURCES, "not measured: " + "; ".join(missing))


if __name__ == "__main__":
    run_tool(main)
