"""One table over records of `deadray verify --json`: what was predicted, what was measured, at what cost, and whether they agree.

    scripts/demo_summary.py build/demo/*.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HEADINGS = ("model", "weights", "gamma read", "predicted dead", "in", "measured dead", "|cos|", "by", "in", "verdict")
STORED_BYTES = 4  # of one number of gamma in these three files


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} µs"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def row(record: dict) -> tuple[str, ...]:
    model, site, seconds = record["model"], record["sites"][-1], record["seconds"]
    reading = site["exact"] or site["deployed"]
    cosines = reading["principal_cosines"] or [reading["abs_cos"]]
    return (model["name"], "random" if model["init"] == "random" else "trained", f"{site['hidden_size'] * STORED_BYTES} bytes", str(site["predicted"]["dimension"]),
            duration(seconds["predict"]), str(reading["dimension"]), f"{min(cosines):.6f}", f"{record['calibration']['tokens']} tokens", duration(seconds["total"]),
            site["verdict"])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, nargs="+")
    rows = [HEADINGS, *(row(json.loads(path.read_text())) for path in parser.parse_args().records)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
    verdicts = [cells[-1] for cells in rows[1:]]
    agreeing = sum(verdict in ("confirmed", "absent") for verdict in verdicts)
    print(f"\nPrediction and measurement agree in {agreeing} of {len(verdicts)}: confirmed is a predicted direction found dead, absent is none predicted and none found.")


if __name__ == "__main__":
    main()
