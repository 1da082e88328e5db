"""A sharded safetensors checkpoint as large as the real ones, of which only headers and norms are
written: the rest are holes, which a file system keeps without taking room for them."""

from __future__ import annotations

import hashlib
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEAD, EXPERT, VOCABULARY = 2048, 128, 704, 151936
CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "dtype": "bfloat16",
    "head_dim": HEAD,
    "hidden_act": "silu",
    "hidden_size": WIDTH,
    "intermediate_size": 6144,
    "max_position_embeddings": 40960,
    "mlp_only_layers": [],
    "moe_intermediate_size": EXPERT,
    "norm_topk_prob": True,
    "num_attention_heads": 32,
    "num_experts_per_tok": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "vocab_size": VOCABULARY,
}


@dataclass
class Checkpoint:
    folder: Path
    tensors: int
    bytes: int
    headers: dict[str, int]  # bytes of each shard's header, the length before it included
    norms: dict[str, int]  # bytes of the norms of each shard


def _tensors(layers: int, experts: int) -> list[tuple[str, list[int]]]:
    """In the order of the model, as tools that write shards go through them."""
    found: list[tuple[str, list[int]]] = [("model.embed_tokens.weight", [VOCABULARY, WIDTH])]
    for layer in range(layers):
        at = f"model.layers.{layer}."
        found += [
            (at + "self_attn.q_proj.weight", [32 * HEAD, WIDTH]),
            (at + "self_attn.k_proj.weight", [4 * HEAD, WIDTH]),
            (at + "self_attn.v_proj.weight", [4 * HEAD, WIDTH]),
            (at + "self_attn.o_proj.weight", [WIDTH, 32 * HEAD]),
            (at + "self_attn.q_norm.weight", [HEAD]),
            (at + "self_attn.k_norm.weight", [HEAD]),
            (at + "mlp.gate.weight", [experts, WIDTH]),
        ]
        for expert in range(experts):
            found += [
                (f"{at}mlp.experts.{expert}.gate_proj.weight", [EXPERT, WIDTH]),
                (f"{at}mlp.experts.{expert}.up_proj.weight", [EXPERT, WIDTH]),
                (f"{at}mlp.experts.{expert}.down_proj.weight", [WIDTH, EXPERT]),
            ]
        found += [
            (at + "input_layernorm.weight", [WIDTH]),
            (at + "post_attention_layernorm.weight", [WIDTH]),
        ]
    return [*found, ("model.norm.weight", [WIDTH]), ("lm_head.weight", [VOCABULARY, WIDTH])]


def _bfloat16(count: int, chance: random.Random) -> bytes:
    """Between 0.5 and 2."""
    values = bytearray(b"\x3f" * (2 * count))
    values[0::2] = chance.randbytes(count)
    return bytes(values)


def _write_shard(file: Path, tensors: list[tuple[str, list[int]]]) -> tuple[int, int]:
    """Bytes of the header, and of the norms."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    norms = []
    end = 0
    for name, shape in sorted(tensors):
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        if len(shape) == 1:
            norms.append((name, end, shape[0]))
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    begin = 8 + len(text)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name, at, count in norms:
            out.seek(begin + at)
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
            out.write(_bfloat16(count, random.Random(seed)))
        out.truncate(begin + end)
    return begin, sum(2 * count for _, _, count in norms)


def make(folder: Path, layers: int = 51, experts: int = 128, shard: int = 4 * 10**9) -> Checkpoint:
    """20,046 tensors in 16 shards of 60 GB together, unless told otherwise."""
    shards: list[list[tuple[str, list[int]]]] = [[]]
    room = shard
    tensors = _tensors(layers, experts)
    for name, shape in tensors:
        size = 2 * math.prod(shape)
        if size > room and shards[-1]:
            shards.append([])
            room = shard
        shards[-1].append((name, shape))
        room -= size
    folder.mkdir(parents=True)
    headers, norms, weight_map = {}, {}, {}
    for number, held in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        headers[name], norms[name] = _write_shard(folder / name, held)
        weight_map |= dict.fromkeys((tensor for tensor, _ in held), name)
    total = sum(2 * math.prod(shape) for _, shape in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    config = CONFIG | {"num_experts": experts, "num_hidden_layers": layers}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return Checkpoint(folder, len(tensors), total, headers, norms)
