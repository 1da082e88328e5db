"""What a measurement of a large model would take on GPUs, from ASSUMED rates.

docs/scaling.md says where the rates come from and what the table leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

MATRICES = 3  # of a norm: its exact and its deployed output, and its input


@dataclass(frozen=True)
class Model:
    name: str
    parameters: float  # all of them are read
    active: float  # of each token
    width: int
    layers: int
    norms: int
    largest_block: float  # parameters


@dataclass(frozen=True)
class Node:
    """Rates of eight GPUs in a host, assumed."""

    gpus: int = 8
    bf16_flops: float = 400e12  # of a GPU, in large products
    fp64_flops: float = 30e12  # of a GPU, in large products
    eigen_flops: float = 1e12  # of a GPU, in a full eigendecomposition
    file_bytes: float = 10e9  # a second, from the file system into a host
    link_bytes: float = 25e9  # a second, from a host's memory into a GPU
    merge_bytes: float = 5e9  # a second and rank, through hosts


# Llama 3.1 405B; a mixture of experts of the size of Kimi K2.
MODELS = [
    Model("405 B, dense", 405e9, 405e9, 16384, 126, 253, 3.2e9),
    Model("1 T, 32 B active", 1e12, 32e9, 7168, 61, 123, 17e9),
]


def predict(model: Model, gpus: int, node: Node) -> dict[str, float]:
    """Seconds of each part and bytes of a GPU; every rank reads all weights."""
    d, tokens = model.width, max(1.25 * model.width, 4096)
    host_reads = 2 * model.parameters / node.file_bytes  # once a host: its ranks read together
    link = 2 * model.parameters / node.link_bytes
    mine = model.norms / gpus
    covariance = MATRICES * 2 * tokens / gpus * d**2 * model.norms
    # A full decomposition takes 9 d^3 flops: to tridiagonal form, its vectors, and back. A
    # certificate takes a Cholesky factor, d^3 / 3, and three times as much in solves.
    seconds = {
        "weights": max(host_reads, link),
        "forward": 2 * model.active * tokens / gpus / node.bf16_flops,
        "covariances": covariance / node.fp64_flops,
        "merging": model.norms * MATRICES * d**2 / 2 * 8 / node.merge_bytes,
        "spectra, eigh": mine * 2 * 9 * d**3 / node.eigen_flops,
        "spectra, certificate": mine * 2 * d**3 / 3 * 4 / node.fp64_flops,
    }
    # Two blocks of weights, the stream, two norms' moments, one decomposition of four matrices.
    bytes_ = 2 * 2 * model.largest_block + 2 * tokens / gpus * d + (2 * MATRICES + 4) * 8 * d**2
    return seconds | {"gpu bytes": bytes_}


def prediction_table(node: Node) -> str:
    parts = list(predict(MODELS[0], 8, node))
    lines = [f"{'':20}{'GPUs':>5}" + "".join(f"{part.split(', ')[-1]:>13}" for part in parts)]
    for model in MODELS:
        for gpus in (8, 64):
            found = predict(model, gpus, node)
            cells = [
                f"{value / 1e9:>10.0f} GB" if part == "gpu bytes" else f"{value:>11.1f} s"
                for part, value in found.items()
            ]
            lines.append(f"{model.name:20}{gpus:>5}" + "".join(cells))
    assumed = ", ".join(f"{name} {value:g}" for name, value in vars(node).items())
    return "\n".join([*lines, "", f"ASSUMED, not measured: {assumed}"])
