"""Builds deadray on a GPU node without network, runs every test, compute-sanitizer, the kernel benchmark and a real model; needs the standard library alone.

    scripts/gpu_check [OUT]                       OUT/gpu_check.json and OUT/gpu_check.log; OUT is out/gpu_check unless given
    scripts/gpu_check OUT --budget 570            stops in time where a command may not last longer; the build is kept for the next call
    scripts/gpu_check OUT --steps bench,sample    some of: build, tests, sanitizers, bench, sample, large

torch is python3's, or the folder in DEADRAY_TORCH_DIR; libraries that the system lacks come from .bundle (scripts/bundle). The kernels are built for the
device that is here, for sm_90a where there is none: then what needs a device is reported as skipped. DEADRAY_CMAKE_ARGS goes to the configuration.
Ends with 0 only if some step passed and none failed or was cut short by the budget; a skipped step says why. The record is written after every step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from tool import write_whole

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "gpu_check"
STEPS = ("build", "tests", "sanitizers", "bench", "sample", "large")
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SAMPLE = "microformer-mgm"
# 7 billion parameters in Llama's shape, to be drawn at random on the device: a configuration is all that it takes.
LARGE = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
}
LARGE_SECONDS = 60  # the goal, end to end
CORES = len(os.sched_getaffinity(0))


class Skipped(Exception):
    """A step that has nothing to do here, and why."""


class Spent(Skipped):
    """A step that the time budget left no room for: the check is not complete."""


class Failed(Exception):
    """A step that did not do what it must: one line."""


class Check:
    def __init__(self, out: Path, budget: float):
        self.out = out
        self.deadline = time.monotonic() + budget
        self.log = (out / "gpu_check.log").open("w", buffering=1)
        self.record: dict = {
            "schema": "deadray/gpu-check/1",
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "steps": [],
        }

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self.log.write(text + "\n")

    def save(self) -> None:
        write_whole(
            self.out / "gpu_check.json",
            lambda stream: stream.write((json.dumps(self.record, indent=2) + "\n").encode()),
        )

    def run(self, command: list, limit: float, environment: dict | None = None) -> tuple[int, str]:
        """Exit code and output, which goes to the log as well. A command beyond its limit, or the budget's, is ended with its children: Failed."""
        words = [str(word) for word in command]
        limit = min(limit, self.deadline - time.monotonic())
        if limit <= 0:
            raise Spent("the time budget is spent")
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        late = False
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(process.pid, signal.SIGTERM)  # a benchmark then writes what it has
            try:
                output, _ = process.communicate(
                    timeout=60
                )  # the row that it is at may take so long
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
        self.log.write(f"\n$ {shlex.join(words)}\n{output}[exit {process.returncode}]\n")
        if late:
            raise Failed(f"ended after {limit:.0f} s: {shlex.join(words)[:100]}")
        return process.returncode, output

    def must(self, command: list, limit: float, environment: dict | None = None) -> str:
        code, output = self.run(command, limit, environment)
        if code:
            last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
            raise Failed(f"exit {code} of {shlex.join(map(str, command))[:100]}: {last[:200]}")
        return output

    def step(self, name: str, work) -> bool:
        """Runs `work`, which returns what its step adds to the record. False unless it passed."""
        self.say(f"{name} …")
        start, entry = time.monotonic(), {"name": name, "status": "passed"}
        try:
            entry.update(work() or {})
        except Spent as reason:
            entry.update(status="not run", reason=str(reason))
        except Skipped as reason:
            entry.update(status="skipped", reason=str(reason))
        except Failed as reason:
            entry.update(status="failed", reason=str(reason))
        except (
            Exception
        ) as error:  # a record that does not look as expected, a program that is not there
            entry.update(status="failed", reason=f"{type(error).__name__}: {error}"[:300])
        entry["seconds"] = round(time.monotonic() - start, 2)
        self.record["steps"].append(entry)
        self.say(
            f"{name}: {entry['status']} in {entry['seconds']:.1f} s"
            + (f": {entry['reason']}" if "reason" in entry else "")
        )
        self.save()
        return entry["status"] == "passed"


