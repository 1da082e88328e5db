"""Norms of models that are wrapped, offloaded, or spread over ranks."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn

from deadray.errors import UnsupportedError
from deadray.modules.norms import find_norms

torch.set_num_threads(1)


def test_wrappers_leave_no_trace_in_names():
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
    assert [norm.name for norm in find_norms(nn.DataParallel(model))] == ["1"]
    compiled = torch.compile(model)
    (norm,) = find_norms(compiled)
    assert norm.name == "1" and norm.module is model[1]
    model[1] = torch.compile(model[1])
    assert [norm.name for norm in find_norms(model)] == ["1"]


class OffloadHook:
    """What accelerate leaves in a module's _hf_hook."""

    def __init__(self, weights_map):
        self.weights_map = weights_map


def offloaded(module: nn.LayerNorm) -> nn.LayerNorm:
    """As accelerate offloads it: parameters on the meta device, forward() wrapped."""
    stored = {name: value.detach().clone() for name, value in module.named_parameters()}
    module._hf_hook, module._old_forward = OffloadHook(stored), module.forward
    module.forward = lambda x: pytest.fail("the wrapped forward() ran")
    return module.to("meta")


def test_offloaded_values_come_from_where_they_are():
    module = nn.LayerNorm(8)
    nn.init.normal_(module.weight)
    weight = module.weight.detach().double().numpy()
    (norm,) = find_norms(nn.Sequential(offloaded(module)))
    np.testing.assert_array_equal(norm.gamma, weight)
    assert norm.module.weight.is_meta


def test_values_that_are_nowhere_are_an_error_that_names_the_norm():
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)).to("meta")
    with pytest.raises(UnsupportedError, match=r"^1: its weight is on the meta device"):
        find_norms(model)
    assert find_norms(model[0]) == []


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(9)
        self.map = nn.Linear(9, 9)

    def forward(self, x):
        return x + self.map(self.norm(x))


def spread(model: nn.Sequential, how: str) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    if how == "fully_shard":
        for part in (model[0], model[1], model):
            fully_shard(part)
        return model
    settings = {"use_orig_params": how == "FSDP, own parameters", "device_id": torch.device("cpu")}
    wrapped = [FullyShardedDataParallel(part, **settings) for part in model[:2]]
    return FullyShardedDataParallel(nn.Sequential(*wrapped, model[2]), **settings)


def of_each_rank(rank: int, folder: str) -> None:
    """Before and after a step of the model, which shards and gathers as it likes."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for how in ("fully_shard", "FSDP", "FSDP, own parameters"):
        torch.manual_seed(0)
        model = nn.Sequential(Block(), Block(), nn.LayerNorm(9))
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        model = spread(model, how)
        for _ in range(2):
            norms = find_norms(model)
            assert [norm.name for norm in norms] == ["0.norm", "1.norm", "2"], how
            for norm in norms:
                for stored, value in (("weight", norm.gamma), ("bias", norm.beta)):
                    expected = state[f"{norm.name}.{stored}"].double().numpy()
                    np.testing.assert_array_equal(value, expected, how)
            model(torch.randn(2, 9)).sum().backward()
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_sharded_values_are_gathered_on_every_rank(tmp_path):
    torch.multiprocessing.spawn(of_each_rank, (str(tmp_path),), nprocs=2)
