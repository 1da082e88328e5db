"""How far a model's outputs move with its parameters, and a small model to move."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

STEP = 10.0  # times a unit tangent; the weights are about 1 each


@torch.no_grad()
def outputs_of(model: nn.Module, inputs) -> list[torch.Tensor]:
    result = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    leaves = tree_leaves(dict(result) if isinstance(result, dict) else result)
    return [t for t in leaves if isinstance(t, torch.Tensor) and t.is_floating_point()]


@torch.no_grad()
def movement(model, inputs, tangent, step=STEP) -> float:
    """The most that an output moves, relative to the largest of its tensor."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    kept = {name: parameters[name].clone() for name in tangent}
    before = outputs_of(model, inputs)
    for name, value in tangent.items():
        parameters[name] += step * value
    after = outputs_of(model, inputs)
    for name, value in kept.items():
        parameters[name].copy_(value)
    pairs = zip(before, after, strict=True)
    return max(float((b - a).abs().max() / a.abs().max()) for a, b in pairs)


class Small(nn.Module):
    """One LayerNorm and what the test reads it with."""

    def __init__(self, read, gamma=None, beta=None, **maps):
        super().__init__()
        self.norm = nn.LayerNorm(4).double()
        self.read = read
        for name, module in maps.items():
            self.add_module(name, module.double())
        generator = torch.Generator().manual_seed(2)
        for parameter in self.parameters():
            drawn = torch.empty(parameter.shape).uniform_(0.5, 1.5, generator=generator)
            parameter.data = drawn.double()
        for parameter, values in ((self.norm.weight, gamma), (self.norm.bias, beta)):
            if values is not None:
                parameter.data = torch.tensor(values).double()

    def forward(self, x):
        return self.read(self, self.norm(x))


X = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1)).double()
