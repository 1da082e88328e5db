"""Which modules are norms, of which kind, with which gamma, beta and eps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from deadray.modules.norms import find_norms, probe_norm
from tiny_models import NAMES, tiny_model

torch.set_num_threads(1)
RMS_CLASSES = {"T5LayerNorm"}  # RMSNorms, whatever they are called


def expected_kinds(model: nn.Module) -> dict[str, str]:
    """By the names of the classes of transformers' modules: what the package may not look at."""
    kinds = {}
    for name, module in model.named_modules():
        class_name = type(module).__name__
        if "RMSNorm" in class_name or class_name in RMS_CLASSES:
            kinds[name] = "rmsnorm"
        elif "LayerNorm" in class_name and not list(module.children()):
            kinds[name] = "layernorm"
    return kinds


@pytest.mark.parametrize("name", NAMES)
def test_every_norm_of_a_model_is_found(name):
    model = tiny_model(name).model
    state = model.state_dict()
    norms = find_norms(model)
    assert {norm.name: norm.kind for norm in norms} == expected_kinds(model)
    for norm in norms:
        weight = state[f"{norm.name}.weight"].double().numpy()
        np.testing.assert_array_equal(norm.gamma, weight + 1 if name == "nemotron" else weight)
        bias = state.get(f"{norm.name}.bias")
        assert (norm.beta is None) == (bias is None)
        if bias is not None:
            np.testing.assert_array_equal(norm.beta, bias.double().numpy())
        own_eps = getattr(norm.module, "eps", getattr(norm.module, "variance_epsilon", None))
        assert norm.eps == own_eps
        assert norm.module is model.get_submodule(norm.name)
        assert norm.note == ""


def test_some_models_have_norms_of_other_kinds():
    """So that the test above is one of what is left out, too."""
    others = {
        type(module).__name__
        for name in ("wav2vec2", "mobilevit", "moonshine")
        for module in tiny_model(name).model.modules()
    }
    assert {"GroupNorm", "BatchNorm2d"} <= others


@pytest.mark.parametrize("name", ["convnext", "vitdet"])
def test_channels_first_is_axis_1(name):
    axes = {norm.axis for norm in find_norms(tiny_model(name).model)}
    assert axes == {1, -1}


LEFT_OUT = {
    "group": nn.GroupNorm(2, 8),
    "one group": nn.GroupNorm(1, 8),
    "a group for each channel": nn.GroupNorm(8, 8),
    "group without scale": nn.GroupNorm(3, 3, affine=False),
    "batch": nn.BatchNorm1d(8),
    "batch of pictures": nn.BatchNorm2d(8),
    "batch without statistics": nn.BatchNorm1d(8, track_running_stats=False),
    "instance": nn.InstanceNorm1d(8),
    "instance of pictures": nn.InstanceNorm2d(8, affine=True),
    "local response": nn.LocalResponseNorm(2),
    "several axes": nn.LayerNorm((4, 8)),
    "width 1": nn.LayerNorm(1),
    "linear": nn.Linear(8, 8),
    "softmax": nn.Softmax(-1),
    "activation": nn.GELU(),
    "activation with slopes": nn.PReLU(8),
    "dropout": nn.Dropout(),
    "identity": nn.Identity(),
}


class Clip(nn.Module):
    """Rows longer than 1 become as long as 1; shorter ones stay."""

    def forward(self, x):
        return x / x.norm(dim=-1, keepdim=True).clamp(min=1.0)


LEFT_OUT["a clip"] = Clip()


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_is_no_norm_of_rows_is_left_out(what):
    assert find_norms(nn.Sequential(LEFT_OUT[what])) == []


class Scaled(nn.Module):
    """A LayerNorm with gamma = scale(stored)."""

    def __init__(self, scale, width=8):
        super().__init__()
        self.scale = scale
        self.g = nn.Parameter(torch.randn(width, generator=torch.Generator().manual_seed(5)))

    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:], self.scale(self.g), None, 1e-4)


@pytest.mark.parametrize("scale", [lambda g: g, lambda g: 1 + g, lambda g: -g])
def test_what_the_module_does_to_its_scale_is_done_to_the_bits(scale):
    module = Scaled(scale)
    (norm,) = find_norms(module)
    np.testing.assert_array_equal(norm.gamma, scale(module.g.detach().double()).numpy())
    assert (norm.eps, norm.note) == (1e-4, "")


