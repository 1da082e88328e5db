"""What `watch` makes of what PyTorch puts around a model, and of what happens meanwhile."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

import deadray
from watched_block import Block, refused, watched

torch.set_num_threads(1)


def test_threads_take_turns(ids):
    alone, shared = Block(), Block()
    parts = ids.repeat(4, 1).split(4)
    serial = watched(alone, *({"ids": part} for part in parts))
    with deadray.watch(shared) as probe:
        threads = [threading.Thread(target=shared, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for a, b in zip(serial.sites, probe.report().sites, strict=True):
        last = a.exact["eigenvalues"]["last"]
        assert (
            abs(a.exact["eigenvalues"]["second"] - b.exact["eigenvalues"]["second"]) < 1e-13 * last
        )


def test_compiled_models_run_as_they_were_written(ids):
    block = Block()
    compiled = torch.compile(block, backend="eager")
    with torch.no_grad():
        compiled(ids)
    assert len(watched(compiled, {"ids": ids}).sites) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(ids, dtype):
    with torch.autocast("cpu", dtype=dtype):
        report = watched(Block(), {"ids": ids})
    assert [site.verdict for site in report.sites] == ["confirmed", "absent"]


def test_a_recomputed_block_counts_once(ids):
    class Checkpointed(Block):
        def forward(self, ids):
            run = super().forward
            return torch.utils.checkpoint.checkpoint(run, ids, use_reentrant=False)

    block = Checkpointed()
    with deadray.watch(block) as probe:
        block(ids).sum().backward()
    assert [site.rows for site in probe.report().sites] == [ids.numel()] * 2


def test_gradients_are_those_of_an_unwatched_pass(ids):
    free, seen = Block(), Block()
    free(ids).square().sum().backward()
    with deadray.watch(seen):
        seen(ids).square().sum().backward()
    for a, b in zip(free.parameters(), seen.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_nothing_stays_on_the_model(ids):
    block = Block()
    before = copy.deepcopy(block.state_dict())
    watched(block, {"ids": ids})
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())
    assert all(torch.equal(before[key], value) for key, value in block.state_dict().items())
    assert block.training


def test_what_hides_its_modules_is_refused(ids):
    traced = torch.jit.trace(Block(), ids)
    refused(lambda: deadray.watch(traced), deadray.UnsupportedError, "traced")
    parallel = nn.DataParallel(Block())
    refused(lambda: deadray.watch(parallel), deadray.UnsupportedError, "model.module")


def test_a_training_step_inside_is_refused(ids):
    block = Block()
    with deadray.watch(block), torch.no_grad():
        block(ids)
        block.first.weight.add_(0.1)
        refused(lambda: block(ids), deadray.UnsupportedError, "'first'", "changed")


def test_values_written_unseen_are_refused(ids):
    block = Block()
    with deadray.watch(block) as probe, torch.no_grad():
        block(ids)
        block.first.weight.data.mul_(2)
    for _ in range(2):  # the first error stays
        refused(probe.report, deadray.UnsupportedError, "'first'", "changed")


def test_transformed_passes_are_refused(ids):
    block = Block()
    with deadray.watch(block):
        refused(lambda: torch.func.vmap(block)(ids), deadray.UnsupportedError, "torch.func")
