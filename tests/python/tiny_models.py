"""Tiny models of types that deadray's executor does not know, with random weights, gamma and beta.

`tiny_model(name)` builds one, in evaluation mode; NAMES has all. Every norm sees more rows than it
is wide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

VOCABULARY = 99
Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TinyModel:
    model: PreTrainedModel
    inputs: Inputs  # arguments of forward()


def tokens(generator: torch.Generator) -> Inputs:
    return {"input_ids": torch.randint(3, VOCABULARY, (4, 16), generator=generator)}


def two_sided(generator: torch.Generator) -> Inputs:
    return tokens(generator) | {"decoder_input_ids": tokens(generator)["input_ids"]}


def pixels(generator: torch.Generator) -> Inputs:
    return {"pixel_values": torch.randn(20, 3, 32, 32, generator=generator)}


def words_and_pixels(generator: torch.Generator) -> Inputs:
    return tokens(generator) | pixels(generator)


def sound(generator: torch.Generator) -> Inputs:
    return {"input_values": torch.randn(4, 4000, generator=generator)}


def spectrogram(generator: torch.Generator) -> Inputs:
    decoder = tokens(generator)["input_ids"]
    features = torch.randn(4, 8, 40, generator=generator)
    return {"input_features": features, "decoder_input_ids": decoder}


BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
BART = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
GPTJ = {
    "vocab_size": VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 40,
    "rotary_dim": 4,
}
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
WAV2VEC2 = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8),
    "conv_stride": (4, 4),
    "conv_kernel": (8, 4),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
}
TOWER = {k: v for k, v in BERT.items() if k != "pad_token_id"} | {"projection_dim": 16}

# model type -> (configuration, inputs)
TYPES: dict[str, tuple[dict, Callable[[torch.Generator], Inputs]]] = {
    "albert": (BERT | {"embedding_size": 12}, tokens),
    "bart": (BART, two_sided),
    "biogpt": (BERT, tokens),
    "codegen": (GPTJ | {"n_head": 4}, tokens),
    "convnext": (
        {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "patch_size": 2},
        pixels,
    ),
    "deberta-v2": (
        BERT
        | {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
        },
        tokens,
    ),
    "deit": (VIT, pixels),
    "distilbert": (
        {"vocab_size": VOCABULARY, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
        tokens,
    ),
    "electra": (BERT | {"embedding_size": 12}, tokens),
    "esm": (BERT | {"position_embedding_type": "rotary", "emb_layer_norm_before": True}, tokens),
    "gptj": (GPTJ, tokens),
    "hubert": (WAV2VEC2 | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}, sound),
    "marian": (BART, two_sided),
    "mobilevit": (
        {
            "image_size": 32,
            "hidden_sizes": [8, 8, 8],
            "neck_hidden_sizes": [8, 8, 8, 8, 8, 8, 8],
            "num_attention_heads": 2,
        },
        pixels,
    ),
    "mbart": (BART, two_sided),
    "modernbert": (BERT | {"global_attn_every_n_layers": 2}, tokens),
    "moonshine": (
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "intermediate_size": 24,
            "encoder_num_hidden_layers": 1,
            "decoder_num_hidden_layers": 1,
            "encoder_num_attention_heads": 2,
            "decoder_num_attention_heads": 2,
        },
        lambda g: sound(g) | {"decoder_input_ids": tokens(g)["input_ids"]},
    ),
    "mpt": ({"vocab_size": VOCABULARY, "d_model": 16, "n_layers": 2, "n_heads": 2}, tokens),
    "nemotron": (BERT | {"num_key_value_heads": 1}, tokens),
    "persimmon": (BERT | {"qk_layernorm": True}, tokens),
    "roberta": (BERT, tokens),
    "siglip": ({"text_config": TOWER, "vision_config": VIT}, words_and_pixels),
    "stablelm": (BERT | {"num_key_value_heads": 2, "qk_layernorm": True}, tokens),
    "starcoder2": (BERT | {"num_key_value_heads": 1}, tokens),
    "swin": (
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [1, 2],
            "num_heads": [2, 2],
            "window_size": 4,
        },
        pixels,
    ),
    "t5": (
        {
            "vocab_size": VOCABULARY,
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 24,
            "num_layers": 2,
            "num_heads": 2,
            "decoder_start_token_id": 0,
        },
        two_sided,
    ),
    "vitdet": (VIT | {"residual_block_indices": [1], "window_block_indices": [0]}, pixels),
    "wav2vec2": (WAV2VEC2, sound),
    "whisper": (
        BART | {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 40},
        spectrogram,
    ),
    "xlm-roberta": (BERT, tokens),
}
NAMES = tuple(TYPES)


def tiny_model(name: str, auto_class: type = AutoModel, seed: int = 0) -> TinyModel:
    """auto_class: AutoModelForCausalLM and the like give the model its head."""
    settings, make_inputs = TYPES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto_class.from_config(AutoConfig.for_model(name, **settings)).eval()
        draw_parameters(model)
    return TinyModel(model, make_inputs(torch.Generator().manual_seed(seed)))


@torch.no_grad()
def draw_parameters(model: torch.nn.Module) -> None:
    """Each gamma keeps away from 0, and nothing is as it was initialised."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0.0, 0.3)
        else:
            parameter += torch.empty_like(parameter).uniform_(-0.4, 0.4)
