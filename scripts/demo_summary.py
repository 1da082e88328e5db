"""One table over the records of `deadray predict` and `deadray verify`: what was predicted, from what, what was measured, at what cost, whether they agree.

    scripts/demo_summary.py build/demo        NAME.verify.json, and NAME.predict.json where there is one
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HEADINGS = ("model", "weights", "predicted", "from", "in", "measured", "|cos|", "from", "in", "verdict")


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def row(path: Path) -> tuple[str, ...]:
    verified = json.loads(path.read_text())
    prediction = path.with_name(path.name.replace(".verify.", ".predict."))
    predicted = json.loads(prediction.read_text()) if prediction.exists() else None
    model, site, seconds = verified["model"], verified["sites"][-1], verified["seconds"]
    reading = site["exact"] or site["deployed"]
    cosines = reading["principal_cosines"] or [reading["abs_cos"]]
    return (model["name"], "random" if model["init"] == "random" else "trained",
            f"{site['predicted']['dimension']} of {site['hidden_size']} dead",
            f"{predicted['bytes_read']:,} bytes" if predicted else "config.json",
            duration(sum(predicted["seconds"].values()) if predicted else seconds["predict"]),
            f"{reading['dimension']} dead", f"{min(cosines):.6f}", f"{verified['calibration']['tokens']:,} tokens", duration(seconds["total"]),
            site["verdict"])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    rows = [row(path) for path in sorted(parser.parse_args().folder.glob("*.verify.json"))]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows)]
    for cells in (HEADINGS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
    agreeing = sum(cells[-1] in ("confirmed", "absent") for cells in rows)
    print(f"\nPrediction and measurement agree in {agreeing} of {len(rows)}. confirmed: the predicted directions are dead, and no others (|cos| = 1).")
    print("absent: none predicted, none found; |cos| is then that of 1/gamma, near 0 as for any direction.")


if __name__ == "__main__":
    main()
