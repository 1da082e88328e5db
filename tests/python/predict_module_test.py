"""deadray.predict() of models in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

import deadray
from tiny_models import NAMES, tiny_model

KEYS = "schema model sites totals notes bytes_read seconds environment".split()


@pytest.mark.parametrize("name", NAMES)
def test_every_norm_is_predicted_from_its_own_values(name):
    model = tiny_model(name).model
    prediction = deadray.predict(model)
    found = deadray.find_norms(model)
    assert [norm.name for norm in prediction.norms] == [norm.name for norm in found]
    for norm, its in zip(found, prediction.norms, strict=True):
        np.testing.assert_array_equal(its.gamma, norm.gamma)
        assert its.dimension == (norm.kind == "layernorm")
        if norm.kind == "rmsnorm":
            assert its.direction is None and its.constant is None
            continue
        np.testing.assert_allclose(its.direction @ (1 / norm.gamma), np.linalg.norm(1 / norm.gamma))
        beta = np.zeros(1) if norm.beta is None else norm.beta
        assert its.constant == pytest.approx(float((beta / norm.gamma).sum()), abs=1e-12)


def test_the_directions_are_constant_in_the_model():
    tiny = tiny_model("roberta")
    by_name = {norm.name: norm for norm in deadray.predict(tiny.model).norms}
    outputs = {}
    for norm in deadray.find_norms(tiny.model):
        norm.module.register_forward_hook(lambda _m, _i, y, n=norm.name: outputs.update({n: y}))
    with torch.no_grad():
        tiny.model(**tiny.inputs)
    assert outputs.keys() == by_name.keys()
    for name, y in outputs.items():
        along = y.double().numpy() @ by_name[name].direction
        assert along.std() < 1e-6 * np.abs(y.numpy()).max()


def test_the_record_has_the_keys_of_a_checkpoints():
    model = tiny_model("nemotron").model.bfloat16()
    record = deadray.predict(model, tau=1e-3).to_dict()
    assert list(record) == KEYS
    assert record["model"]["family"] == "nemotron"
    assert record["model"]["parameters"] == sum(p.numel() for p in model.parameters())
    site = record["sites"][0]
    assert list(site) == ["name", "norm", "hidden_size", "predicted", "gamma", "consumers"]
    assert (site["gamma"]["offset"], site["gamma"]["stored"]) == (1, "BF16")
    assert site["predicted"]["tau"] == pytest.approx(1e-3 * site["gamma"]["max"])
    assert record["totals"]["dead_directions"] == len(record["sites"])


def test_sites_are_chosen_as_of_a_checkpoint():
    model = tiny_model("gptj").model
    for site, names in {
        "final": ["ln_f"],
        "ln_f": ["ln_f"],
        "1.ln_1": ["h.1.ln_1"],
        "all": ["h.0.ln_1", "h.1.ln_1", "ln_f"],
    }.items():
        assert [norm.name for norm in deadray.predict(model, site).norms] == names
    for site, problem in {"ln_1": "2 norms end so", "ln_2": "no such norm"}.items():
        with pytest.raises(deadray.UsageError, match=problem):
            deadray.predict(model, site)
    for site in ("ln1", "transformer.h.0.ln_1", "h.0.ln1"):
        with pytest.raises(deadray.UsageError, match=r"no such norm; .* such as h\.0\.ln_1"):
            deadray.predict(model, site)


HEADS = [("roberta", AutoModelForMaskedLM), ("gptj", AutoModelForCausalLM)]


@pytest.mark.parametrize(("name", "auto_class"), [*((name, AutoModel) for name in NAMES), *HEADS])
def test_the_final_norm_is_that_of_the_checkpoint(name, auto_class, tmp_path):
    model = tiny_model(name, auto_class).model
    model.save_pretrained(tmp_path)
    try:
        (norm,) = deadray.predict(tmp_path, "final").norms
    except deadray.UsageError as error:
        assert "the names do not tell" in str(error)
        with pytest.raises(deadray.UsageError, match="the names do not tell"):
            deadray.predict(model, "final")
    else:
        (its,) = deadray.predict(model, "final").norms
        assert its.name == norm.name


def test_the_final_norm_of_no_known_type_is_told_by_its_place():
    parts = {"embed_norm": nn.LayerNorm(4), "layers": nn.Sequential(nn.LayerNorm(4))}
    model = nn.ModuleDict(parts | {"norm": nn.LayerNorm(4)})
    assert [norm.name for norm in deadray.predict(model, "final").norms] == ["norm"]
    model["other"] = nn.LayerNorm(4)
    with pytest.raises(deadray.UsageError, match="do not tell"):
        deadray.predict(model, "final")


def test_a_tau_that_is_no_number_is_an_error_of_usage():
    model = nn.Sequential(nn.LayerNorm(4))
    for tau in ("0.1", [0.1], np.array([0.1, 0.2]), torch.ones(2), 1j):
        with pytest.raises(
            deadray.UsageError, match="^tau: a number .* was expected, not "
        ) as error:
            deadray.predict(model, tau=tau)
        assert "\n" not in str(error.value)
    for tau in (0, np.float32(0.1), torch.tensor(0.1)):
        assert deadray.predict(model, tau=tau).norms[0].dimension == 1


def test_of_dead_coordinates_and_damaged_values():
    model = nn.Sequential(nn.LayerNorm(4))
    nn.init.zeros_(model[0].weight[1:2].detach())
    (norm,) = deadray.predict(model).norms
    assert (norm.dimension, norm.coordinates, norm.direction) == (1, [1], None)
    model[0].weight.data[2] = float("nan")
    with pytest.raises(deadray.MalformedError, match="0"):
        deadray.predict(model)


def test_what_stores_nothing_is_noted():
    class OfAnyWidth(nn.Module):
        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)

    record = deadray.predict(nn.Sequential(OfAnyWidth(), nn.LayerNorm(4))).to_dict()
    assert [site["name"] for site in record["sites"]] == ["1"]
    assert record["notes"] == ["0: left out: it stores nothing, and its width is that of its input"]
