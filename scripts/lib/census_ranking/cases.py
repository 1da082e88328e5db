"""The tiny models of scripts/census_rank: configurations over every option of every family.

Behind an embedding a block sees `vocab_size` different inputs at most, so VOCABULARY · HIDDEN must
exceed what that block can do with them. Where the outputs depend on a class token or a mask token
alone there are two blocks: what these ask in the first is the same for every picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HIDDEN, HEADS, MLP, VOCABULARY, SEQUENCE = 8, 2, 10, 40, 6
TOKENS = {"input_ids": (VOCABULARY, SEQUENCE)}
HIDDEN_STATES = ("last_hidden_state", "pooler_output")
Config = dict[str, Any]


@dataclass
class Case:
    config: Config  # the keys of config.json
    # A tensor's name to what it is drawn from, then its shape without the batch. A number stands
    # for the integers below it, None for normal numbers.
    inputs: dict[str, tuple]
    # fields of what the model returns; the default is `logits`, or what a model without head has
    outputs: tuple[str, ...] = ()
    count: int = 70  # of inputs
    # what the model stores, no forward pass reads and config.json does not tell
    unread: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        [kind] = self.config["architectures"]
        headless = "For" not in kind and "LMHead" not in kind
        self.outputs = self.outputs or (HIDDEN_STATES if headless else ("logits",))


def family(model_type: str, kind: str, **sizes: Any) -> Config:
    return {
        "model_type": model_type,
        "architectures": [kind],
        "vocab_size": VOCABULARY,
        "attn_implementation": "eager",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": None,
        **sizes,
    }


USUAL = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": HEADS,
    "intermediate_size": MLP,
}
UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}
ONE_KEY_HEAD = {"num_key_value_heads": 1}


def rotary(share: float) -> Config:
    return {
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 100.0,
            "partial_rotary_factor": share,
        }
    }


def options_of(base: Config, variants: dict[str, Config]) -> dict[str, Case]:
    """`base` with each variant's keys; a variant may name another class in "architectures"."""
    return {name: Case(base | keys, TOKENS) for name, keys in variants.items()}


def kind(name: str) -> Config:
    return {"architectures": [name]}


