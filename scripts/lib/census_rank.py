"""Checks the census of flat directions against the rank of the exact Fisher information.

scripts/census_rank                       every family that deadray runs, 15 minutes
scripts/census_rank --only gpt2 llama     the models whose names begin so
scripts/census_rank --explain             also the tensors in which a mismatch lies

Each model is tiny, transformers' own in float64 all through, with generic parameters: every tensor
+ 0.3 N(0, 1), eps 1e-3. D - rank of its exact Fisher, over random inputs, must be what
`deadray census` counts as flat or unreached, and the singular values must fall by 1e4 or more
there. A rank is that of a generic point if no other draw of the parameters has a larger one, so a
mismatch is drawn again.

Exit code 1 where a count differs, 8 where singular values do not fall clearly.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from tool import USAGE, ToolError, run_tool, write_whole

SCHEMA = "deadray/census_rank/1"
DIFFERS, UNDETERMINED = 1, 8


def prepare() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    import torch
    import transformers

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    transformers.logging.set_verbosity_error()


def census_of(deadray: str, folder: Path) -> dict[str, Any]:
    ended = subprocess.run(
        [deadray, "census", str(folder), "--json", "-"], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise ToolError(ended.returncode, ended.stderr.strip().removeprefix("deadray: "))
    return json.loads(ended.stdout)


def measured(case: Any, seed: int) -> tuple[Any, Any]:
    from census_ranking.jacobian import TinyModel
    from census_ranking.spectrum import spectrum_of

    model = TinyModel(case, seed)
    return model, spectrum_of(model.fisher_root(batch) for batch in model.random_inputs(case.count))


def row_of(name: str, case: Any, deadray: str | None, draws: int, explain: bool) -> dict[str, Any]:
    """The record of one model; without `deadray` only what was measured."""
    from census_ranking.spectrum import LEAST_GAP

    began, census, best, draw = time.monotonic(), None, None, 0
    for draw in range(1, draws + 1):
        model, spectrum = measured(case, draw)
        if deadray and census is None:
            with tempfile.TemporaryDirectory() as folder:
                model.save_config(Path(folder))
                census = census_of(deadray, Path(folder))
        if best is None or spectrum.rank > best.rank:
            best = spectrum
        null = len(best.values) - best.rank
        if census is None or null == census["flat"] + census["unreached"]:
            break
    row = {
        "name": name,
        "family": case.config["model_type"],
        "parameters": len(best.values),
        "rank": best.rank,
        "null": null,
        "gap": best.gap,
        "clear": best.gap >= LEAST_GAP,
        "draws": draw,
        "seconds": round(time.monotonic() - began, 1),
    }
    if census:
        row |= {key: census[key] for key in ("flat", "unreached", "flat_up_to_eps")}
        row["excess"] = null - census["flat"] - census["unreached"]
        row["counted"] = census["parameters"]
    if explain and row.get("excess", 1):
        row["tensors"] = best.alone({name: p.numel() for name, p in model.parameters.items()})
    return row


def verdict_of(row: dict[str, Any]) -> str:
    if row.get("counted", row["parameters"]) != row["parameters"]:
        return f"census has {row['counted']} parameters"
    if row.get("excess"):
        return f"{row['excess']:+d} flat"
    if not row["clear"]:
        return "no clear gap"
    return "agrees" if "excess" in row else ""


COLUMNS = ("parameters", "rank", "null", "flat", "unreached", "flat_up_to_eps")


def print_row(row: dict[str, Any]) -> None:
    numbers = "".join(f"{row.get(key, '–'):>7}" for key in COLUMNS)
    print(f"{row['name']:<30}{numbers}{row['gap']:>9.0e}  {verdict_of(row)}", flush=True)
    for tensor in row.get("tensors", []):
        print(f"    {tensor['name']:<58} {tensor['alone']:>5} of {tensor['parameters']}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="census_rank",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="models whose names begin so")
    parser.add_argument("--list", action="store_true", help="print the names, and do nothing")
    parser.add_argument("--draws", type=int, default=4, help="of parameters, at most (default 4)")
    parser.add_argument("--explain", action="store_true", help="tensors of what differs")
    parser.add_argument("--without-census", action="store_true", help="print the ranks alone")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record there")
    return parser.parse_args()


def chosen_of(only: list[str] | None) -> dict[str, Any]:
    from census_ranking.cases import CASES

    chosen = {
        name: case for name, case in CASES.items() if not only or name.startswith(tuple(only))
    }
    if not chosen:
        raise ToolError(USAGE, f"--only {' '.join(only)}: no model's name begins so; see --list")
    return chosen


def main() -> None:
    options = parse()
    if options.draws < 1:
        raise ToolError(USAGE, f"--draws {options.draws}: at least 1 expected")
    chosen = chosen_of(options.only)
    if options.list:
        print(*chosen, sep="\n")
        return
    prepare()
    deadray = None if options.without_census else os.environ.get("DEADRAY", "deadray")
    heads = "".join(f"{key:>7}" for key in ("D", "rank", "null", "flat", "unrea.", "~eps"))
    print(f"{'model':<30}{heads}{'gap':>9}")
    rows = []
    for name, case in chosen.items():
        rows.append(row_of(name, case, deadray, options.draws, options.explain))
        print_row(rows[-1])
    if options.json:
        text = json.dumps({"schema": SCHEMA, "models": rows}, indent=1) + "\n"
        write_whole(options.json, lambda stream: stream.write(text.encode()))
    verdicts = [verdict_of(row) for row in rows]
    if any(verdict not in ("", "agrees", "no clear gap") for verdict in verdicts):
        sys.exit(DIFFERS)
    if "no clear gap" in verdicts:
        sys.exit(UNDETERMINED)


if __name__ == "__main__":
    run_tool(main)
