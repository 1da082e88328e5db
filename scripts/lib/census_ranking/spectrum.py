"""Singular values of a tall matrix that comes in rows, and where they fall to rounding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

# Relative to the largest singular value. Noise lies below ROUNDING; the drop is sought above FLOOR.
ROUNDING, FLOOR = 1e-11, 2**-53
LEAST_GAP = 1e4
ROWS_AT_ONCE = 4096


@dataclass
class Spectrum:
    """Of a matrix [rows, n] with the triangle R [n, n] of its QR factorisation."""

    values: torch.Tensor  # [n], descending, the largest 1
    rank: int
    gap: float  # between the last value that counts and the first that does not
    triangle: torch.Tensor

    def alone(self, sizes: dict[str, int]) -> list[dict[str, Any]]:
        """Of each group of columns, a tensor: the null directions that move nothing else."""
        scale = torch.linalg.matrix_norm(self.triangle, 2)
        columns = torch.split(self.triangle, list(sizes.values()), 1)
        return [
            {"name": name, "parameters": n, "alone": n - rank_below(part / scale)}
            for (name, n), part in zip(sizes.items(), columns, strict=True)
        ]


def spectrum_of(blocks: Iterable[torch.Tensor]) -> Spectrum:
    """By the QR factorisation of the rows, block by block, then the singular values of R.

    The Gram matrix would do with less, but it squares the singular values: 1e-8 would be rounding.
    """
    r, waiting = None, []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= ROWS_AT_ONCE:
            r, waiting = folded(r, waiting), []
    r = folded(r, waiting) if waiting else r
    s = torch.linalg.svdvals(r)
    s = torch.nn.functional.pad(s, (0, r.shape[1] - len(s))) / s[0]
    return Spectrum(s, *drop_of(s), r)


def rank_below(part: torch.Tensor) -> int:
    return int((torch.linalg.svdvals(part) > ROUNDING).sum())


def folded(r: torch.Tensor | None, blocks: list[torch.Tensor]) -> torch.Tensor:
    return torch.linalg.qr(torch.cat(([] if r is None else [r]) + blocks), mode="r").R


def drop_of(s: torch.Tensor) -> tuple[int, float]:
    """The rank and the gap: the widest drop onto a value below ROUNDING.

    With no value there the rank is full and the gap that to rounding itself.
    """
    clamped = s.clamp_min(FLOOR)
    below = torch.cat([clamped[1:], torch.tensor([FLOOR], dtype=s.dtype)])
    ratios = torch.where(below < ROUNDING, clamped / below, 0)
    rank = int(ratios.argmax()) + 1
    return rank, float(ratios[rank - 1])