def first_line(command: list, pattern: str = "(.+)") -> str | None:
    """What the pattern's group finds in the output, None where the program is missing or fails."""
    try:
        output = subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=ROOT
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(pattern, output)
    return found.group(1).strip() if found else None


def commit() -> str:
    """Of the tree as git has it; where it travelled without .git, what scripts/bundle wrote down."""
    git = ["git", "-c", "safe.directory=*"]
    if (ROOT / ".git").exists() and (head := first_line([*git, "rev-parse", "HEAD"])):
        return head + ("-dirty" if first_line([*git, "status", "--porcelain"]) else "")
    noted = ROOT / ".bundle" / "commit"
    return noted.read_text().strip() if noted.exists() else "unknown"


def torch_folder() -> Path | None:
    given = os.environ.get("DEADRAY_TORCH_DIR")
    found = given or first_line(
        [
            "python3",
            "-c",
            "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])",
        ]
    )
    return Path(found) if found and (Path(found) / "include").is_dir() else None


def torch_version(folder: Path | None) -> str | None:
    version = folder and folder / "version.py"
    found = (
        version and version.exists() and re.search(r"__version__ = '(.+?)'", version.read_text())
    )
    return found.group(1) if found else None


def nvcc() -> str | None:
    return shutil.which("nvcc") or next(
        (p for p in ("/usr/local/cuda/bin/nvcc",) if os.access(p, os.X_OK)), None
    )


def devices() -> list[dict]:
    names = ("name", "driver_version", "memory.total", "compute_cap")
    try:
        output = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    if output.returncode:
        return []
    return [
        dict(zip(names, map(str.strip, line.split(","))))
        for line in output.stdout.splitlines()
        if line.count(",") == len(names) - 1
    ]


def architecture(found: list[dict]) -> str:
    capability = found[0]["compute_cap"].replace(".", "") if found else "90"
    return f"{capability}{'a' if int(capability) >= 90 else ''}-real"


def environment() -> dict:
    found, torch = devices(), torch_folder()
    return {
        "commit": commit(),
        "devices": found,
        "device": found[0]["name"] if found else None,
        "driver": found[0]["driver_version"] if found else None,
        "cuda": first_line([nvcc(), "--version"], r"release [\d.]+, V([\d.]+)") if nvcc() else None,
        "torch": torch_version(torch),
        "torch_folder": str(torch) if torch else None,
        "architecture": architecture(found),
        "machine": {
            "system": platform.platform(),
            "cores": CORES,
            "python": platform.python_version(),
            "compiler": first_line(["c++", "--version"]),
            "cmake": first_line(["cmake", "--version"], r"version (\S+)"),
        },
    }


def build(check: Check) -> dict:
    for program in ("cmake", "c++"):
        if not shutil.which(program):
            raise Failed(f"missing: {program}")
    torch = torch_folder()
    if not torch:
        raise Failed(
            "no torch: python3 has none; name the folder torch of a wheel in DEADRAY_TORCH_DIR"
        )
    cache = BUILD / "CMakeCache.txt"
    generator = (
        [] if cache.exists() else ["-G", "Ninja" if shutil.which("ninja") else "Unix Makefiles"]
    )
    launcher = (
        ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", "-DCMAKE_CUDA_COMPILER_LAUNCHER=ccache"]
        if shutil.which("ccache")
        else []
    )
    check.must(
        [
            "cmake",
            "-S",
            ROOT,
            "-B",
            BUILD,
            *generator,
            *launcher,
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DDEADRAY_TORCH_DIR={torch}",
            f"-DDEADRAY_CUDA_ARCHITECTURES={check.record['architecture']}",
            *shlex.split(os.environ.get("DEADRAY_CMAKE_ARGS", "")),
        ],
        240,
    )
    check.must(["cmake", "--build", BUILD, "--parallel", CORES], float("inf"))
    return {}


