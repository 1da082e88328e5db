"""A small model that tests watch, and how they do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import deadray


def watched(model: nn.Module, *calls: dict, **options) -> deadray.Report:
    with deadray.watch(model, **options) as probe, torch.no_grad():
        for call in calls:
            model(**call)
    return probe.report()


class Block(nn.Module):
    """A stream of width 16 with two norms, and how it is run."""

    def __init__(self, width: int = 16):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Embedding(50, width)
        self.first = nn.LayerNorm(width)
        self.map = nn.Linear(width, width)
        self.last = nn.RMSNorm(width, eps=1e-6)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.copy_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
                if parameter is self.table.weight:
                    parameter.normal_(generator=generator)

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor | None = None):
        x = self.table(ids)
        return self.last(x + torch.tanh(self.map(self.first(x))))


def ids_of(rank: int) -> torch.Tensor:
    """What the block reads on that rank."""
    return torch.randint(0, 50, (8, 40), generator=torch.Generator().manual_seed(rank))


def refused(call, error: type, *words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
