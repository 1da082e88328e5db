"""deadray.census() of models in memory: what their own saved checkpoints give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

import deadray
from tiny_models import tiny_model

BIASES = {"attention_bias": True, "mlp_bias": True}
SIZES = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 10,
}
EXPERTS = {"num_key_value_heads": 1, "num_experts_per_tok": 2}
MIXTRAL = EXPERTS | {"num_local_experts": 3}
QWEN3_MOE = EXPERTS | {"num_experts": 3, "moe_intermediate_size": 4}
TINY = {
    "bert head": ("BertForMaskedLM", "bert", {}),
    "bert pooler": ("BertModel", "bert", {}),
    "cohere": ("CohereForCausalLM", "cohere", {"use_qk_norm": True}),
    "gpt2": ("GPT2LMHeadModel", "gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2}),
    "gpt2 headless": ("GPT2Model", "gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2}),
    "llama": ("LlamaForCausalLM", "llama", BIASES),
    "mixtral": ("MixtralForCausalLM", "mixtral", MIXTRAL),
    "qwen3-moe": ("Qwen3MoeForCausalLM", "qwen3_moe", QWEN3_MOE),
    "opt": ("OPTForCausalLM", "opt", {"ffn_dim": 10, "word_embed_proj_dim": 8}),
    "vit": ("ViTForImageClassification", "vit", {"image_size": 4, "patch_size": 2}),
}


def tiny(name: str) -> transformers.PreTrainedModel:
    """Generic parameters; norms whose shifts are not 0."""
    kind, model_type, options = TINY[name]
    config = transformers.AutoConfig.for_model(model_type, **SIZES | options)
    torch.manual_seed(1)
    model = getattr(transformers, kind)(config)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


def without_name(census: deadray.Census) -> dict:
    record = census.to_dict()
    assert record["model"].pop("name")
    return record


@pytest.mark.parametrize("name", TINY)
def test_a_model_gives_what_its_checkpoint_gives(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    model.save_pretrained(tmp_path)
    census, saved = deadray.census(model), deadray.census(tmp_path)
    assert without_name(census) == without_name(saved)
    assert census.to_dict()["model"]["weights"]
    assert census.flat == deadray.census(json.loads((tmp_path / "config.json").read_text())).flat


def test_types_and_wrappers_change_nothing() -> None:
    model = tiny("llama")
    want = without_name(deadray.census(model))
    assert without_name(deadray.census(torch.compile(model))) == want
    assert without_name(deadray.census(model.bfloat16())) == want


def test_scales_and_shifts_that_are_zero_decide() -> None:
    model = tiny("gpt2")
    before = deadray.census(model)
    with torch.no_grad():
        model.transformer.h[0].ln_2.weight[[1, 4]] = 0.0
    zeros = deadray.census(model)
    assert given(zeros, "norm_scale", 0) == given(before, "norm_scale", 0) - 2
    assert given(zeros, "norm_kernel", 0) > given(before, "norm_kernel", 0)
    # A configuration alone says nothing of this.
    assert deadray.census(model.config).flat == before.flat


def test_a_model_that_is_new_has_shifts_that_are_zero() -> None:
    config = transformers.AutoConfig.for_model("gpt2", n_embd=8, n_layer=1, n_head=2)
    config.tie_word_embeddings = False
    new = deadray.census(transformers.GPT2LMHeadModel(config))
    generic = deadray.census(config)
    assert given(new, "norm_kernel") == config.vocab_size
    assert given(generic, "norm_kernel") == 0


def given(census: deadray.Census, name: str, block: int | None = None) -> int:
    """Of one block, or of no block."""
    own = [cause for cause in census.causes if cause.name == name]
    return sum(c.each for c in own if (block in c.blocks if c.blocks else block is None))


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        (nn.Linear(2, 2), deadray.UnsupportedError, "^Linear: no model of transformers"),
        (tiny_model("gptj").model, deadray.UnsupportedError, "gptj"),
        (
            tiny("llama").to("meta"),
            deadray.UnsupportedError,
            "input_layernorm.weight is on the meta",
        ),
    ],
    ids=["no transformers model", "no family", "no values"],
)
def test_what_is_refused_is_named(model: nn.Module, kind: type, says: str) -> None:
    with pytest.raises(kind, match=says):
        deadray.census(model)