def tests(check: Check) -> dict:
    carried, place = ROOT / ".bundle" / "samples" / SAMPLE, ROOT / "samples" / SAMPLE
    if carried.exists() and not place.exists():  # the tests of real models look in samples/
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(carried)
    junit = BUILD / "junit.xml"
    junit.unlink(missing_ok=True)
    late = None
    try:
        check.run(
            [
                "ctest",
                "--test-dir",
                BUILD,
                "--output-on-failure",
                "--timeout",
                "300",
                "--parallel",
                CORES,
                "--output-junit",
                junit,
            ],
            1200,
        )
    except Failed as reason:
        late = reason
    if not junit.exists():
        raise late or Failed("ctest left no results")
    names: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        kind = {"run": "passed", "fail": "failed"}.get(case.get("status"), "skipped")
        names[kind].append(case.get("name"))
    result = {
        **{kind: len(list_) for kind, list_ in names.items()},
        "failed_names": names["failed"],
        "skipped_names": names["skipped"],
    }
    check.record["tests"] = result
    if late:
        raise late
    if names["failed"] or not names["passed"]:
        raise Failed(
            f"{len(names['failed'])} of {sum(map(len, names.values()))} tests failed: "
            f"{', '.join(names['failed'][:5])}"
        )
    return {}


def sanitizers(check: Check) -> dict:
    """Every device test program under each tool, with the small shapes; the four tools side by side."""
    tool = shutil.which("compute-sanitizer") or next(
        (p for p in ("/usr/local/cuda/bin/compute-sanitizer",) if os.access(p, os.X_OK)), None
    )
    if not check.record["devices"]:
        raise Skipped("no CUDA device")
    if not tool:
        raise Skipped("compute-sanitizer is missing")
    programs = sorted((BUILD / "tests").glob("*_gpu_test"))
    if not programs:
        raise Failed(f"no device tests in {BUILD / 'tests'}")

    def one(kind: str) -> dict[str, str]:
        results = {}
        for program in programs:
            command = [
                tool,
                "--tool",
                kind,
                "--error-exitcode",
                "1",
                "--print-limit",
                "20",
                program,
                "--gtest_brief=1",
            ]
            try:
                code, output = check.run(command, 240, {"DEADRAY_SMALL_SHAPES": "1"})
                refused = re.search(
                    r"Device not supported|Unable to find.*injection|No attachable process", output
                )
                results[program.name] = (
                    f"refused: {refused.group(0)}" if refused else "failed" if code else "passed"
                )
            except (Failed, Skipped) as reason:
                results[program.name] = f"not finished: {reason}"
        return results

    with ThreadPoolExecutor(len(SANITIZERS)) as pool:
        results = dict(zip(SANITIZERS, pool.map(one, SANITIZERS)))
    check.record["sanitizers"] = results
    bad = [
        f"{kind} {program}: {how}"
        for kind, programs_ in results.items()
        for program, how in programs_.items()
        if how != "passed"
    ]
    if (
        bad
        and all("refused" in line for line in bad)
        and len(bad) == len(SANITIZERS) * len(programs)
    ):
        raise Skipped(f"compute-sanitizer does not serve this device: {bad[0]}")
    if bad:
        raise Failed("; ".join(bad[:3]))
    return {}


def bench(check: Check) -> dict:
    if not check.record["devices"]:
        raise Skipped("no CUDA device")
    file = check.out / "bench_kernels.partial.json"
    file.unlink(missing_ok=True)
    try:
        check.must([BUILD / "bin" / "deadray", "bench", "kernels", "--json", file], 420)
    finally:
        if file.exists():  # also when only some rows were measured
            check.record["bench"] = json.loads(file.read_text())
            file.unlink()
    missed = [
        f"{row['operation']} {row['shape']}"
        for row in check.record["bench"]["rows"]
        if row["met"] is False
    ]
    return {"rows": len(check.record["bench"]["rows"]), "targets_missed": missed}