def test_another_scale_is_measured_and_noted():
    module = Scaled(torch.exp)
    (norm,) = find_norms(module)
    np.testing.assert_allclose(norm.gamma, module.g.detach().double().exp().numpy(), rtol=1e-7)
    assert "gamma as measured" in norm.note


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_stored_dtype_does_not_matter(dtype):
    module = nn.LayerNorm(16).to(dtype)
    nn.init.normal_(module.weight)
    (norm,) = find_norms(module)
    np.testing.assert_array_equal(norm.gamma, module.weight.detach().double().numpy())


@pytest.mark.parametrize("gamma", [0.0, 1e-33, float("nan")])
def test_the_values_stored_do_not_decide_the_kind(gamma):
    for module, kind in ((nn.LayerNorm(8), "layernorm"), (nn.RMSNorm(8), "rmsnorm")):
        nn.init.constant_(module.weight, gamma)
        (norm,) = find_norms(module)
        assert norm.kind == kind
        np.testing.assert_array_equal(norm.gamma, module.weight.detach().double().numpy())


def test_narrow_norms():
    assert [norm.hidden_size for norm in find_norms(nn.LayerNorm(2))] == [2]
    assert [norm.kind for norm in find_norms(nn.RMSNorm(2))] == ["rmsnorm"]


class OfAnyWidth(nn.Module):
    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def test_a_norm_that_stores_nothing_has_the_width_of_its_input():
    (norm,) = find_norms(nn.Sequential(OfAnyWidth()))
    assert (norm.kind, norm.hidden_size, norm.gamma) == ("rmsnorm", None, None)
    there = norm.of_width(24)
    np.testing.assert_array_equal(there.gamma, np.ones(24))
    (fixed,) = find_norms(nn.LayerNorm(24, elementwise_affine=False))
    assert (fixed.kind, fixed.hidden_size) == ("layernorm", 24)
    assert probe_norm(nn.ReLU(), 24) is None


def test_a_shared_norm_is_listed_once_and_a_wrapper_of_one_not_at_all():
    shared = nn.LayerNorm(8)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.Dropout()), "c": shared})
    assert [norm.name for norm in find_norms(model)] == ["a"]
    assert [norm.name for norm in find_norms(nn.Sequential(nn.LayerNorm(8), nn.Dropout()))] == ["0"]


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.LayerNorm(8, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.randn(8))

    def forward(self, x):
        return self.inner(x) * (1 + self.gamma)


def test_of_a_norm_within_another_the_outer_one_is_listed():
    model = nn.Sequential(Outer())
    (norm,) = find_norms(model)
    assert norm.name == "0"
    np.testing.assert_array_equal(norm.gamma, 1 + model[0].gamma.detach().double().numpy())


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def forward(self, x, gate):
        return self.norm(x) * gate


def test_what_needs_more_than_its_input_is_left_out_and_what_is_in_it_found():
    assert [norm.name for norm in find_norms(Gated())] == ["norm"]


class Counting(nn.LayerNorm):
    calls = 0
    gate = 1.0

    def forward(self, x):
        Counting.calls += 1
        self.count += 1
        self.last = x
        torch.rand(1)
        return super().forward(x)


def test_nothing_of_the_model_changes():
    model = nn.Sequential(Counting(8), nn.BatchNorm1d(8), nn.Dropout()).train()
    model[0].register_buffer("count", torch.zeros((), dtype=torch.long))
    hooked = []
    model[0].register_forward_hook(lambda *_: hooked.append(1))
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    attributes = {name: set(vars(m)) for name, m in model.named_modules()}
    assert [norm.name for norm in find_norms(model)] == ["0"]
    assert Counting.calls > 0 and not hooked
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in model.modules())
    assert attributes == {name: set(vars(m)) for name, m in model.named_modules()}
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_autocast_and_gradient_mode_do_not_matter():
    model = nn.Sequential(nn.LayerNorm(8))
    with torch.autocast("cpu", torch.bfloat16):
        assert len(find_norms(model)) == 1
    with torch.inference_mode():
        assert len(find_norms(model)) == 1


def test_a_forward_put_on_the_instance_runs_on_the_copy():
    module = nn.LayerNorm(8)
    module.forward = (lambda self, x: nn.functional.rms_norm(x, (8,), 2 + self.weight)).__get__(
        module
    )
    (norm,) = find_norms(module)
    assert norm.kind == "rmsnorm"
    np.testing.assert_allclose(norm.gamma, np.full(8, 3.0), rtol=1e-7)
