"""Other libraries' ways to what `deadray bench timing` times, on the same data.

    timing_peers.py FILE --threads N --methods eigh,svd     what scripts/bench_peers --worker runs

FILE is what deadray wrote of one problem, in FP64: `rows` [n, d] (centred but for rounding),
`covariance` [d, d], `weight`, `bias`; of a model `input_ids`.
Standard output first gets one line of JSON: `peers`, in the order of their numbers, and `missing`.
Then each line of standard input is a number, and the answer is {"seconds": S} or {"error": "…"}.
Ends with its input.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from timing_ways import WAYS, Problem, Way
from tool import one_line, run_tool


def kernel_of(package: str, libraries: Iterable[dict]) -> str:
    """The BLAS kernel that a package's own library has chosen, as threadpoolctl lists it.

    torch and what is built on it have MKL inside, which threadpoolctl does not list.
    """
    if package not in ("numpy", "scipy"):
        return ""
    for library in libraries:
        if library["internal_api"] == "openblas" and f"/{package}" in library["filepath"]:
            return f"OpenBLAS {library['version']} {library['architecture']}"
    return ""


def limit_threads(threads: int) -> list[dict]:
    """For all libraries that are loaded by now. What threadpoolctl says of them afterwards."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads)
    return threadpoolctl.threadpool_info()


def offer(
    problem: Problem,
    methods: list[str],
    threads: int,
    ways: Iterable[Way] = WAYS,
    limit: Callable[[int], list[dict]] = limit_threads,
):
    """What can be done: the first line, and what each number in it runs."""
    runs: list[Callable[[], Any]] = []
    able: list[Way] = []
    missing: list[dict] = []
    for way in ways:
        if way.method not in methods or (way.needs_model and "model" not in problem.metadata):
            continue
        try:
            importlib.metadata.version(way.package)
            runs.append(way.prepare(problem))
            able.append(way)
        except importlib.metadata.PackageNotFoundError:
            missing.append(
                {
                    "method": way.method,
                    "peer": way.peer,
                    "reason": f"{way.package} is not installed: run scripts/bench_peers --setup",
                }
            )
        except Exception as error:  # whatever a library ends in here, the others go on
            missing.append({"method": way.method, "peer": way.peer, "reason": one_line(error)})
    libraries = limit(threads)
    peers = [
        {
            "method": way.method,
            "peer": way.peer,
            "version": importlib.metadata.version(way.package),
            "threads": threads,
            "kernel": kernel_of(way.package, libraries),
            "bytes": way.bytes(problem),
        }
        for way in able
    ]
    return {"peers": peers, "missing": missing}, runs


def serve(runs: list[Callable[[], Any]], requests: Iterable[str], answers: TextIO) -> None:
    """Answers each number with the seconds of one run."""
    for line in requests:
        try:
            run = runs[int(line)]
            start = time.perf_counter()
            run()
            answer: dict[str, Any] = {"seconds": time.perf_counter() - start}
        except Exception as error:
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def read_problem(file: str) -> Problem:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        names = tensors.keys()  # the file is no dict
        return Problem({name: tensors.get_tensor(name) for name in names}, tensors.metadata() or {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--methods", required=True, help="with commas between")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    problem = read_problem(arguments.file)
    # libraries print there; what fails from here on is said in the answers
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    first, runs = offer(problem, arguments.methods.split(","), arguments.threads)
    print(json.dumps(first), file=answers, flush=True)
    serve(runs, sys.stdin, answers)


if __name__ == "__main__":
    run_tool(main)
