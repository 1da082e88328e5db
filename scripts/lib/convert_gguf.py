"""Llama models in GGUF files as entries for a safetensors file, and as config.json.

The entries have Hugging Face's names and its order of rotary dimensions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

from safetensors_writer import Entry
from tool import MALFORMED, UNSUPPORTED, ToolError, one_line

TENSOR_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FACTORS = "rope_freqs.weight"
PLAIN_TYPES = {GGMLQuantizationType.F32: ("F32", 4), GGMLQuantizationType.F16: ("F16", 2)}
OTHER_MAGICS = {
    b"GGML": "GGML, older than GGUF",
    b"lmgg": "GGML, older than GGUF",
    b"GGJT": "GGJT, older than GGUF",
    b"tjgg": "GGJT, older than GGUF",
    b"GGMF": "GGMF, older than GGUF",
    b"fmgg": "GGMF, older than GGUF",
    b"FUGG": "GGUF with its bytes swapped (big-endian)",
}


class Reader(GGUFReader):
    """The package's reader takes what is there where a file ends early; this one complains."""

    def _get(self, offset, dtype, count=1, override_order=None):
        needed = int(offset) + int(count) * np.dtype(dtype).itemsize
        if needed > len(self.data):
            raise ValueError(
                f"byte {int(offset)}: needs bytes up to {needed}, file has {len(self.data)}: "
                "truncated or damaged"
            )
        return super()._get(offset, dtype, count, override_order)

    def _push_field(self, field, skip_sum=False):
        if not field.name:
            raise ValueError(f"byte {int(field.offset)}: a key without a name")
        return super()._push_field(field, skip_sum)

    def _build_tensors(self, start_offs, fields):
        for field in fields:
            number = int(field.parts[4][0])
            if number not in set(GGMLQuantizationType):
                raise ValueError(
                    f"tensor {field.name!r}: ggml type {number} is unknown (damaged, or newer than "
                    "the gguf package)"
                )
        super()._build_tensors(start_offs, fields)


