"""What a normalisation module does, found by running it on random numbers.

Nothing here looks at a class's name. A module with vectors for parameters is a norm when its output
depends on the input's direction alone: scaled inputs give the same output. What it subtracts, what
it adds to its scale and over what it takes its statistics follow from its answers to other inputs.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass

import torch
from torch import nn

TOLERANCE = 1e-3  # modules compute in float32; what differs here differs by 0.1 or more
SMALL, LARGE = 1e4, 1e6  # inputs beside which every epsilon vanishes


@dataclass(frozen=True)
class Behaviour:
    """Of one norm. `kind`: layernorm, rmsnorm, or other, which says `why`."""

    kind: str
    weight: str | None = None
    bias: str | None = None
    offset: int = 0
    width: int = 0  # over which it takes its statistics
    rows: bool = False  # the scale has a row for each head
    gated: bool = False  # it wants a gate beside its input
    why: str = ""


class Layout:
    """A shape of input and where its channels are."""

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]):
        self.shape, self.axes = shape, axes

    def spread(self, vector: torch.Tensor) -> torch.Tensor:
        """A parameter as it acts on an input of this shape."""
        shape = [1] * len(self.shape)
        for axis in self.axes:
            shape[axis] = self.shape[axis]
        return vector.reshape(shape)

    def channels_last(self, x: torch.Tensor) -> torch.Tensor:
        """[positions, channels]"""
        others = [axis for axis in range(x.dim()) if axis not in self.axes]
        x = x.permute(*others, *self.axes)
        return x.reshape(math.prod(self.shape[axis] for axis in others), -1)


def layouts(shape: torch.Size, module: nn.Module) -> list[Layout]:
    """Inputs that a module with a scale of this shape may take, of lengths no width has."""
    wide = [size for size in shape if size > 1]
    if len(wide) == 2:
        h, d = wide
        return [Layout((2, 11, h, d), (2, 3)), Layout((2, h, 11, d), (1, 3))]
    d = math.prod(shape)
    return [
        Layout((2, 11, d), (2,)),
        Layout((2, d, 11), (1,)),
        Layout((2, d, 7, 11), (1,)),
        Layout((2, d, 3, 5, 7), (1,)),
        Layout((2, 3, 11, d), (3,)),
        *(Layout((2, 11, h, d // h), (2, 3)) for h in divisors(module, d)),
        Layout((11, d), (1,)),
    ]


def divisors(module: nn.Module, width: int) -> list[int]:
    """Numbers of heads that the module may have in mind."""
    sizes = {value for value in vars(module).values() if isinstance(value, int)}
    return sorted(size for size in sizes if 1 < size < width and width % size == 0)


def is_vector(parameter: torch.Tensor) -> bool:
    """[d], [d, 1, 1], or [heads, d], few heads"""
    wide = [size for size in parameter.shape if size > 1]
    return len(wide) == 1 or (len(wide) == 2 and parameter.dim() == 2 and wide[0] <= 256)


def is_candidate(module: nn.Module) -> bool:
    maps = (nn.Linear, nn.Embedding, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention)
    own = list(module.parameters(recurse=False))
    if not own or len(own) > 3 or isinstance(module, maps) or not all(map(is_vector, own)):
        return False
    return len(own) == len(list(module.parameters()))  # nothing inside it has parameters


def has_running_statistics(module: nn.Module) -> bool:
    return "running_mean" in dict(module.named_buffers(recurse=False))


class Runner:
    """A module on the CPU, run with parameters and inputs of choice."""

    def __init__(self, module: nn.Module):
        self.module = copy.deepcopy(module).to_empty(device="cpu").double().eval()
        for buffer in self.module.buffers():
            buffer.fill_(1.0 if buffer.is_floating_point() else 0)
        self.parameters = dict(self.module.named_parameters(recurse=False))
        self.generator = torch.Generator().manual_seed(20260730)
        self.layout: Layout | None = None
        self.gated = False
        for parameter in self.parameters.values():
            parameter.data = self.vector(parameter.shape)

    def vector(self, shape) -> torch.Tensor:
        return 0.5 + torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def normal(self) -> torch.Tensor:
        return torch.randn(self.layout.shape, generator=self.generator, dtype=torch.float64)

    def find_layout(self) -> bool:
        largest = max(self.parameters.values(), key=lambda p: p.numel())
        for gated, layout in itertools.product((False, True), layouts(largest.shape, self.module)):
            self.gated, self.layout = gated, layout
            try:
                self(self.normal())
                return True
            except Exception:  # any complaint says: not this shape
                continue
        return False

    def __call__(self, x: torch.Tensor, **values: torch.Tensor) -> torch.Tensor:
        kept = {name: self.parameters[name].data for name in values}
        for name, value in values.items():
            self.parameters[name].data = value
        try:
            with torch.no_grad():
                gate = [torch.ones_like(x)] if self.gated else []
                out = self.module(x.clone(), *gate)
        finally:
            for name, value in kept.items():
                self.parameters[name].data = value
        out = out[0] if isinstance(out, tuple) else out
        if out.shape not in (x.shape, x.flatten(-2).shape):
            raise ValueError("not the shape of the input")
        return out.double().reshape(x.shape)


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    scale = max(1e-6, float(b.abs().max()))
    return bool(torch.isfinite(a).all()) and float((a - b).abs().max()) <= TOLERANCE * scale


def find_roles(run: Runner, x: torch.Tensor) -> tuple[str | None, str | None, str]:
    """Which parameter scales and which shifts, and why neither can be told."""
    scale = shift = None
    for name, parameter in run.parameters.items():
        a, b = run.vector(parameter.shape), run.vector(parameter.shape)
        at_a, at_b = run(x, **{name: a}), run(x, **{name: b})
        between = run(x, **{name: (a + b) / 2})
        if not near(between, (at_a + at_b) / 2):
            return None, None, f"its output is not linear in its {name}"
        if near(at_a, at_b):
            return None, None, f"its {name} has no effect"
        added = run.layout.spread(a - b) if parameter.numel() == a.numel() else a - b
        if near(at_a - at_b, added.expand(at_a.shape)):
            shift, again = name, shift
        else:
            scale, again = name, scale
        if again is not None:
            return None, None, "it has two parameters of one role"
    return scale, shift, ""


def reach(run: Runner, plain, x: torch.Tensor) -> tuple[bool, set[int]]:
    """Whether another position's output depends on one position, and how many channels of its own
    depend on one channel."""
    base = run.layout.channels_last(plain(x))
    moved = x.clone()
    view = run.layout.channels_last(torch.arange(x.numel()).reshape(x.shape))
    position, channel = view.shape[0] // 2, view.shape[1] // 2
    moved.view(-1)[view[position, channel]] += 3.0 * float(x.abs().max())
    change = (run.layout.channels_last(plain(moved)) - base).abs() > 1e-9 * float(base.abs().max())
    touched = set(torch.nonzero(change[position]).flatten().tolist())
    change[position] = False
    return bool(change.any()), touched


def behaviour_of(module: nn.Module) -> Behaviour | None:
    """None: it is no norm."""
    if has_running_statistics(module):
        own = [name for name, p in module.named_parameters(recurse=False) if is_vector(p)]
        own += [name for name, _ in module.named_buffers(recurse=False) if name == "weight"]
        why = "batch norm: its statistics are stored, none is taken of the input"
        return Behaviour("other", own[0] if own else None, why=why)
    if not is_candidate(module):
        return None
    run = Runner(module)
    if not run.find_layout():
        return None
    x = SMALL * run.normal()
    at_zero = run(x * (LARGE / SMALL))
    if not near(run(x), at_zero) or near(run(-x), run(x)):
        return None  # its output grows with the input, or knows no sign
    return describe(run, x)


def describe(run: Runner, x: torch.Tensor) -> Behaviour | None:
    scale, shift, why = find_roles(run, x)
    first = next(iter(run.parameters))
    if scale is None:
        return Behaviour("other", first, why=why or "it has no scale") if why else None
    like = run.parameters[scale]
    zero, one = torch.zeros_like(like), torch.ones_like(like)
    added = 0.0 if shift is None else run.layout.spread(run.parameters[shift].data)

    def plain(inputs: torch.Tensor) -> torch.Tensor:
        """The input normalised, before scale and shift."""
        return run(inputs, **{scale: one}) - run(inputs, **{scale: zero})

    normal = plain(x)
    elsewhere, touched = reach(run, plain, x)
    if len(touched) <= 1 and not elsewhere:
        return None  # each coordinate for itself: tanh and the like
    offset = offset_of(run(x, **{scale: zero}) - added, normal)
    channels = run.layout.channels_last(x).shape[1]
    rows = len([size for size in like.shape if size > 1]) == 2
    width = max(touched) - min(touched) + 1
    if elsewhere:
        return Behaviour(
            "other", scale, shift, why="group norm: it takes statistics over positions"
        )
    if offset is None:
        return Behaviour("other", scale, shift, why="its scale is neither gamma nor 1 + gamma")
    kind = kind_of(run, plain, x, width)
    if kind == "layernorm" and width != channels and not rows:
        why = f"a LayerNorm over each of {channels // width} groups of channels"
        return Behaviour("other", scale, shift, why=why)
    if kind == "layernorm" and run.gated:
        return Behaviour(
            "other", scale, shift, why="a gated LayerNorm: its gate moves every direction"
        )
    if kind is None:
        return Behaviour("other", scale, shift, why="it neither subtracts the mean nor keeps it")
    return Behaviour(kind, scale, shift, offset, width, rows, run.gated)


def offset_of(at_zero: torch.Tensor, normal: torch.Tensor) -> int | None:
    """What is added to the scale, from the output where the scale is zero."""
    for offset in (0, 1):
        if near(at_zero - offset * normal, torch.zeros_like(normal)) or (
            offset and near(at_zero, normal)
        ):
            return offset
    return None


def kind_of(run: Runner, plain, x: torch.Tensor, width: int) -> str | None:
    """Whether the mean over `width` neighbouring channels is taken away."""
    normal = plain(x)
    grouped = run.layout.channels_last(normal).reshape(-1, width)
    constant = SMALL * torch.randn(
        run.layout.channels_last(x).numel() // width, 1, generator=run.generator
    )
    shifted = restore(run, x, constant.expand(-1, width))
    if near(plain(shifted), normal):
        return "layernorm" if float(grouped.mean(1).abs().max()) < TOLERANCE else None
    source = run.layout.channels_last(x).reshape(-1, width)
    cosines = nn.functional.cosine_similarity(grouped, source, dim=1)
    return "rmsnorm" if float((cosines - 1).abs().max()) < TOLERANCE else None


def restore(run: Runner, x: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """x + added, `added` in groups of channels as channels_last() orders them."""
    order = run.layout.channels_last(torch.arange(x.numel()).reshape(x.shape)).flatten()
    result = x.clone().flatten()
    result[order] += added.flatten().double()
    return result.reshape(x.shape)


def unscaled_kind(module: nn.Module) -> str | None:
    """Of a module without parameters: layernorm, rmsnorm, or None where it is no norm."""
    shape = tuple(getattr(module, "normalized_shape", ())) or (32,)
    generator = torch.Generator().manual_seed(20260730)
    x = SMALL * torch.randn(2, 11, *shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        normal, larger = module(x), module(x * (LARGE / SMALL))
        shifted = module(x + SMALL)
        if not isinstance(normal, torch.Tensor) or normal.shape != x.shape:
            return None
        if not near(normal, larger) or near(module(-x), normal):
            return None
    squares = normal.double().square().flatten(2).mean(2)
    if float((squares - 1).abs().max()) > TOLERANCE or near(normal, normal.sign()):
        return None
    return "layernorm" if near(shifted, normal) else "rmsnorm"