def sample(check: Check) -> dict:
    """The same model on the device and on the CPU: equal verdicts, and equal |cos| up to the device's rounding of the forward pass."""
    folder = next(
        (
            p / SAMPLE
            for p in (ROOT / "samples", ROOT / ".bundle" / "samples")
            if (p / SAMPLE / "model.safetensors").exists()
        ),
        None,
    )
    if not folder:
        raise Skipped(f"no sample {SAMPLE}: scripts/bundle --sample carries it")
    if not check.record["devices"]:
        raise Skipped("no CUDA device")
    deadray = BUILD / "bin" / "deadray"
    records, seconds = {}, {}
    for device in ("cpu", "cuda"):
        file = BUILD / f"sample.{device}.json"
        file.unlink(missing_ok=True)
        check.must(
            [deadray, "verify", folder, "--site", "all", "--device", device, "--json", file], 240
        )
        records[device] = json.loads(file.read_text())
        seconds[device] = records[device]["seconds"]
    differ = []
    for cpu, cuda in zip(records["cpu"]["sites"], records["cuda"]["sites"], strict=True):
        same = (
            cpu["verdict"] == cuda["verdict"]
            and abs(cpu["exact"]["abs_cos"] - cuda["exact"]["abs_cos"]) <= 1e-6
        )
        if not same:
            differ.append(cpu["name"])
    check.record["sample"] = {
        "model": SAMPLE,
        "sites": len(records["cpu"]["sites"]),
        "differ": differ,
        "seconds": seconds,
        "cuda": records["cuda"]["environment"],
    }
    if differ:
        raise Failed(f"the device and the CPU do not agree on {', '.join(differ[:5])}")
    return {}


def large(check: Check) -> dict:
    """A model of 7 B parameters drawn at random on the device, 8192 tokens, from the start of the process to its end."""
    if not check.record["devices"]:
        raise Skipped("no CUDA device")
    folder = BUILD / "large"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LARGE))
    start = time.monotonic()
    check.must(
        [
            BUILD / "bin" / "deadray",
            "verify",
            folder,
            "--init",
            "random",
            "--device",
            "cuda",
            "--dtype",
            "bfloat16",
            "--random-tokens",
            "8192",
            "--json",
            folder / "record.json",
        ],
        300,
    )
    seconds = round(time.monotonic() - start, 1)
    check.record["large"] = json.loads((folder / "record.json").read_text())
    return {"process_seconds": seconds, "goal": LARGE_SECONDS, "met": seconds <= LARGE_SECONDS}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "out", nargs="?", type=Path, default=ROOT / "out" / "gpu_check", metavar="OUT"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=3600,
        metavar="SECONDS",
        help="for everything together (default: %(default).0f)",
    )
    parser.add_argument("--steps", default=",".join(STEPS), metavar="STEP,…")
    arguments = parser.parse_args()
    steps = arguments.steps.split(",")
    if unknown := [step for step in steps if step not in STEPS]:
        parser.error(f"unknown step {unknown[0]}; there are {', '.join(STEPS)}")
    out = arguments.out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{out} cannot be made: {error.strerror}; give a folder that can be written")
    check = Check(out, arguments.budget)
    check.record.update(environment())
    check.say(
        "\n".join(
            f"{key}: {value}" for key, value in check.record.items() if isinstance(value, str)
        )
    )
    for name in STEPS:
        if name not in steps:
            continue
        passed = check.step(name, lambda work=globals()[name]: work(check))
        if name == "build" and not passed:
            break
    statuses = [step["status"] for step in check.record["steps"]]
    check.record["result"] = (
        "failed"
        if "failed" in statuses
        else "incomplete"
        if "not run" in statuses
        else "passed"
        if "passed" in statuses
        else "skipped"
    )
    check.save()
    check.say(f"{check.record['result']}: {out / 'gpu_check.json'}")
    return 0 if check.record["result"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
