"""Whether a module is a norm, and which, from its answers to inputs of our own.

A norm makes of each row x of its input gamma * z(x) + beta, where z is (x - mean) / deviation for a
LayerNorm and x / root mean square for an RMSNorm. A module of which that holds on rows of very
different sizes and means is one, whatever its class; batch, group and instance norms take their
statistics elsewhere, and activations know no size of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from deadray.modules.isolation import Isolated

KINDS = ("layernorm", "rmsnorm")
TOLERANCE = (
    1e-4  # relative: many modules compute in float32; what is no norm differs by 0.1 or more
)
# Of rows. No epsilon matters of the first, float16 reaches them, and no row can stand for another.
LARGE = (1e2, 1e4)
USUAL = (0.1, 1.0)


@dataclass(frozen=True)
class Layout:
    """A shape of input, and which axis holds the `width` channels."""

    shape: tuple[int, ...]
    axis: int

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """[n_rows, width]"""
        return x.movedim(self.axis, -1).flatten(0, -2)

    def draw(self, seed: int, sizes: tuple[float, float] = LARGE) -> torch.Tensor:
        """Rows whose sizes and means differ by orders of magnitude, in this shape."""
        generator = torch.Generator().manual_seed(seed)
        last = torch.empty(self.shape).movedim(self.axis, -1).shape
        low, high = (torch.tensor(size, dtype=torch.float64).log() for size in sizes)
        row = (*last[:-1], 1)
        sizes = (low + (high - low) * torch.rand(row, generator=generator).double()).exp()
        values = torch.randn(last, generator=generator).double()
        return (sizes * (values + torch.randn(row, generator=generator))).movedim(-1, self.axis)


def layouts(width: int, axis: int | None = None) -> Iterator[Layout]:
    """Inputs that a norm of this width may take; no other axis is as long. Rows alone come last."""
    n, m, k = [size for size in (3, 5, 7, 11) if size != width][:3]
    shapes = {-1: ((2, n, width), (2, n, m, width)), 1: ((2, width, n, m), (2, width, k))}
    for channels in (-1, 1) if axis is None else (axis,):
        yield from (Layout(shape, channels) for shape in shapes[channels])
    if axis != 1:
        yield Layout((k, width), -1)


@dataclass(frozen=True)
class Fit:
    """gamma and beta, [width] float64 on the CPU, that a run of the module shows."""

    kind: str
    layout: Layout
    gamma: torch.Tensor
    beta: torch.Tensor


def normalised(kind: str, rows: torch.Tensor, eps: float = 0.0) -> torch.Tensor:
    rows = rows - rows.mean(-1, keepdim=True) if kind == "layernorm" else rows
    return rows / (rows.square().mean(-1, keepdim=True) + eps).sqrt()


def near(a: torch.Tensor, b: torch.Tensor, tolerance: float = TOLERANCE) -> bool:
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def fit(run: Isolated, layout: Layout) -> Fit | None:
    """None: on inputs of this layout the module is no norm, or takes none."""
    return next((found for kind in KINDS if (found := measure(run, kind, layout))), None)


def measure(run: Isolated, kind: str, layout: Layout) -> Fit | None:
    x = layout.draw(seed=1)
    ahead, back = run(x), run(-x)
    if ahead is None or back is None:
        return None
    y, opposite, z = layout.rows(ahead), layout.rows(back), normalised(kind, layout.rows(x))
    beta = ((y + opposite) / 2).mean(0)
    gamma = ((y - beta) * z).sum(0) / z.square().sum(0)
    scaled = gamma * z
    follows = near(scaled + beta, y) and near(beta - scaled, opposite)
    return Fit(kind, layout, gamma, beta) if follows else None


def find_fit(run: Isolated, width: int, axis: int | None = None) -> Fit | None:
    """Of a module that is a norm on inputs of some layout. What it makes is not a constant.

    One that is a norm on rows alone is none if it takes more axes: a group norm with one group.
    """
    for layout in layouts(width, axis):
        if len(layout.shape) == 2 and run.answered:
            return None
        found = fit(run, layout)
        if found and float(found.gamma.abs().max()) > TOLERANCE:
            return found
    return None


def measure_eps(run: Isolated, found: Fit) -> float:
    """What is added under the root, from rows about as small as it; 0.0 where none shows."""
    layout = found.layout
    x = layout.draw(seed=2).movedim(layout.axis, -1)
    z = normalised(found.kind, x).movedim(-1, layout.axis)
    square = 1.0  # of a row, in the mean
    for _ in range(16):
        y = run(square**0.5 * z)
        if y is None:
            break
        share = ((layout.rows(y) - found.beta) / found.gamma).square().mean()
        eps = float(square * (1 / share - 1))
        if 0.3 < eps / square < 3:
            return eps
        square = eps if eps > square else max(eps, 1e-4 * square)
    return 0.0


def also_of_usual_rows(run: Isolated, found: Fit, eps: float) -> bool:
    """Whether small rows are normalised too: a module that cuts off long ones is no norm.

    Within 2 %, for epsilons that are added elsewhere than under the root.
    """
    x = found.layout.draw(seed=3, sizes=USUAL)
    y = run(x)
    expected = found.gamma * normalised(found.kind, found.layout.rows(x), eps) + found.beta
    return y is not None and near(found.layout.rows(y), expected, tolerance=0.02)
