"""Builds deadray on a GPU node without network and checks it; needs the standard library alone.

    scripts/gpu_check [OUT]                       OUT is out/gpu_check unless given
    scripts/gpu_check OUT --steps bench,sample    some of: build, quick, large, sample, bench,
                                                  device, tests, memcheck, racecheck, sanitizers
    scripts/gpu_check OUT --steps A --budget 500  the calls A, B, C, D of docs/gpu.md: what fits
                                                  where a command may last ten minutes

Runs every test, compute-sanitizer, the kernel benchmark and real models. Writes OUT/gpu_check.json,
after every step and program, and OUT/gpu_check.log as output comes. The build is kept for the next
call; where there is none, one that scripts/bundle --built carried is used.

torch is python3's, or the folder in DEADRAY_TORCH_DIR. Libraries that the system lacks come from
.bundle (scripts/bundle). The kernels are built for the device that is here. Where there is none
they are built for sm_90a, and what needs a device is reported as skipped. DEADRAY_CMAKE_ARGS goes
to the configuration.
A budget leaves what runs at its end a minute to stop: 500 for a limit of ten minutes.
Ends with 0 only if some step passed, none failed, and the budget cut none short. A skipped step
says why.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpu_checking.machine import ROOT, environment
from gpu_checking.record import Check
from gpu_checking.steps import CALLS, EVERYTHING, STEPS


def result_of(statuses: list[str]) -> str:
    if "failed" in statuses:
        return "failed"
    if "not run" in statuses:
        return "incomplete"
    return "passed" if "passed" in statuses else "skipped"


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
    parser.add_argument("--steps", default=",".join(EVERYTHING), metavar="STEP,…")
    arguments = parser.parse_args()
    asked = arguments.steps.split(",")
    if unknown := [step for step in asked if step not in {**STEPS, **CALLS}]:
        parser.error(f"unknown step {unknown[0]}; there are {', '.join({**STEPS, **CALLS})}")
    turns = [turn for step in asked for turn in CALLS.get(step, [(step,)])]
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
    for turn in turns:
        with ThreadPoolExecutor(len(turn)) as pool:
            passed = list(pool.map(lambda name: check.step(name, lambda: STEPS[name](check)), turn))
        if turn == ("build",) and not passed[0]:
            break
    statuses = [step["status"] for step in check.record["steps"]]
    check.record["result"] = result_of(statuses)
    check.save()
    check.say(f"{check.record['result']}: {out / 'gpu_check.json'}")
    return 0 if check.record["result"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
