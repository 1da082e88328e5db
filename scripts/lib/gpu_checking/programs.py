"""The programs that scripts/gpu_check runs on a device: where they are, and many at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpu_checking.machine import CORES, ROOT, in_toolkit, torch_folder
from gpu_checking.record import Check, Failed, Skipped

BUILD = ROOT / "build" / "gpu_check"
CARRIED = ROOT / ".bundle" / "built"  # scripts/bundle --built

SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
SANITIZER_SECONDS = 100  # of one program under one tool
# Programs whose kernels are all ours: of the libraries' initcheck finds much that is no fault.
OURS_ALONE = ("directional_variance", "norm_recompute", "random_normal")
# Those with libtorch, which want the device and the processors for themselves.
ALONE = ("backend_test", "device_verify_test")
SMALL = {"DEADRAY_SMALL_SHAPES": "1"}


def built() -> Path:
    """The build of this machine, or the one that was carried here."""
    here = (BUILD / "bin" / "deadray").exists() or not (CARRIED / "bin" / "deadray").exists()
    return BUILD if here else CARRIED


def deadray() -> Path:
    return built() / "bin" / "deadray"


def environment(program: Path) -> dict[str, str]:
    """What a program that was built elsewhere needs: it names the folders of that machine."""
    if not program.is_relative_to(CARRIED):
        return {}
    torch = torch_folder()
    folders = [torch / "lib", torch.parent / "nvidia" / "cu13" / "lib"] if torch else []
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return {
        "DEADRAY_KERNELS": str(CARRIED / "bin" / "libdeadray_cuda.so"),
        "LD_LIBRARY_PATH": ":".join([*map(str, folders), *filter(None, [given])]),
    }


def need_device(check: Check) -> None:
    if not check.record["devices"]:
        raise Skipped("no CUDA device")


def device_programs(names: Iterable[str] = ("*",)) -> list[Path]:
    """The tests of the operations, by the operations' names; without libtorch."""
    found = [p for name in names for p in sorted((built() / "tests").glob(f"{name}_gpu_test"))]
    if not found:
        raise Failed(f"no device tests in {built() / 'tests'}")
    return found


def run_program(
    check: Check,
    program: Path,
    limit: float,
    variables: dict[str, str],
    label: str,
    before: tuple = (),
) -> str:
    """`passed`, `skipped`, `failed`, or why it did not finish.

    `before` is the command that runs the program.
    """
    command = [*before, program, "--gtest_brief=1"]
    try:
        code, output = check.run(command, limit, {**environment(program), **variables}, label)
    except (Failed, Skipped) as reason:
        return f"not finished: {reason}"
    refused = re.search(
        r"Device not supported|Unable to find.*injection|No attachable process", output
    )
    if refused:
        return f"refused: {refused.group(0)}"
    return {0: "passed", 77: "skipped"}.get(code, "failed")


def judge(results: dict[str, str]) -> None:
    """Raises unless every program passed."""
    if bad := [f"{name}: {how}" for name, how in results.items() if how != "passed"]:
        raise Failed("; ".join(bad[:3]))


def run_tests(
    check: Check,
    kind: str,
    programs: list[Path],
    limit: float,
    variables: dict[str, str] | None = None,
    jobs: int = 1,
) -> None:
    """Runs test programs, `jobs` at a time; each result is in the record as soon as it is there."""
    beside = {"OMP_NUM_THREADS": str(max(2, CORES // jobs // 2))} if jobs > 1 else {}
    results = check.record.setdefault("device_tests", {}).setdefault(kind, {})

    def one(program: Path) -> None:
        how = run_program(
            check,
            program,
            limit,
            {**beside, **(variables or {})},
            program.name if jobs > 1 else "",
        )
        with check.lock:
            results[program.name] = how
        check.save()

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, programs))
    judge(results)


def sanitize(check: Check, plan: dict[str, list[Path]]) -> None:
    """Programs under compute-sanitizer's tools, with small shapes; the tools run side by side.

    Only our own kernels are watched, except by initcheck, which needs to see every write.
    """
    need_device(check)
    tool = in_toolkit("compute-sanitizer")
    if not tool:
        raise Skipped("compute-sanitizer is missing")

    def one(kind: str) -> None:
        options = ["--tool", kind, "--error-exitcode", "1", "--print-limit", "20"]
        if kind != "initcheck":
            options += ["--kernel-name", "kns=deadray"]
        for program in plan[kind]:
            how = run_program(
                check,
                program,
                SANITIZER_SECONDS,
                SMALL,
                f"{kind} {program.name}",
                (tool, *options),
            )
            with check.lock:
                check.record.setdefault("sanitizers", {}).setdefault(kind, {})[program.name] = how
            check.save()

    with ThreadPoolExecutor(len(plan)) as pool:
        list(pool.map(one, plan))
    results = {
        f"{kind} {name}": how
        for kind in plan
        for name, how in check.record["sanitizers"][kind].items()
    }
    if all(how.startswith("refused") for how in results.values()):
        raise Skipped(
            f"compute-sanitizer does not serve this device: {next(iter(results.items()))}"
        )
    judge(results)
