"""The steps of scripts/gpu_check. Each returns what it adds to its entry in the record."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
import xml.etree.ElementTree as ElementTree

from gpu_checking import programs
from gpu_checking.bench import bench, measure
from gpu_checking.machine import CORES, ROOT, torch_folder
from gpu_checking.programs import need_device
from gpu_checking.record import Check, Failed, Skipped

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
    cache = programs.BUILD / "CMakeCache.txt"
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
    check.must(["cmake", "-S", ROOT, "-B", programs.BUILD, *generator, *launcher, *options], 240)
    check.must(["cmake", "--build", programs.BUILD, "--parallel", CORES], float("inf"))
    return {}


def stop_time(check: Check, seconds: float) -> str:
    """When ctest is to start no more: it then writes what it has, which a killed one does not."""
    left = min(seconds, check.deadline - time.monotonic() - 30)
    return time.strftime("%H:%M:%S", time.localtime(time.time() + max(1, left)))


def tests(check: Check) -> dict:
    """What needs no device; the other tests are the steps `device` and `sanitizers`."""
    carried, place = ROOT / ".bundle" / "samples" / SAMPLE, ROOT / "samples" / SAMPLE
    if carried.exists() and not place.exists():  # the tests of real models look in samples/
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(carried)
    junit = programs.BUILD / "junit.xml"
    junit.unlink(missing_ok=True)
    late = None
    try:
        check.run(
            ["ctest", "--test-dir", programs.BUILD, "--output-on-failure", "--timeout", "300"]
            + ["-LE", "gpu", "--stop-time", stop_time(check, 1200)]
            + ["--parallel", CORES, "--output-junit", junit],
            1260,
            {"OMP_NUM_THREADS": "2"},
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


def verify_sample(check: Check, device: str) -> dict:
    """The record of the pretrained sample on a device."""
    folders = (ROOT / "samples" / SAMPLE, ROOT / ".bundle" / "samples" / SAMPLE)
    folder = next((p for p in folders if (p / "model.safetensors").exists()), None)
    if not folder:
        raise Skipped(f"no sample {SAMPLE}: scripts/bundle --sample carries it")
    file = check.out / f"sample.{device}.json"
    file.unlink(missing_ok=True)
    command = [programs.deadray(), "verify", folder, "--site", "all"]
    check.must(
        [*command, "--device", device, "--json", file], 120, programs.environment(command[0])
    )
    return json.loads(file.read_text())


def quick(check: Check) -> dict:
    """What most is learnt from in the shortest time. Every part runs, whatever fails before."""
    need_device(check)
    failures = []

    def part(work) -> None:
        try:
            work()
        except (Failed, Skipped) as reason:
            failures.append(str(reason))
        check.save()

    def ceilings() -> None:
        record = measure(check, check.out / "ceilings.json", ["--filter", "^none$"], 60)
        check.record["ceilings"] = {key: record[key] for key in ("device", "versions", "ceilings")}

    def small_rows() -> None:
        record = measure(check, check.out / "bench_quick.json", ["--quick"], 60)
        if "failure" in record:
            raise Failed(record["failure"])

    first = programs.device_programs(("cuda_context", "random_normal"))
    others = [p for p in programs.device_programs() if p not in first]
    part(ceilings)
    part(lambda: programs.run_tests(check, "first", first, 60, programs.SMALL))
    part(lambda: programs.run_tests(check, "small", others, 100, programs.SMALL, jobs=4))
    part(small_rows)
    part(lambda: verify_sample(check, "cuda"))
    if failures:
        raise Failed("; ".join(failures)[:400])
    return {}


def device(check: Check) -> dict:
    """The device's tests with their full shapes, those with libtorch after the others and alone."""
    need_device(check)
    found = [programs.built() / "tests" / name for name in programs.ALONE]
    try:
        programs.run_tests(check, "full", programs.device_programs(), 240, jobs=4)
    finally:
        programs.run_tests(check, "alone", [p for p in found if p.exists()], 120)
    return {}


def sanitizers(check: Check) -> dict:
    need_device(check)
    every = programs.device_programs()
    ours = programs.device_programs(programs.OURS_ALONE)
    plan = dict.fromkeys(programs.SANITIZERS, every)
    programs.sanitize(check, {**plan, "initcheck": ours})
    return {}


def memcheck(check: Check) -> dict:
    need_device(check)
    names = ("directional_variance", "head_fisher", "centred_moments")
    programs.sanitize(check, {"memcheck": programs.device_programs(names)})
    return {}


def racecheck(check: Check) -> dict:
    need_device(check)
    names = ("directional_variance", "head_fisher")
    programs.sanitize(check, {"racecheck": programs.device_programs(names)})
    return {}


def sample(check: Check) -> dict:
    """The same model on the device and on the CPU.

    The verdicts must be equal, and |cos| up to the device's rounding of the forward pass.
    """
    need_device(check)
    records = {name: verify_sample(check, name) for name in ("cuda", "cpu")}
    seconds = {name: record["seconds"] for name, record in records.items()}
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
    need_device(check)
    folder = check.out / "large"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LARGE))
    start = time.monotonic()
    command = [
        programs.deadray(),
        "verify",
        folder,
        "--json",
        folder / "record.json",
    ]
    options = "--init random --device cuda --dtype bfloat16 --random-tokens 8192".split()
    check.must([*command, *options], 200, programs.environment(command[0]))
    seconds = round(time.monotonic() - start, 1)
    check.record["large"] = json.loads((folder / "record.json").read_text())
    return {"process_seconds": seconds, "goal": LARGE_SECONDS, "met": seconds <= LARGE_SECONDS}


STEPS = {
    "build": build,
    "quick": quick,
    "large": large,
    "sample": sample,
    "bench": bench,
    "device": device,
    "tests": tests,
    "memcheck": memcheck,
    "racecheck": racecheck,
    "sanitizers": sanitizers,
}
# All that there is; memcheck and racecheck are parts of sanitizers.
EVERYTHING = [name for name in STEPS if name not in ("memcheck", "racecheck")]
# The first half hour on a device, each call under 10 minutes; docs/gpu.md says what it may take.
# Steps in one pair of brackets run side by side.
CALLS = {
    "A": [("quick",)],
    "B": [("large",), ("sample",), ("bench",)],
    "C": [("device",), ("memcheck",)],
    "D": [("build", "racecheck")],
}
