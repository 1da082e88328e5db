"""One table over the records of `deadray predict` and `deadray verify`.

Shows what was predicted and from what, what was measured at what cost, and whether they agree.

scripts/lib/demo_summary.py build/demo    reads N-NAME.verify.json, and N-NAME.predict.json if any
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

HEADINGS = (
    "model",
    "weights",
    "norms",
    "predicted",
    "from",
    "in",
    "measured",
    "|cos|",
    "from",
    "in",
    "verdict",
)


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def row(path: Path) -> tuple[str, ...]:
    verified = json.loads(path.read_text())
    prediction = path.with_name(path.name.replace(".verify.", ".predict."))
    predicted = json.loads(prediction.read_text()) if prediction.exists() else None
    model, sites, seconds = verified["model"], verified["sites"], verified["seconds"]
    readings = [site["exact"] or site["deployed"] for site in sites]
    least_cosine = min(
        min(reading["principal_cosines"] or [reading["abs_cos"]]) for reading in readings
    )
    verdicts = Counter(site["verdict"] for site in sites)
    return (
        path.name.removesuffix(".verify.json").split("-", 1)[1],
        "random" if model["init"] == "random" else "trained",
        str(len(sites)),
        f"{sum(site['predicted']['dimension'] for site in sites)} dead",
        f"{predicted['bytes_read']:,} bytes" if predicted else "config.json",
        duration(sum(predicted["seconds"].values()) if predicted else seconds["predict"]),
        f"{sum(reading['dimension'] for reading in readings)} dead",
        f"{least_cosine:.6f}",
        f"{verified['calibration']['tokens']:,} tokens",
        duration(seconds["total"]),
        ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    rows = [row(path) for path in sorted(parser.parse_args().folder.glob("*.verify.json"))]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    for cells in (HEADINGS, *rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        )
    print(
        "\nconfirmed: the predicted directions are dead, and no others; |cos| between the two "
        "(the least over the norms) is then 1."
    )
    print(
        "absent: none predicted, none found; |cos| is then that of 1/gamma, a control, here as "
        "small as for a random direction."
    )


if __name__ == "__main__":
    main()
