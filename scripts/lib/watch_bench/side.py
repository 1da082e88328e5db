"""One side of scripts/bench_watch, in a process of its own: prints its figures as JSON."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from watch_bench.by_hand import everything_by_hand, outputs_by_hand

BY_HAND = {"by hand": everything_by_hand, "by hand, deployed": outputs_by_hand}
# Of each side that deadray takes: method, readings, and what it is measured against.
WATCHED = {
    "eigh": ("eigh", "both", "by hand"),
    "certificate": ("certificate", "both", "by hand"),
    "directional": ("directional", "both", "by hand"),
    "eigh, deployed": ("eigh", "deployed", "by hand, deployed"),
    "certificate, deployed": ("certificate", "deployed", "by hand, deployed"),
}
SIDES = ("bare", *BY_HAND, *WATCHED)


class Block(nn.Module):
    """x + W2 gelu(W1 norm(x))."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        # A scale as training leaves it, so that 1/gamma is no vector of ones.
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


def batches(arguments: argparse.Namespace) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for first in range(0, arguments.rows, arguments.batch):
        n = min(arguments.batch, arguments.rows - first)
        yield torch.randn(n, arguments.width, generator=generator)


def watched(model: nn.Module, arguments: argparse.Namespace) -> tuple[dict, dict]:
    import deadray

    method, readings, _ = WATCHED[arguments.side]
    with torch.no_grad(), deadray.watch(model, method=method, readings=readings) as probe:
        for batch in batches(arguments):
            model(batch)
    report = probe.report()
    found = {}
    for site in report.sites:
        readings = {"deployed": site.deployed} | ({"exact": site.exact} if site.exact else {})
        found[site.name] = {"schur": site.schur} | {
            name: {"abs_cos": reading["abs_cos"], **reading["eigenvalues"]}
            for name, reading in readings.items()
        }
    return found, report.to_dict()["seconds"]


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    for name in ("width", "norms", "rows", "batch", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = nn.Sequential(*(Block(arguments.width) for _ in range(arguments.norms)))
    with torch.no_grad():
        model(next(batches(arguments)))  # what a first product sets up is no side's
    if arguments.side in WATCHED:
        import deadray

        deadray.watch  # noqa: B018  loads what it needs, as `import torch` did
    began, processor, parts = time.perf_counter(), time.process_time(), {}
    if arguments.side == "bare":
        found = {}
        with torch.no_grad():
            for batch in batches(arguments):
                model(batch)
    elif arguments.side in BY_HAND:
        found = BY_HAND[arguments.side](model, batches(arguments))
    else:
        found, parts = watched(model, arguments)
    result = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - processor,
        "peak_mb": peak_mb(),
        "norms": found,
        "parts": parts,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
