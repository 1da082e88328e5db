"""What deadray.watch replaces, as one would write it: hooks, torch.cov, torch.linalg.eigh.

The baselines of scripts/bench_watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

Rows = dict[str, list[torch.Tensor]]


@torch.no_grad()
def outputs_by_hand(model: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, dict]:
    """Of every LayerNorm's output |cos| of 1/gamma and the bottom eigenvector; all eigenvalues."""
    norms, outputs = _layernorms(model), {}
    _run(model, batches, {name: _keeper(outputs, name) for name in norms})
    found = {}
    for name, norm in norms.items():
        y = torch.cat(outputs.pop(name)).double()
        found[name] = {"deployed": _read(torch.cov(y.T, correction=0), norm)}
    return found


@torch.no_grad()
def everything_by_hand(model: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, dict]:
    """The same of the output as it is and as the norm makes it in FP64, and both Schur ratios."""
    norms, inputs, outputs = _layernorms(model), {}, {}

    def keeper(name: str) -> Callable[[torch.Tensor, torch.Tensor], None]:
        def keep(x: torch.Tensor, y: torch.Tensor) -> None:
            inputs.setdefault(name, []).append(x.flatten(0, -2))
            outputs.setdefault(name, []).append(y.flatten(0, -2))

        return keep

    _run(model, batches, {name: keeper(name) for name in norms})
    found = {}
    for name, norm in norms.items():
        y = torch.cat(outputs.pop(name)).double()
        deployed = _read(torch.cov(y.T, correction=0), norm)
        del y
        x = torch.cat(inputs.pop(name)).double()
        schur_input = _schur_ratio(torch.cov(x.T, correction=0), norm)
        gamma, beta = norm.weight.double(), norm.bias.double()
        x = nn.functional.layer_norm(x, norm.normalized_shape, gamma, beta, norm.eps)
        covariance = torch.cov(x.T, correction=0)
        del x
        schur = {"input": schur_input, "output": _schur_ratio(covariance, norm)}
        found[name] = {"deployed": deployed, "exact": _read(covariance, norm), "schur": schur}
    return found


def _layernorms(model: nn.Module) -> dict[str, nn.LayerNorm]:
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}


def _keeper(kept: Rows, name: str) -> Callable[[torch.Tensor, torch.Tensor], None]:
    return lambda _x, y: kept.setdefault(name, []).append(y.flatten(0, -2))


def _run(model: nn.Module, batches: Iterable[torch.Tensor], keepers: dict[str, Callable]) -> None:
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _m, x, y, keep=keep: keep(x[0], y))
        for name, keep in keepers.items()
    ]
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()


def _direction(norm: nn.LayerNorm) -> torch.Tensor:
    return nn.functional.normalize(1 / norm.weight.double(), dim=0)


def _read(covariance: torch.Tensor, norm: nn.LayerNorm) -> dict:
    values, vectors = torch.linalg.eigh(covariance)
    cosine = abs(_direction(norm) @ vectors[:, 0]).item()
    return {
        "abs_cos": cosine,
        "first": values[0].item(),
        "second": values[1].item(),
        "last": values[-1].item(),
    }


def _schur_ratio(covariance: torch.Tensor, norm: nn.LayerNorm) -> float | None:
    """1 - 1/((v' C^-1 v)(v' C v)); None where C has no inverse."""
    v = _direction(norm)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        return None
    solved = torch.cholesky_solve(v[:, None], factor)[:, 0]
    return (1 - 1 / ((v @ solved) * (v @ covariance @ v))).item()