GPT2 = family(
    "gpt2", "GPT2LMHeadModel", n_embd=HIDDEN, n_layer=1, n_head=HEADS, n_inner=12,
    n_positions=SEQUENCE, **UNTIED,
)  # fmt: skip
LLAMA = family("llama", "LlamaForCausalLM", **USUAL, **ONE_KEY_HEAD, **UNTIED)
MISTRAL = LLAMA | {"model_type": "mistral", "sliding_window": None} | kind("MistralForCausalLM")
QWEN2 = LLAMA | {"model_type": "qwen2"} | kind("Qwen2ForCausalLM")
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 4} | kind("Qwen3ForCausalLM")
MIXTURE = {"num_experts_per_tok": 2, "experts_implementation": "eager"}
MIXTRAL = (
    LLAMA
    | MIXTURE
    | {"model_type": "mixtral", "intermediate_size": 4, "num_local_experts": 3}
    | kind("MixtralForCausalLM")
)
QWEN3_MOE = (
    QWEN3
    | MIXTURE
    | {"model_type": "qwen3_moe", "moe_intermediate_size": 4, "num_experts": 3}
    | {"norm_topk_prob": True}
    | kind("Qwen3MoeForCausalLM")
)
GPT_NEOX = family("gpt_neox", "GPTNeoXForCausalLM", **USUAL, **UNTIED, **rotary(1.0))
PHI = family("phi", "PhiForCausalLM", **USUAL, **UNTIED, **rotary(0.5))
COHERE = family("cohere", "CohereForCausalLM", **USUAL, **ONE_KEY_HEAD, **TIED, logit_scale=0.25)
OLMO = family("olmo", "OlmoForCausalLM", **USUAL, **UNTIED)
OPT = family(
    "opt", "OPTForCausalLM", **TIED, hidden_size=HIDDEN, num_hidden_layers=1,
    num_attention_heads=HEADS, ffn_dim=MLP, max_position_embeddings=SEQUENCE,
    word_embed_proj_dim=HIDDEN,
)  # fmt: skip
FALCON = family(
    "falcon", "FalconForCausalLM", **TIED, hidden_size=HIDDEN, num_hidden_layers=1,
    num_attention_heads=HEADS, ffn_hidden_size=MLP,
)  # fmt: skip
BLOOM = family("bloom", "BloomForCausalLM", hidden_size=HIDDEN, n_layer=1, n_head=HEADS, **TIED)
GEMMA = family("gemma", "GemmaForCausalLM", **USUAL, **ONE_KEY_HEAD, **TIED, head_dim=4)
GEMMA2 = (
    GEMMA
    | {"model_type": "gemma2", "query_pre_attn_scalar": 4, "sliding_window": 3}
    | {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    | kind("Gemma2ForCausalLM")
)
GEMMA3 = (
    GEMMA
    | {"model_type": "gemma3_text", "query_pre_attn_scalar": 4, "sliding_window": 3}
    | kind("Gemma3ForCausalLM")
)
GEMMA4 = (
    GEMMA
    | {"model_type": "gemma4_text", "num_hidden_layers": 2, "global_head_dim": 6}
    | {"hidden_size_per_layer_input": 0, "sliding_window": 3}
    | {"layer_types": ["sliding_attention", "full_attention"]}
    | kind("Gemma4ForCausalLM")
)
BERT = family(
    "bert", "BertForMaskedLM", **USUAL, **UNTIED, max_position_embeddings=SEQUENCE,
    type_vocab_size=1,
)  # fmt: skip

TEXT = (
    options_of(
        GPT2,
        {
            "gpt2": {},
            "gpt2-two-blocks": {"n_layer": 2},
            "gpt2-narrow": {"n_embd": 6},
            "gpt2-tied": TIED,
            "gpt2-relu": {"activation_function": "relu"},
            "gpt2-headless": kind("GPT2Model"),
        },
    )
    | options_of(
        LLAMA,
        {
            "llama": {},
            "llama-two-blocks": {"num_hidden_layers": 2},
            "llama-tied": TIED,
            "llama-own-key-heads": {"num_key_value_heads": 2},
            "llama-wide-heads": {"head_dim": 6},
            "llama-biases": {"attention_bias": True, "mlp_bias": True},
            "llama-relu": {"hidden_act": "relu"},
            "llama-headless": kind("LlamaModel"),
        },
    )
    | options_of(MISTRAL, {"mistral": {}, "mistral-window": {"sliding_window": 3}})
    | options_of(QWEN2, {"qwen2": {}, "qwen2-tied": TIED, "qwen2-headless": kind("Qwen2Model")})
    | options_of(
        QWEN3,
        {"qwen3": {}, "qwen3-biases": {"attention_bias": True}, "qwen3-tied": TIED},
    )
    | options_of(
        MIXTRAL,
        {"mixtral": {}, "mixtral-tied": TIED, "mixtral-one-expert": {"num_experts_per_tok": 1}},
    )
    | options_of(
        QWEN3_MOE,
        {
            "qwen3-moe": {},
            "qwen3-moe-not-normalised": {"norm_topk_prob": False},
            "qwen3-moe-one-expert": {"num_experts_per_tok": 1},
            "qwen3-moe-one-not-normalised": {"num_experts_per_tok": 1, "norm_topk_prob": False},
            "qwen3-moe-dense-first": {"num_hidden_layers": 2, "mlp_only_layers": [0]},
        },
    )
    | options_of(
        GPT_NEOX,
        {
            "gpt-neox": {},
            "gpt-neox-sequential": {"use_parallel_residual": False},
            "gpt-neox-half-rotary": rotary(0.5),
            "gpt-neox-no-attention-bias": {"attention_bias": False},
            "gpt-neox-tied": TIED,
            "gpt-neox-headless": kind("GPTNeoXModel"),
        },
    )
    | options_of(
        PHI,
        {
            "phi": {},
            "phi-qk-norms": {"qk_layernorm": True},
            "phi-qk-norms-relu-tied": {"qk_layernorm": True, "hidden_act": "relu"} | TIED,
            "phi-one-key-head": ONE_KEY_HEAD,
            "phi-headless": kind("PhiModel"),
        },
    )
    | options_of(
        COHERE,
        {
            "cohere": {},
            "cohere-qk-norms": {"use_qk_norm": True},
            "cohere-untied-biases": {"attention_bias": True} | UNTIED,
            "cohere-headless": kind("CohereModel"),
        },
    )
    | options_of(
        OLMO,
        {
            "olmo": {},
            "olmo-tied": TIED,
            "olmo-clipped": {"clip_qkv": 0.6, "attention_bias": True} | TIED | ONE_KEY_HEAD,
        },
    )
    | options_of(
        OPT,
        {
            "opt": {},
            "opt-untied": UNTIED,
            "opt-gelu": {"activation_function": "gelu"} | UNTIED,
            "opt-post": {"do_layer_norm_before": False} | UNTIED,
            "opt-projected-bare": {"word_embed_proj_dim": 5, "enable_bias": False}
            | {"layer_norm_elementwise_affine": False, "activation_function": "gelu"}
            | UNTIED,
            "opt-no-final-norm": {"_remove_final_layer_norm": True},
            "opt-headless": kind("OPTModel"),
        },
    )
    | {
        # of few inputs, all in front of some ReLU's kink, its unit shows too small a rank
        "opt-post-projected": Case(
            OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 5}, TOKENS, count=700
        )
    }
    | options_of(
        FALCON,
        {
            "falcon-multi-query": {},
            "falcon-two-norms": {"new_decoder_architecture": True, "num_kv_heads": 1} | UNTIED,
            "falcon-one-norm": {"new_decoder_architecture": True, "num_kv_heads": 1}
            | {"num_ln_in_parallel_attn": 1, "bias": True},
            "falcon-sequential": {"multi_query": False, "parallel_attn": False, "bias": True},
            # eager attention adds the bias of ALiBi twice
            "falcon-alibi": {"multi_query": False, "parallel_attn": False, "bias": True}
            | {"alibi": True, "attn_implementation": "sdpa"},
            "falcon-headless": {"alibi": True, "attn_implementation": "sdpa"} | kind("FalconModel"),
        },
    )
    | options_of(
        BLOOM,
        {"bloom": {}, "bloom-untied": UNTIED, "bloom-headless": kind("BloomModel")},
    )
    | options_of(GEMMA, {"gemma": {}, "gemma-biases": {"attention_bias": True} | UNTIED})
    | options_of(
        GEMMA2,
        {
            "gemma2": {},
            "gemma2-untied-biases": {"attention_bias": True} | UNTIED,
            "gemma2-capped": {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.5},
        },
    )
    | options_of(
        GEMMA3,
        {
            "gemma3-text": {},
            "gemma3-text-untied-biases": {"attention_bias": True} | UNTIED,
            "gemma3-text-capped": {"final_logit_softcapping": 2.0},
        },
    )
    | options_of(
        GEMMA4,
        {
            "gemma4-text": {},
            "gemma4-text-keys-as-values": {"attention_k_eq_v": True}
            | {"num_global_key_value_heads": 1},
            "gemma4-text-untied-biases": {"attention_bias": True} | UNTIED,
        },
    )
    | {
        # transformers ties this bias with the decoder's own, or leaves it aside
        "bert-masked-lm": Case(BERT, TOKENS, unread=("cls.predictions.bias",))
    }
    | options_of(
        BERT,
        {
            "bert-masked-lm-tied": TIED,
            "bert-relu": {"hidden_act": "relu"} | kind("BertModel"),
            "bert-two-blocks": {"num_hidden_layers": 2} | kind("BertModel"),
        },
    )
)


