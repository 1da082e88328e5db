"""Writes the table of results/README.md from the records beside it.

scripts/results_table                         results/ against scripts/rosters/fourteen.json
scripts/results_table FOLDER --roster FILE    records elsewhere; FOLDER/README.md has two markers
scripts/results_table --check                 changes nothing; exit 1 when the table is out of date
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from tool import MALFORMED, USAGE, ToolError, run_tool, write_whole

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- table -->", "<!-- /table -->"
INITS = {"random": "random", "checkpoint": "trained"}
TITLES = [
    "model",
    "weights",
    "norm",
    "d",
    "N",
    "|cos| exact",
    "deployed",
    "depth",
    "below",
    "residual",
    "verdict",
    "seconds",
    "of GEMM",
    "peak GiB",
]


def read_json(file: Path) -> dict:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError as error:
        raise ToolError(USAGE, f"{file}: no such file") from error
    except ValueError as error:
        raise ToolError(
            MALFORMED, f"{file}: not JSON: {error}; make it again with deadray suite"
        ) from error


def read_records(folder: Path) -> dict[tuple[str, str], dict]:
    records = {}
    for init in INITS:
        for file in sorted(folder.glob(f"*.{init}.json")):
            record = read_json(file)
            name = file.name.removesuffix(f".{init}.json")
            if (
                record.get("schema") != "deadray/verify/1"
                or "suite" not in record
                or (record["model"]["name"], record["model"]["init"]) != (name, init)
            ):
                raise ToolError(
                    MALFORMED,
                    f"{file}: not the suite's record of {name}, {init}; make it again with "
                    "deadray suite",
                )
            records[name, init] = record
    return records


def figure(value: float | None, pattern: str) -> str:
    return "–" if value is None else format(value, pattern)


def cosine(reading: dict | None) -> float | None:
    if reading is None:
        return None
    return min(reading["principal_cosines"], default=reading["abs_cos"])


def verdict(sites: list[dict]) -> str:
    found = [site["verdict"] for site in sites]
    worst = next(v for v in ("refuted", "undetermined", "confirmed", "absent") if v in found)
    return worst if len(sites) == 1 else f"{worst} ({len(sites)} norms)"


def final_site(sites: list[dict]) -> dict:
    return next((site for site in sites if site["final"]), sites[-1])


def share_of_gemm(record: dict) -> float | None:
    """The forward pass's rate over that of a large product; None where the record has none."""
    # which records of earlier versions lack
    rate = record["environment"].get("gemm_flops_per_second")
    return record["forward"]["flops"] / record["seconds"]["forward"] / rate if rate else None


def row(name: str, init: str, record: dict) -> list[str]:
    site, suite = final_site(record["sites"]), record["suite"]
    exact, deployed, residual = site["exact"], site["deployed"], record["residual"]
    preserved = {True: "preserved", False: "not preserved", None: "–"}[
        residual["preserved"] if residual else None
    ]
    decisive = exact or deployed
    return [
        name,
        INITS[init],
        site["norm"],
        str(site["hidden_size"]),
        str(record["calibration"]["tokens"]),
        figure(cosine(exact), ".6f"),
        figure(cosine(deployed), ".6f"),
        figure(decisive["depth"], ".1e"),
        " ".join(map(str, decisive["below"])) or "–",
        preserved,
        verdict(record["sites"]),
        figure(suite["seconds"], ".1f"),
        figure(share_of_gemm(record), ".0%"),
        figure(suite["peak_memory_bytes"] / 2**30, ".2f"),
    ]


def how_it_was_made(records: dict) -> list[str]:
    """Command, commit and machine of each row; rows of one commit and machine together."""
    groups: dict[str, list[str]] = {}
    for record in records.values():
        suite = record["suite"]
        machine = suite["machine"]
        memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
        where = (
            f"Commit {suite['commit']}, {suite['started'][:10]}, {machine['cpu']}, "
            f"{machine['cores']} cores, {memory}, {machine['device']}"
        )
        groups.setdefault(where, []).append(suite["command"])
    return [
        line
        for where, commands in groups.items()
        for line in ("", f"{where}:", "", *(f"    {command}" for command in commands))
    ]


def chance(records: dict, names: list[str]) -> list[str]:
    """How the control of RMSNorms compares with chance.

    sqrt(d) |cos| of a random direction is half-normal: mean 0.80, deviation 0.60.
    """
    finals = [
        final_site(record["sites"])
        for (name, init), record in records.items()
        if init == "random" and name in names
    ]
    scaled = [
        found * math.sqrt(site["hidden_size"])
        for site in finals
        if site["norm"] == "rmsnorm" and (found := cosine(site["exact"])) is not None
    ]
    if not scaled:
        return []
    return [
        "",
        (
            f"RMSNorms at random initialisation: √d·\\|cos\\| is {sum(scaled) / len(scaled):.2f} "
            f"on average over {len(scaled)} final norms of the roster; chance is 0.80 ± "
            f"{0.60 / math.sqrt(len(scaled)):.2f}."
        ),
    ]


def table(folder: Path, roster: dict) -> str:
    records = read_records(folder)
    names = [model["name"] for model in roster["models"]]
    extra = sorted({name for name, _ in records} - set(names))
    lines = [
        f"Roster: {roster['note']}",
        "",
        "| " + " | ".join(title.replace("|", "\\|") for title in TITLES) + " |",
        "|" + "---|" * len(TITLES),
    ]
    missing = []
    for name in names + extra:
        for init in INITS:
            if (name, init) in records:
                lines.append("| " + " | ".join(row(name, init, records[name, init])) + " |")
            elif name in names:
                missing.append(f"{name} ({INITS[init]})")
    if not records:
        lines = lines[:1]
    lines += [
        "",
        f"Not run yet, {len(missing)} of {2 * len(names)} rows: {', '.join(missing)}."
        if missing
        else f"All {2 * len(names)} rows of the roster were run.",
    ]
    return "\n".join(lines + chance(records, names) + how_it_was_made(records))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/results_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "results", metavar="FOLDER")
    parser.add_argument(
        "--roster", type=Path, default=ROOT / "scripts/rosters/fourteen.json", metavar="FILE"
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing, say whether the table is up to date"
    )
    arguments = parser.parse_args()
    readme = arguments.folder / "README.md"
    if not readme.is_file():
        raise ToolError(USAGE, f"{readme}: no such file")
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ToolError(
            MALFORMED,
            f"{readme}: no {BEGIN} followed by {END}: put them where the table is to stand",
        )
    wanted = (
        f"{before}{BEGIN}\n{table(arguments.folder, read_json(arguments.roster))}\n{END}{after}"
    )
    if not arguments.check:
        write_whole(readme, lambda stream: stream.write(wanted.encode()))
    elif wanted != text:
        print(f"{readme}: not what the records say; run scripts/results_table", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_tool(main)