def open_gguf(file: Path) -> Reader:
    with file.open("rb") as stream:
        start = stream.read(8)
    if start[:4] != b"GGUF":
        if start[:4] in OTHER_MAGICS:
            raise ToolError(
                UNSUPPORTED,
                f"{file}: {OTHER_MAGICS[start[:4]]}: not supported; convert it to GGUF version 3 "
                "first",
            )
        raise ToolError(MALFORMED, f"{file}: byte 0: {start[:4]!r} found, b'GGUF' expected")
    version = int.from_bytes(start[4:8], "little")
    if len(start) == 8 and version not in (2, 3):
        why = (
            "big-endian: not supported"
            if version >= 1 << 16
            else f"GGUF version {version}: unsupported, 2 or 3 expected"
        )
        raise ToolError(UNSUPPORTED, f"{file}: byte 4: {why}")
    try:
        return Reader(file)
    except (
        ValueError,
        KeyError,
        IndexError,
        OverflowError,
        TypeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise ToolError(MALFORMED, f"{file}: damaged GGUF: {one_line(error)}") from error


class Metadata:
    """Typed access to a file's keys."""

    def __init__(self, file: Path, reader: Reader):
        self.file, self.reader = file, reader

    def get(self, key: str, fallback: Any = None) -> Any:
        field = self.reader.get_field(key)
        try:
            return fallback if field is None else field.contents()
        except (UnicodeDecodeError, IndexError) as error:
            raise ToolError(MALFORMED, f"{self.file}: key {key}: {one_line(error)}") from error

    def number(self, key: str, fallback: float | None = None) -> float:
        """A positive number. An array that has one for each block must repeat it."""
        value = self.get(key, fallback)
        if isinstance(value, list) and value:
            if any(entry != value[0] for entry in value):
                raise ToolError(
                    UNSUPPORTED,
                    f"{self.file}: key {key}: differs from block to block "
                    f"({', '.join(map(str, value[:8]))}{', …' if len(value) > 8 else ''}); "
                    "deadray converts models whose blocks are alike",
                )
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ToolError(
                MALFORMED,
                f"{self.file}: key {key}: {'nothing' if value is None else repr(value)} found, a "
                "positive number expected",
            )
        # stored as float32: the shortest decimal that means it
        return float(str(np.float32(value))) if isinstance(value, float) else value


def require_a_model(file: Path, reader: Reader, keys: Metadata) -> None:
    """Refuses the other things that GGUF files hold, which have a model's architecture too."""
    kind = keys.get("general.type", "model")
    if kind == "adapter" or keys.get("adapter.type") is not None:
        raise ToolError(
            UNSUPPORTED,
            f"{file}: an adapter ({keys.get('adapter.type', 'of unknown type')}), no model: merge "
            "it into its base model first (llama-export-lora), and convert that",
        )
    if kind != "model":
        raise ToolError(UNSUPPORTED, f"{file}: general.type is {kind!r}, 'model' expected")
    if not reader.tensors and keys.get("tokenizer.ggml.model") is not None:
        raise ToolError(
            UNSUPPORTED,
            f"{file}: a vocabulary only, without tensors: give the model's own GGUF file",
        )


def describe(file: Path, reader: Reader) -> dict[str, Any]:
    """config.json of the model."""
    keys = Metadata(file, reader)
    require_a_model(file, reader, keys)
    family = keys.get("general.architecture")
    if family != "llama":
        raise ToolError(
            UNSUPPORTED,
            f"{file}: general.architecture is {family!r}; deadray converts llama from GGUF, take "
            "other models' safetensors files",
        )
    if keys.get("split.count", 1) > 1:
        raise ToolError(
            UNSUPPORTED,
            f"{file}: part {keys.get('split.no', 0) + 1} of {keys.get('split.count')}: merge the "
            "parts first, beginning with the first (llama-gguf-split --merge)",
        )
    if keys.get("llama.expert_count", 0) > 0:
        raise ToolError(
            UNSUPPORTED,
            f"{file}: llama.expert_count is {keys.get('llama.expert_count')}: mixtures of experts "
            "are not converted",
        )
    names = {tensor.name for tensor in reader.tensors}
    shapes = {tensor.name: [int(n) for n in reversed(tensor.shape)] for tensor in reader.tensors}
    if len(shapes.get("token_embd.weight", [])) != 2:
        raise ToolError(
            MALFORMED,
            f"{file}: tensor 'token_embd.weight': {shapes.get('token_embd.weight', 'nothing')} "
            "found, [vocabulary, width] expected",
        )
    heads = keys.number("llama.attention.head_count")
    head_dim = (
        keys.get("llama.attention.key_length")
        or keys.get("llama.rope.dimension_count")
        or keys.number("llama.embedding_length") // heads
    )
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shapes["token_embd.weight"][0],
        "hidden_size": keys.number("llama.embedding_length"),
        "intermediate_size": keys.number("llama.feed_forward_length"),
        "num_hidden_layers": keys.number("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.number("llama.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": keys.number("llama.context_length"),
        "rms_norm_eps": keys.number("llama.attention.layer_norm_rms_epsilon"),
        "attention_bias": "blk.0.attn_q.bias" in names,
        "mlp_bias": "blk.0.ffn_up.bias" in names,
        "tie_word_embeddings": "output.weight" not in names,
        "initializer_range": 0.02,
        "bos_token_id": keys.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": keys.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": keys.get("tokenizer.ggml.padding_token_id"),
        "rope_parameters": describe_rope(file, reader, keys, head_dim),
        "dtype": "float32",
    }


def describe_rope(file: Path, reader: Reader, keys: Metadata, head_dim: int) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": keys.number("llama.rope.freq_base", 10000.0)}
    scaling = keys.get("llama.rope.scaling.type", "none")
    factors = next((tensor for tensor in reader.tensors if tensor.name == ROPE_FACTORS), None)
    if scaling == "linear":
        return rope | {"rope_type": "linear", "factor": keys.number("llama.rope.scaling.factor")}
    if scaling != "none":
        raise ToolError(
            UNSUPPORTED,
            f"{file}: llama.rope.scaling.type is {scaling!r}: linear, or Llama 3's factors, are "
            "converted",
        )
    if factors is None:
        return rope
    # Llama 3's scaling is stored as one divisor per frequency. Find the rule's factor, and
    # believe it only if it gives the same divisors.
    stored = dequantize(factors.data, factors.tensor_type).reshape(-1).astype(np.float64)
    llama3 = {
        "rope_type": "llama3",
        "factor": float(stored.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    wavelength = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((8192 / wavelength - 1.0) / 3.0, 0.0, 1.0)
    expected = 1 / ((1 - smooth) / llama3["factor"] + smooth)
    if stored.shape != expected.shape or not np.allclose(stored, expected, rtol=1e-4):
        raise ToolError(
            UNSUPPORTED,
            f"{file}: tensor '{ROPE_FACTORS}' does not follow Llama 3's rule (wavelengths 2048 "
            "and 8192): no config.json can say it",
        )
    return rope | llama3


def hugging_face_name(file: Path, name: str) -> str:
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if block and block[2] in TENSOR_NAMES:
        return f"model.layers.{block[1]}.{TENSOR_NAMES[block[2]]}.{block[3]}"
    if name not in TENSOR_NAMES:
        raise ToolError(UNSUPPORTED, f"{file}: tensor '{name}': unknown in a llama model")
    return TENSOR_NAMES[name]


def half_split(values: np.ndarray, heads: int) -> np.ndarray:
    """Reorders the rows of q or k, head by head.

    GGUF interleaves the pairs (2i, 2i+1); Hugging Face has (i, i + head_dim/2).
    """
    return (
        values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
        .swapaxes(1, 2)
        .reshape(values.shape)
    )


def entries(file: Path) -> tuple[list[Entry], dict[str, Any]]:
    """Returns the entries in the file's order, and config.json.

    Quantised values become float32, float16 stays.
    """
    reader = open_gguf(file)
    config = describe(file, reader)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    result = []
    for tensor in reader.tensors:
        if tensor.name == ROPE_FACTORS:
            continue
        shape = tuple(int(n) for n in reversed(tensor.shape))
        rotary = heads.get(tensor.name.split(".")[-2])
        if rotary and shape[0] != rotary * config["head_dim"]:
            raise ToolError(
                MALFORMED,
                f"{file}: tensor '{tensor.name}': shape {list(shape)}, but the keys give {rotary} "
                f"heads of {config['head_dim']}",
            )

        def load(tensor=tensor, shape=shape, rotary=rotary) -> np.ndarray:
            try:
                values = (
                    tensor.data
                    if tensor.tensor_type in PLAIN_TYPES
                    else dequantize(tensor.data, tensor.tensor_type)
                )
            except NotImplementedError as error:
                raise ToolError(
                    UNSUPPORTED,
                    f"{file}: tensor '{tensor.name}': {tensor.tensor_type.name} values: "
                    f"{one_line(error)}",
                ) from error
            values = values.reshape(shape)
            return half_split(values, rotary) if rotary else values

        dtype, itemsize = PLAIN_TYPES.get(tensor.tensor_type, ("F32", 4))
        result.append(Entry(hugging_face_name(file, tensor.name), dtype, shape, itemsize, load))
    return result, config
