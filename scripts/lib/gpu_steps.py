"""The steps of scripts/gpu_check. Each returns what it adds to its entry in the record."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

from gpu_machine import CORES, ROOT, in_toolkit, torch_folder
from gpu_record import Check, Failed, Skipped

BUILD = ROOT / "build" / "gpu_check"
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
SAMPLE = "microformer-mgm"
# 7 billion parameters in Llama's shape, to be drawn at random on the device: that takes no more
# than a configuration.
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
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DDEADRAY_CUDA=ON",
        f"-DDEADRAY_TORCH_DIR={torch}",
        f"-DDEADRAY_CUDA_ARCHITECTURES={check.record['architecture']}",
        *shlex.split(os.environ.get("DEADRAY_CMAKE_ARGS", "")),
    ]
    check.must(["cmake", "-S", ROOT, "-B", BUILD, *generator, *launcher, *options], 240)
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
            ["ctest", "--test-dir", BUILD, "--output-on-failure", "--timeout", "300"]
            + ["--parallel", CORES, "--output-junit", junit],
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
    """Every device test program under each tool, with small shapes; the tools run side by side."""
    tool = in_toolkit("compute-sanitizer")
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
            options = ["--tool", kind, "--error-exitcode", "1", "--print-limit", "20"]
            command = [tool, *options, program, "--gtest_brief=1"]
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
        results = dict(zip(SANITIZERS, pool.map(one, SANITIZERS), strict=True))
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
    """The same model on the device and on the CPU.

    The verdicts must be equal, and |cos| up to the device's rounding of the forward pass.
    """
    folders = (ROOT / "samples" / SAMPLE, ROOT / ".bundle" / "samples" / SAMPLE)
    folder = next((p for p in folders if (p / "model.safetensors").exists()), None)
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
    """A model of 7 B parameters drawn at random on the device, 8192 tokens, the whole process."""
    if not check.record["devices"]:
        raise Skipped("no CUDA device")
    folder = BUILD / "large"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LARGE))
    start = time.monotonic()
    command = [BUILD / "bin" / "deadray", "verify", folder, "--json", folder / "record.json"]
    options = "--init random --device cuda --dtype bfloat16 --random-tokens 8192".split()
    check.must([*command, *options], 300)
    seconds = round(time.monotonic() - start, 1)
    check.record["large"] = json.loads((folder / "record.json").read_text())
    return {"process_seconds": seconds, "goal": LARGE_SECONDS, "met": seconds <= LARGE_SECONDS}


STEPS = {
    "build": build,
    "tests": tests,
    "sanitizers": sanitizers,
    "bench": bench,
    "sample": sample,
    "large": large,
}
