"""One module: the norm that it is, with gamma and beta from what it stores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from deadray.errors import UnsupportedError
from deadray.modules.behaviour import (
    TOLERANCE,
    Fit,
    also_of_usual_rows,
    find_fit,
    fit,
    layouts,
    measure,
    measure_eps,
    near,
)
from deadray.modules.isolation import Isolated, stored_tensors
from deadray.modules.parameters import full_value, shape_of

ANY_WIDTH = 16  # at which a module is tried that stores no vector
FLOATING = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
AS_MEASURED = "{} as measured: it is not the stored vector, 1 + it, or its negative"


@dataclass(frozen=True)
class Role:
    """How gamma or beta comes from what is stored: offset + sign * stored.

    key: of the parameter or buffer within the norm's module ("weight"); None: the value is
    `offset`, and nothing is stored.
    """

    key: str | None
    offset: float = 0.0
    sign: float = 1.0

    def of(self, stored: Mapping[str, torch.Tensor], width: int) -> torch.Tensor:
        """[width] float64; the stored values to the bit where nothing is added."""
        if self.key is None:
            return torch.full((width,), self.offset, dtype=torch.float64)
        values = stored[self.key].double().flatten()
        return (
            values if (self.offset, self.sign) == (0.0, 1.0) else self.offset + self.sign * values
        )


SCALES = (Role("", 0.0), Role("", 1.0), Role("", 0.0, -1.0))
SHIFTS = (Role("", 0.0), Role("", 0.0, -1.0))


@dataclass(frozen=True)
class Recognised:
    """A norm: where it normalises, and how it scales and shifts; None: not from what is stored.

    hidden_size, gamma and beta are None for a norm of any width.
    """

    fit: Fit
    hidden_size: int | None
    gamma: torch.Tensor | None
    beta: torch.Tensor | None
    eps: float
    scale: Role | None
    shift: Role | None
    note: str


def recognise(
    module: nn.Module, name: str, width: int | None = None, axis: int | None = None
) -> Recognised | None:
    """None: the module is no norm (of this width, along this axis).

    Raises UnsupportedError for a norm whose values are not in memory.
    """
    for run in _runs(module):
        found = _fit_of(run, module, width, axis)
        if found is not None:
            eps = _eps(module, run, found)
            if not also_of_usual_rows(run, found, eps):
                return None
            any_width = width is None and not _widths(module) and _also_wider(run, found)
            return _describe(module, name, run, found, eps, any_width)
        if run.answered:
            return None
    return None


def _runs(module: nn.Module) -> Iterator[Isolated]:
    """In the precision and at the place that show most, then as the model has it."""
    first = next(iter(stored_tensors(module).values()), torch.empty(0))
    own = first.dtype if first.is_floating_point() else torch.float32
    cpu = torch.device("cpu")
    for dtype in dict.fromkeys((torch.float64, torch.float32, own)):
        yield Isolated(module, dtype, cpu)
    if first.device.type not in ("cpu", "meta"):
        yield Isolated(module, own, first.device)


def _fit_of(run: Isolated, module: nn.Module, width: int | None, axis: int | None) -> Fit | None:
    stored = _widths(module)
    for candidate in stored if width is None else (width,):
        found = find_fit(run, candidate, axis)
        if found is not None and (stored or _of_each_row(run, found)):
            return found
    if stored or width is not None:
        return None
    found = find_fit(run, ANY_WIDTH, axis)
    if found is None and not run.answered:
        found = next((f for w in _named_widths(module) if (f := find_fit(run, w, axis))), None)
    return found if found is not None and _of_each_row(run, found) else None


def _of_each_row(run: Isolated, found: Fit) -> bool:
    """Whether rows of inputs with four axes are normalised alike.

    An instance or group norm that stores nothing takes the rows of three axes for channels.
    """
    four = [f for f in layouts(found.gamma.numel(), found.layout.axis) if len(f.shape) == 4]
    return all(fit(run, layout) is not None for layout in four)


def _also_wider(run: Isolated, found: Fit) -> bool:
    return find_fit(run, found.gamma.numel() + 1, found.layout.axis) is not None


def _widths(module: nn.Module) -> list[int]:
    """Lengths of the vectors that the module stores."""
    lengths = {math.prod(shape_of(tensor)) for tensor in stored_tensors(module).values()}
    return sorted(lengths - {0, 1})


def _named_widths(module: nn.Module) -> list[int]:
    """Numbers among the attributes that may be the width which the module was made for."""
    values = (v[0] if isinstance(v, tuple) and len(v) == 1 else v for v in vars(module).values())
    return sorted({v for v in values if type(v) is int and 1 < v <= 1 << 20})


def _describe(
    module: nn.Module, name: str, run: Isolated, found: Fit, eps: float, any_width: bool
) -> Recognised:
    width = found.gamma.numel()
    scale = _role(found.gamma, run.vectors, SCALES)
    shift = Role(None) if _is_zero(found) else _role(found.beta, run.vectors, SHIFTS)
    if any_width:
        return Recognised(found, None, None, None, eps, scale, shift, "")
    stored = _values(module, name)
    unknown = [what for what, role in (("gamma", scale), ("beta", shift)) if role is None]
    if unknown:
        again = measure(Isolated(module, run.dtype, run.device, stored), found.kind, found.layout)
        if again is None:
            raise UnsupportedError(
                f"{name}: a {found.kind} for other values than it stores: its {unknown[0]} is "
                "neither the stored vector nor to be measured"
            )
        found = again
    gamma = scale.of(stored, width) if scale else found.gamma
    beta = shift.of(stored, width) if shift else found.beta
    has_beta = shift is None or shift.key is not None
    note = AS_MEASURED.format(" and ".join(unknown)) if unknown else ""
    return Recognised(found, width, gamma, beta if has_beta else None, eps, scale, shift, note)


def _is_zero(found: Fit) -> bool:
    return bool(found.beta.abs().max() <= TOLERANCE * found.gamma.abs().max())


def _role(
    measured: torch.Tensor, drawn: Mapping[str, torch.Tensor], forms: tuple[Role, ...]
) -> Role | None:
    """Which form of which drawn vector the module used; that of none is 1."""
    width = measured.numel()
    roles = [Role(key, f.offset, f.sign) for f in forms for key in drawn]
    for role in (*roles, Role(None, 1.0)):
        if role.key is not None and drawn[role.key].numel() != width:
            continue
        if near(role.of(drawn, width), measured):
            return role
    return None


def _values(module: nn.Module, name: str) -> dict[str, torch.Tensor]:
    values = {}
    for key, tensor in stored_tensors(module).items():
        path, _, own_key = key.rpartition(".")
        values[key] = full_value(tensor, module.get_submodule(path), own_key, name)
    return values


def _eps(module: nn.Module, run: Isolated, found: Fit) -> float:
    """The number among the module's own, or of a few digits, that agrees with what it computes."""
    numbers = [v for part in module.modules() for v in vars(part).values() if type(v) is float]
    measured = measure_eps(run, found)
    own = next((v for v in numbers if _agree(v, measured, 0.02)), None)
    if own is not None:
        return own
    # A norm whose epsilon is that of its dtype shows it in the stored dtype alone.
    floating = [t.dtype for t in stored_tensors(module).values() if t.is_floating_point()]
    dtype = floating[0] if floating else torch.get_default_dtype()
    if dtype != run.dtype:
        measured = measure_eps(Isolated(module, dtype, run.device), found)
    for machine in (torch.finfo(d).eps for d in FLOATING):
        if _agree(machine, measured, 0.02):
            return machine
    short = float(f"{measured:.2g}")
    return short if _agree(short, measured, 1e-4) else measured


def _agree(eps: float, measured: float, tolerance: float) -> bool:
    return math.isclose(eps, measured, rel_tol=tolerance)