def pictures(model_type: str, kind: str, *outputs: str, **options: Any) -> Case:
    sizes = {"image_size": 4, "patch_size": 2, "num_channels": 1} | options
    config = family(model_type, kind, **USUAL | sizes)
    del config["vocab_size"]
    size = config["image_size"]
    # a class token alone has few outputs
    count = 70 if model_type.startswith("dinov2") or kind == "ViTModel" else 500
    return Case(config, {"pixel_values": (None, 1, size, size)}, outputs, count)


CLASSES = {"num_labels": 7, "num_hidden_layers": 2}
CLIP = ("clip_vision_model", "CLIPVisionModel")
DINOV2, RATIO = ("dinov2", "Dinov2Model"), {"mlp_ratio": 1}
PICTURES = {
    "vit-pooler": pictures("vit", "ViTModel", pooler_output_size=5),
    "vit-classifier": pictures("vit", "ViTForImageClassification", **CLASSES),
    "vit-bare": pictures("vit", "ViTForImageClassification", **CLASSES, qkv_bias=False),
    "clip-vision": pictures(*CLIP, "pooler_output", num_hidden_layers=2),
    "clip-vision-projection": pictures(
        "clip_vision_model", "CLIPVisionModelWithProjection", "image_embeds",
        projection_dim=5, num_hidden_layers=2, image_size=6, patch_size=3,
    ),
    "dinov2-mlp": pictures(*DINOV2, **RATIO),
    "dinov2-relu-bare": pictures(*DINOV2, **RATIO, hidden_act="relu", qkv_bias=False),
    "dinov2-swiglu": pictures(*DINOV2, **RATIO, use_swiglu_ffn=True),
    "dinov2-registers": pictures(
        "dinov2_with_registers", "Dinov2WithRegistersModel", **RATIO, num_register_tokens=2
    ),
}  # fmt: skip


# As many pixels in a patch as the stream is wide, at least; heads narrower than the stream.
def videos(**options: Any) -> Case:
    config = {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2Model"],
        "attn_implementation": "eager",
        "hidden_size": 12,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "mlp_ratio": 1,
        "crop_size": 8,
        "patch_size": 4,
        "frames_per_clip": 2,
        "tubelet_size": 1,
        "in_chans": 1,
        "pred_hidden_size": 12,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 2,
        "pred_num_mask_tokens": 2,
        "pred_mlp_ratio": 1,
    }
    config |= options
    return Case(
        config,
        {"pixel_values_videos": (None, 2, config["in_chans"], 8, 8)},
        ("last_hidden_state", "predictor_output.last_hidden_state"),
    )


VIDEOS = {
    "vjepa2": videos(),
    "vjepa2-relu-bare": videos(hidden_act="relu", qkv_bias=False, pred_num_mask_tokens=1),
    # of 3 pairs of each head's dimensions that turn with one axis; a head as wide as the stream
    "vjepa2-odd-pairs": videos(hidden_size=18, num_attention_heads=1, mlp_ratio=0.25, in_chans=2),
}
CASES: dict[str, Case] = TEXT | PICTURES | VIDEOS
