"""Directions of parameters that change no output, in models that deadray's executor cannot run."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

import deadray
from deadray.errors import UnsupportedError, UsageError
from deadray.modules.consumers import find_readers
from deadray.modules.dead_parameters import dead_parameters
from tiny_models import NAMES, TinyModel, tiny_model

torch.set_num_threads(1)
STEP = 10.0  # times a unit tangent; the weights are 0.3 each
# Outputs of the tiny mobilevit hardly depend on its blocks: random directions look dead, too.
RUN = [name for name in NAMES if name != "mobilevit"]
HEADS = [("gptj", AutoModelForCausalLM), ("bart", AutoModelForSeq2SeqLM)]


def in_float64(tiny: TinyModel) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in tiny.inputs.items()}
    return tiny.model.double(), inputs


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


def random_like(tangent, seed=3):
    generator = torch.Generator().manual_seed(seed)
    drawn = {k: torch.randn(v.shape, generator=generator).double() for k, v in tangent.items()}
    size = math.sqrt(sum(float(v.square().sum()) for v in drawn.values()))
    return {name: value / size for name, value in drawn.items()}


def flat(tangent, names) -> torch.Tensor:
    return torch.cat([tangent[name].flatten() for name in names])


def gradient_of(model: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    named = model.named_parameters()
    return {name: torch.randn(p.shape, generator=generator).double() for name, p in named}


@pytest.mark.parametrize("name", RUN)
def test_dead_directions_move_no_output_and_random_ones_do(name):
    model, inputs = in_float64(tiny_model(name))
    claimed = [dead for dead in dead_parameters(model, inputs) if dead.count]
    assert claimed or name == "t5"  # RMSNorms alone
    for dead in claimed:
        for tangent in itertools.islice(dead.directions(seed=1), 2):
            assert movement(model, inputs, tangent) < 1e-12, dead
        assert movement(model, inputs, random_like(tangent)) > 1e-5, dead


@pytest.mark.parametrize("name", RUN)
def test_projection_is_orthogonal_to_every_direction(name):
    model, inputs = in_float64(tiny_model(name))
    gradient = gradient_of(model)
    for dead in dead_parameters(model, inputs):
        projected = dead.project(gradient)
        basis = list(dead.directions())
        assert len(basis) == dead.count
        if not basis:
            assert projected == gradient
            continue
        names = dead.parameters
        rows = torch.stack([flat(tangent, names) for tangent in basis])
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)).double())
        g, p = flat(gradient, names), flat(projected, names)
        assert (rows @ p).abs().max() < 1e-12
        torch.testing.assert_close(p, g - rows.T @ (rows @ g), rtol=0, atol=1e-11)
        again = flat(dead.project(projected), names)
        torch.testing.assert_close(again, p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gptj", "bart", "stablelm", "swin", "whisper"])
def test_projecting_off_one_after_another_projects_off_all(name):
    model, inputs = in_float64(tiny_model(name))
    claimed = [dead for dead in dead_parameters(model, inputs) if dead.count]
    projected = gradient_of(model)
    for dead in claimed:
        projected = dead.project(projected)
    for dead in claimed:
        for tangent in itertools.islice(dead.directions(), 5):
            assert abs(flat(tangent, tangent) @ flat(projected, tangent)) < 1e-12


@pytest.mark.parametrize(("name", "auto_class"), HEADS)
def test_heads_are_claimed_unless_tied(name, auto_class):
    model, inputs = in_float64(tiny_model(name, auto_class))
    head = {dead.consumer: dead for dead in dead_parameters(model, inputs)}.get("lm_head")
    if model.config.tie_word_embeddings:
        # The last norm of a post-norm decoder feeds the head alone.
        assert (head.family, head.count) == ("none", 0)
        assert "tied" in head.why
    else:
        assert (head.family, head.count) == ("weight_and_bias", model.config.vocab_size)
        assert movement(model, inputs, next(head.directions(seed=1))) < 1e-12


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


def families(model: Small) -> dict[str, tuple[str, int]]:
    claimed = dead_parameters(model, X)
    for dead in claimed:
        for tangent in itertools.islice(dead.directions(seed=4), 1):
            assert movement(model, X, tangent) < 1e-12
    return {dead.consumer: (dead.family, dead.count) for dead in claimed}


def free() -> nn.Linear:
    return nn.Linear(4, 3, bias=False)


def test_families():
    def one(m, h):
        return m.a(h)

    def both(m, h):
        return m.a(h), m.b(h)

    bias = nn.Linear(4, 3)
    assert families(Small(one, a=bias)) == {"a": ("weight_and_bias", 3)}
    assert families(Small(one, a=free(), beta=[0.0] * 4)) == {"a": ("weight", 3)}
    assert families(Small(one, a=free())) == {"a": ("weight_and_beta", 4)}
    shared = {"a": ("weight_and_beta", 4), "b": ("weight_and_beta", 0)}
    assert families(Small(both, a=free(), b=free())) == shared
    mixed = {"a": ("weight_and_bias", 3), "b": ("weight_and_beta", 4)}
    assert families(Small(both, a=nn.Linear(4, 3), b=free())) == mixed


def test_zero_scales_give_a_direction_each():
    def one(m, h):
        return m.a(h)

    gamma = [0.0, 1.0, 0.0, 2.0]
    assert families(Small(one, gamma, a=nn.Linear(4, 3))) == {"a": ("weight_and_bias", 6)}
    assert families(Small(one, gamma, [0.0] * 4, a=free())) == {"a": ("weight", 6)}
    # The shifts of the two give one combination whose constant is 0.
    assert families(Small(one, gamma, a=free())) == {"a": ("weight_and_beta", 3 + 4)}


OBSTACLES = {
    "the stream": lambda m, h: m.a(h) + h[..., :3],
    "the user": lambda m, h: (m.a(h), h),
    "a change in place": lambda m, h: (m.a(h), h.mul_(2)),
    "another function": lambda m, h: (m.a(h), h.sin()),
    "a tied weight": lambda m, h: (m.a(h), functional.embedding(torch.tensor([1]), m.a.weight)),
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_a_shift_of_beta_that_reaches_more_is_not_claimed(what):
    assert families(Small(OBSTACLES[what], a=free())) == {"a": ("none", 0)}


NO_ROWS = {
    "changed in place before": lambda m, h: m.a(h.mul_(2).add_(1)),
    "dropped out": lambda m, h: m.a(functional.dropout(h, 0.5, training=True)),
    "padded": lambda m, h: m.a(functional.pad(h, (0, 0, 0, 1))),
    "cut across rows": lambda m, h: m.a(h.flatten()[2:-2].reshape(-1, 4)),
    "added": lambda m, h: m.a(h + 1),
}


@pytest.mark.parametrize("what", NO_ROWS)
def test_what_does_not_read_the_rows_of_a_norm_is_no_consumer(what):
    assert families(Small(NO_ROWS[what], a=nn.Linear(4, 3))) == {}


ROWS = {
    "a view": lambda m, h: m.a(h[:, 0]),
    "chosen rows": lambda m, h: m.a(h[torch.arange(5) % 2 == 0]),
    "rolled": lambda m, h: m.a(torch.roll(h, 1, 1).transpose(0, 1).contiguous().flatten(0, 1)),
    "twice": lambda m, h: m.a(h) + m.a(m.norm(h)),
    "a product": lambda m, h: torch.addmm(m.a.bias, h.reshape(-1, 4), m.t.weight),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_are_followed_through_what_moves_them(what):
    model = Small(ROWS[what], a=nn.Linear(4, 3), t=nn.Linear(3, 4, bias=False))
    name = "t" if what == "a product" else "a"
    assert families(model) == {name: ("weight_and_bias", 3)}


def test_a_map_that_reads_more_than_the_norm_is_not_claimed():
    model = Small(lambda m, h: m.a(h) + m.a(h.cos()), a=nn.Linear(4, 3))
    assert families(model) == {"a": ("none", 0)}


def test_nothing_of_the_model_changes():
    model = Small(lambda m, h: m.d(m.a(h)), a=nn.Linear(4, 3), d=nn.Dropout()).train()
    before, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    dead_parameters(model, X)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(m.training and not m._forward_hooks for m in model.modules())


def test_after_a_step_the_same_readers_give_the_new_directions():
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3))
    readers = find_readers(model, X)
    (old,) = dead_parameters(model, readers=readers)
    with torch.no_grad():
        model.norm.weight += 0.5
    (new,) = dead_parameters(model, readers=readers)
    assert movement(model, X, next(new.directions(seed=1))) < 1e-12
    assert movement(model, X, next(old.directions(seed=1))) > 1e-3


def test_factors_and_products():
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3))
    (dead,) = dead_parameters(model, X)
    with torch.no_grad():
        h = functional.pad(model.norm(X).flatten(0, 1), (0, 1), value=1.0)
    factor = h.T @ h / len(h)  # K-FAC's, of [h, 1]
    null = dead.null_space
    assert (factor @ null.T).abs().max() < 1e-14
    torch.testing.assert_close(dead.project_factor(factor), factor, rtol=0, atol=1e-14)
    noise = torch.eye(5).double()
    assert (dead.project_factor(noise) @ null.T).abs().max() < 1e-14
    product = torch.ones(3, 2).double() @ torch.ones(2, 4).double()
    with pytest.raises(UsageError, match=r"^a: .* a.bias is missing"):
        dead.project({"a.weight": product})
    given = {"a.weight": product, "a.bias": torch.zeros(3).double(), "other": product}
    kept = dead.project(given)
    assert kept["other"] is product and not torch.equal(kept["a.weight"], product)
    in_place = dead.project(given, in_place=True)
    assert torch.equal(given["a.weight"], kept["a.weight"]) and in_place.keys() == given.keys()
    assert dead.project({"other": product}) == {"other": product}


def test_the_basis_of_a_shift_is_tangent_to_dead_curves():
    model = Small(lambda m, h: m.a(h), a=free())
    (dead,) = dead_parameters(model, X)
    for tangent in dead.directions():
        near, far = (movement(model, X, tangent, step) for step in (1e-4, 1e-3))
        assert far < 1e-5 and (near < 1e-12 or abs(far / near - 100) < 1)


def test_dummy_inputs_and_their_absence():
    model = tiny_model("roberta").model
    assert sum(dead.count for dead in dead_parameters(model)) > 0
    with pytest.raises(UsageError, match=r"^Sequential: has no dummy_inputs: give example="):
        dead_parameters(nn.Sequential(nn.LayerNorm(4)))
    with pytest.raises(UsageError, match=r"^Wav2Vec2Model: does not run on its dummy_inputs"):
        dead_parameters(tiny_model("wav2vec2").model)


def test_weights_that_are_elsewhere_are_an_error():
    with pytest.raises(UnsupportedError, match=r"^0.weight: it is not whole"):
        dead_parameters(nn.Sequential(nn.LayerNorm(4)).to("meta"), X)


def test_wrappers_keep_their_parameters_names():
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3))
    (dead,) = dead_parameters(torch.compile(model), X)
    names = ("_orig_mod.a.weight", "_orig_mod.a.bias")
    assert (dead.consumer, dead.parameters) == ("a", names)


def test_the_package_offers_it():
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3))
    assert [dead.count for dead in deadray.dead_parameters(model, X)] == [3]
