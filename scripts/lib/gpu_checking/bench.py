"""`deadray bench kernels` for scripts/gpu_check: a process for each part, one record of all."""

from __future__ import annotations

import json
from pathlib import Path

from gpu_checking import programs
from gpu_checking.record import Check, Failed, Skipped

# One process each: a CUDA error ends a process, and with it all its later rows. What takes longest
# comes last.
FILTERS = (
    "^(random_normal|norm_recompute)/",
    "^directional_variance/",
    "^centred_moments/",
    "^(head_fisher|bf16_gemm)/",
    "^(eigh|eigh_bottom|certificate)/n=4096",
    "^(eigh|eigh_bottom|certificate)/n=8192",
)
FILTER_SECONDS = 150


def measure(check: Check, file: Path, options: list, limit: float) -> dict:
    """A record of `bench kernels`, with what failed where only some rows were measured."""
    file.unlink(missing_ok=True)
    failure = None
    command = [programs.deadray(), "bench", "kernels", "--json", file, *options]
    try:
        check.must(command, limit, programs.environment(command[0]))
    except (Failed, Skipped) as reason:
        failure = reason
    if not file.exists():
        raise failure or Failed("bench kernels left no record")
    record = json.loads(file.read_text())
    if failure:
        record["failure"] = str(failure)
    return record


def key_of(row: dict) -> tuple:
    return row["operation"], row["shape"], row.get("dtype")


def bench(check: Check) -> dict:
    programs.need_device(check)
    all_, failures = None, []
    for number, filter_ in enumerate(FILTERS):
        file = check.out / f"bench_kernels.{number}.json"
        try:
            record = measure(check, file, ["--filter", filter_], FILTER_SECONDS)
        except (Failed, Skipped) as reason:
            failures.append(f"{filter_}: {reason}")
            continue
        if "failure" in record:
            failures.append(f"{filter_}: {record['failure']}")
        if all_ is None:
            all_ = check.record["bench"] = {**record, "rows": [], "parts": []}
        # Every process measures the ceilings anew; its percentages are of its own.
        all_["parts"].append({"filter": filter_, "ceilings": record.get("ceilings")})
        known = [key_of(row) for row in all_["rows"]]
        all_["rows"] += [row for row in record["rows"] if key_of(row) not in known]
        check.save()
    rows = all_["rows"] if all_ else []
    missed = [f"{row['operation']} {row['shape']}" for row in rows if row["met"] is False]
    if failures:
        raise Failed("; ".join(failures)[:400])
    return {"rows": len(rows), "targets_missed": missed}
