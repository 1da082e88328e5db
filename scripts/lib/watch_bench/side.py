"""One side of scripts/bench_watch, in a process of its own: prints its figures as JSON."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from watch_bench.by_hand import layernorms_by_hand

# Method and readings of each side that deadray takes.
WATCHED = {
    "eigh": ("eigh", "both"),
    "certificate": ("certificate", "both"),
    "directional": ("directional", "both"),
    "eigh, deployed": ("eigh", "deployed"),
    "certificate, deployed": ("certificate", "deployed"),
}
SIDES = ("bare", "by hand", *WATCHED)


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

    method, readings = WATCHED[arguments.side]
    with torch.no_grad(), deadray.watch(model, method=method, readings=readings) as probe:
        for batch in batches(arguments):
            model(batch)
    report = probe.report()
    found = {}
    for site in report.sites:
        reading = site.deployed
        found[site.name] = {"abs_cos": reading["abs_cos"], **reading["eigenvalues"]}
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
    if arguments.side not in ("bare", "by hand"):
        import deadray

        deadray.watch  # noqa: B018  loads what it needs, as `import torch` did
    began, processor, parts = time.perf_counter(), time.process_time(), {}
    if arguments.side == "bare":
        found = {}
        with torch.no_grad():
            for batch in batches(arguments):
                model(batch)
    elif arguments.side == "by hand":
        found = layernorms_by_hand(model, batches(arguments))
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
