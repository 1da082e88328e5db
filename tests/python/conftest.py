"""What tests of several files are given."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 50, (8, 40), generator=torch.Generator().manual_seed(1))
