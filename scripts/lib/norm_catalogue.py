"""Writes the catalogue of model types: the norms of each, found by running their modules.

scripts/norm_catalogue                    host/architecture/catalogued/norms.jsonl
scripts/norm_catalogue --types gpt2,t5    prints the lines of these types, and writes nothing
scripts/norm_catalogue --check            changes nothing; exit 1 when the file is out of date

Every model type of the pinned transformers is built from its default configuration without weights
(on `meta`); each module that holds vectors is then run alone on random numbers. It takes some
minutes and about 2 GB for each process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from cataloguing.entries import entries
from tool import UNSUPPORTED, ToolError, run_tool, write_whole

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "host/architecture/catalogued/norms.jsonl"
SCHEMA = "deadray/norms/1"
TYPES_A_PROCESS = 100  # then another takes its place, and its memory is free


def prepare() -> None:
    """In each process, before transformers is imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()


def walk_one(model_type: str) -> tuple[str, dict[str, Any]]:
    from cataloguing.walk import walk

    return model_type, walk(model_type)


def walk_all(types: list[str], processes: int) -> dict[str, dict]:
    walked = {}
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, prepare, maxtasksperchild=TYPES_A_PROCESS) as pool:
        for model_type, found in pool.imap_unordered(walk_one, types):
            walked[model_type] = found
            if sys.stderr.isatty():
                print(f"\r{len(walked)} of {len(types)} types", end="", file=sys.__stderr__)
    return walked


def lines_of(walked: dict[str, dict]) -> list[str]:
    return [
        json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in entries(walked)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="norm_catalogue",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--types", help="names with commas between them; parts of no other type")
    parser.add_argument("--check", action="store_true", help="compare with the file")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    options = parser.parse_args()

    prepare()
    import transformers

    from cataloguing.models import model_types

    types = options.types.split(",") if options.types else model_types()
    unknown = sorted(set(types) - set(model_types()))
    if unknown:
        raise ToolError(UNSUPPORTED, f"transformers has no model type {', '.join(unknown)}")
    lines = lines_of(walk_all(types, options.processes))
    if options.types:
        print("\n".join(lines))
        return
    head = json.dumps({"schema": SCHEMA, "transformers": transformers.__version__})
    text = "\n".join([head, *lines]) + "\n"
    if options.check:
        same = FILE.exists() and FILE.read_text() == text
        print(f"{FILE}: {'up to date' if same else 'out of date: run scripts/norm_catalogue'}")
        sys.exit(0 if same else 1)
    write_whole(FILE, lambda stream: stream.write(text.encode()))
    print(f"{FILE}: {len(lines)} types, {sum('failed' in json.loads(x) for x in lines)} not built")


if __name__ == "__main__":
    run_tool(main)
