"""Writes the table of docs/timing.md from the records of scripts/bench_peers.

    scripts/timing_table [RECORD...]     results/timing/*.json unless given
    scripts/timing_table --check         exit code 1 where the table is out of date

One line a method and library, one column a d: medians. Where two records have the same measurement
the later one counts. The text between `<!-- table -->` and `<!-- /table -->` is replaced.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from tool import MALFORMED, ToolError, run_tool, write_whole

ROOT = Path(__file__).resolve().parents[2]
START, END = "<!-- table -->", "<!-- /table -->"


def seconds_text(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def who(row: dict) -> str:
    return row["peer"] or "deadray"


def fit(points: dict[int, float]) -> float | None:
    """The exponent of d: least squares on the logarithms, as each record fits its own."""
    if len(points) < 2:
        return None
    logs = [(math.log(d), math.log(s)) for d, s in points.items()]
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum(
        (x - mean_x) ** 2 for x, _ in logs
    )


def table(records: list[dict]) -> str:
    measured: dict[tuple[str, str, str], dict[int, float]] = {}
    for record in sorted(records, key=lambda record: record["date"]):
        for row in record["rows"]:
            if row["model"] is None:
                measured.setdefault((row["method"], who(row), row["device"]), {})[row["d"]] = row[
                    "seconds"
                ]
    methods = list(dict.fromkeys(method for method, _, _ in measured))
    # stable: deadray stands before its peers
    lines = sorted(measured, key=lambda key: methods.index(key[0]))
    sizes = sorted({d for points in measured.values() for d in points})
    devices = len({device for _, _, device in lines}) > 1
    text = [
        "| method | of |"
        + (" device |" if devices else "")
        + "".join(f" {d} |" for d in sizes)
        + " grows as |",
        "|---|---|" + ("---|" if devices else "") + "---|" * (len(sizes) + 1),
    ]
    for method, name, device in lines:
        points = measured[method, name, device]
        exponent = fit(points)
        cells = [
            f"`{method}`",
            name,
            *([device] if devices else []),
            *(seconds_text(points[d]) if d in points else "" for d in sizes),
        ]
        text.append(
            "| " + " | ".join([*cells, "" if exponent is None else f"d^{exponent:.2f}"]) + " |"
        )
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="*", type=Path, metavar="RECORD")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/timing.md")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    files = arguments.records or sorted((ROOT / "results/timing").glob("*.json"))
    records = []
    for file in files:
        record = json.loads(file.read_text())
        if record.get("schema") != "deadray/timing/1":
            raise ToolError(
                MALFORMED, f"{file}: schema {record.get('schema')} found, deadray/timing/1 expected"
            )
        records.append(record)
    text = arguments.document.read_text()
    if START not in text or END not in text:
        raise ToolError(
            MALFORMED, f"{arguments.document}: {START} and {END} expected, to put the table between"
        )
    made = (
        text[: text.index(START) + len(START)]
        + "\n"
        + table(records)
        + "\n"
        + text[text.index(END) :]
    )
    if arguments.check:
        sys.exit(made != text)
    write_whole(arguments.document, lambda stream: stream.write(made.encode()))


if __name__ == "__main__":
    run_tool(main)
