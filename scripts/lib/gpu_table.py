"""Prints the table of docs/gpu.md; needs the standard library alone.

scripts/gpu_table out/gpu_check/gpu_check.json   from a record of scripts/gpu_check, or of
                                                 `deadray bench kernels --json`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HEADINGS = (
    "operation",
    "shape",
    "type",
    "time",
    "GB/s",
    "TFLOP/s",
    "% of copy",
    "% of product",
    "target",
    "met",
)


def duration(seconds: float) -> str:
    return (
        f"{seconds * 1e6:.1f} µs"
        if seconds < 1e-3
        else f"{seconds * 1e3:.3f} ms"
        if seconds < 1
        else f"{seconds:.3f} s"
    )


def cells(row: dict) -> list[str]:
    def figure(key: str, factor: float = 1.0, digits: int = 3) -> str:
        return "" if row.get(key) is None else f"{row[key] * factor:.{digits}g}"

    shape = ", ".join(f"{name} {value}" for name, value in row["shape"].items())
    time = "not measured yet" if row.get("seconds") is None else duration(row["seconds"])
    met = {True: "yes", False: "**no**", None: ""}[row.get("met")]
    return [
        row["operation"],
        shape,
        row["dtype"],
        time,
        figure("bytes_per_second", 1e-9),
        figure("flops_per_second", 1e-12),
        figure("percent_of_copy"),
        figure("percent_of_gemm"),
        row.get("target") or "",
        met,
    ]


def table(rows: list[dict]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    return "\n".join(lines + ["| " + " | ".join(cells(row)) + " |" for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", type=Path)
    file = parser.parse_args().record
    try:
        record = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(
            f"gpu_table.py: {file}: {error}; expected a record of scripts/gpu_check or bench "
            "kernels --json"
        ) from None
    bench = record.get("bench", record)
    if "rows" not in bench:
        raise SystemExit(
            "gpu_table.py: the record holds no benchmark: its step was skipped or failed"
        )
    versions = bench["versions"]
    print(
        f"{bench['device']['name']}, {bench['date']}, commit {record.get('commit', 'unknown')}, "
        f"`deadray bench kernels`, CUDA {versions['cuda_runtime']}, cuBLAS {versions['cublas']}, "
        f"cuSOLVER {versions['cusolver']}.\n"
    )
    print(table(bench["rows"]))


if __name__ == "__main__":
    main()
