"""Directions of parameters that change no output, in models that deadray's executor cannot run."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

import deadray
from deadray.errors import UnsupportedError, UsageError
from deadray.modules.consumers import find_readers
from deadray.modules.dead_parameters import dead_parameters
from moving import Small, X, movement
from tiny_models import NAMES, TinyModel, tiny_model

torch.set_num_threads(1)
# Outputs of the tiny mobilevit hardly depend on its blocks: random directions look dead, too.
RUN = [name for name in NAMES if name != "mobilevit"]
HEADS = [("gptj", AutoModelForCausalLM), ("bart", AutoModelForSeq2SeqLM)]


def in_float64(tiny: TinyModel) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in tiny.inputs.items()}
    return tiny.model.double(), inputs


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


@pytest.mark.parametrize("name", ["gpt2-untied", "falcon-one-norm", "opt-pre", "bloom-three-heads"])
def test_claims_are_those_of_the_predictor(name):
    """Which knows the readers from the family, of a checkpoint."""
    folder = Path(__file__).parents[1] / "fixtures" / "models" / name
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    prefix = f"{model.base_model_prefix}."
    seen = {
        dead.consumer.removeprefix(prefix): (dead.family, dead.count, dead.width)
        for dead in deadray.dead_parameters(model)
    }
    predicted = {
        consumer["name"].removeprefix(prefix): tuple(
            consumer[k] for k in ("family", "count", "width")
        )
        for site in deadray.predict(folder).to_dict()["sites"]
        for consumer in site["consumers"]
    }
    assert seen == predicted and seen


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
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3, bias=False))
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


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_projection_knows_the_names_of_wrappers(prefix):
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3, dtype=torch.float64))
    (dead,) = dead_parameters(model, X)
    gradient = gradient_of(model)
    want = dead.project(gradient)
    got = dead.project({prefix + name: value for name, value in gradient.items()})
    assert got.keys() == {prefix + name for name in gradient}
    for name in gradient:
        assert torch.equal(got[prefix + name], want[name])
    assert not torch.equal(want["a.weight"], gradient["a.weight"])
    (of_compiled,) = dead_parameters(torch.compile(model), X)
    assert torch.equal(of_compiled.project(gradient)["a.weight"], want["a.weight"])


def test_projection_knows_the_parallel_model(tmp_path):
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3, dtype=torch.float64))
    (alone,) = dead_parameters(model, X)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        parallel(X).square().sum().backward()
        gradient = {name: p.grad for name, p in parallel.named_parameters() if p.grad is not None}
        (dead,) = dead_parameters(parallel, X)
    finally:
        dist.destroy_process_group()
    assert "module.a.weight" in gradient
    assert torch.equal(
        alone.project(gradient)["module.a.weight"], dead.project(gradient)["module.a.weight"]
    )
    assert not torch.equal(dead.project(gradient)["module.a.weight"], gradient["module.a.weight"])


def test_tensors_of_another_shape_are_refused():
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3))
    (dead,) = dead_parameters(model, X)
    given = {"module.a.weight": torch.zeros(4, 3), "module.a.bias": torch.zeros(3)}
    with pytest.raises(UsageError, match=r"^module\.a\.weight: shape \[4, 3\], expected \[3, 4\]"):
        dead.project(given)


def test_the_package_offers_it():
    model = Small(lambda m, h: m.a(h), a=nn.Linear(4, 3))
    assert [dead.count for dead in deadray.dead_parameters(model, X)] == [3]
