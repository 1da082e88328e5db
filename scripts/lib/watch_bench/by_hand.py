"""What deadray.watch replaces, as one would write it: hooks, torch.cov, torch.linalg.eigh.

The baseline of scripts/bench_watch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def layernorms_by_hand(model: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, dict]:
    """Of every LayerNorm |cos| of 1/gamma and the bottom eigenvector, and all eigenvalues."""
    outputs: dict[str, list[torch.Tensor]] = {}
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    hooks = []
    for name, norm in norms.items():
        outputs[name] = []
        hooks.append(
            norm.register_forward_hook(lambda _m, _x, y, kept=outputs[name]: kept.append(y))
        )
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()

    found = {}
    for name, norm in norms.items():
        y = torch.cat([part.flatten(0, -2) for part in outputs.pop(name)]).double()
        eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(y.T, correction=0))
        predicted = nn.functional.normalize(1 / norm.weight.double(), dim=0)
        cosine = abs(predicted @ eigenvectors[:, 0])
        found[name] = {"abs_cos": cosine.item(), "eigenvalues": eigenvalues.tolist()}
    return found
