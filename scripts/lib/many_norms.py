"""A large GPT-NeoX of which only the norms are stored: what predict costs where norms are many.

1,600 blocks of width 4096 are 19,204 tensors and 3,201 norms in float16. The matrices are holes of
sparse files: 645 GB apparent, some 60 MB on disk. Scales are about 1 +- 0.2, shifts about
0 +- 0.1, from a fixed seed.

    python many_norms.py write FOLDER        writes it, and tells the number of its norms
    python many_norms.py read FOLDER [STEM]  reads its norms as Python does, or those whose tensors
                                             begin so, and tells the seconds
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

WIDTH = 4096
VOCABULARY = 50304
PREFIX = "gpt_neox."


def config(blocks: int) -> dict[str, object]:
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 2048,
        "num_attention_heads": 32,
        "num_hidden_layers": blocks,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_parallel_residual": True,
        "vocab_size": VOCABULARY,
    }


def block(index: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    stem = f"{PREFIX}layers.{index}"
    for norm in ("input_layernorm", "post_attention_layernorm"):
        yield f"{stem}.{norm}.weight", (WIDTH,)
        yield f"{stem}.{norm}.bias", (WIDTH,)
    for name, outputs, inputs in (
        ("attention.query_key_value", 3 * WIDTH, WIDTH),
        ("attention.dense", WIDTH, WIDTH),
        ("mlp.dense_h_to_4h", 4 * WIDTH, WIDTH),
        ("mlp.dense_4h_to_h", WIDTH, 4 * WIDTH),
    ):
        yield f"{stem}.{name}.weight", (outputs, inputs)
        yield f"{stem}.{name}.bias", (outputs,)


def is_norm(name: str) -> bool:
    return "norm" in name


def write_shard(
    file: Path, tensors: list[tuple[str, tuple[int, ...]]], random: np.random.Generator
) -> None:
    """As safetensors writes it, in order of name; what is no norm stays a hole."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    norms: list[tuple[int, str]] = []
    offset = 0
    for name, shape in sorted(tensors):
        bytes_ = 2 * int(np.prod(shape))
        header[name] = {
            "dtype": "F16",
            "shape": list(shape),
            "data_offsets": [offset, offset + bytes_],
        }
        if is_norm(name):
            norms.append((offset, name))
        offset += bytes_
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        begin = stream.tell()
        for place, name in norms:
            stream.seek(begin + place)
            values = random.standard_normal(WIDTH)
            values = 1 + 0.2 * values if name.endswith("weight") else 0.1 * values
            stream.write(values.astype(np.float16).tobytes())
        stream.truncate(begin + offset)


def write_model(folder: Path, blocks: int = 1600, shards: int = 40) -> int:
    """Writes the checkpoint. @return the number of its norms"""
    random = np.random.default_rng(0)
    per_shard = -(-blocks // shards)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        tensors = [
            tensor
            for index in range(shard * per_shard, min((shard + 1) * per_shard, blocks))
            for tensor in block(index)
        ]
        if shard == 0:
            tensors.append((f"{PREFIX}embed_in.weight", (VOCABULARY, WIDTH)))
        if shard == shards - 1:
            tensors += [
                (f"{PREFIX}final_layer_norm.{part}", (WIDTH,)) for part in ("weight", "bias")
            ]
            tensors.append(("embed_out.weight", (VOCABULARY, WIDTH)))
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        write_shard(folder / name, tensors, random)
        weight_map |= {tensor: name for tensor, _ in tensors}
    index = {"metadata": {}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    (folder / "config.json").write_text(json.dumps(config(blocks), indent=2))
    return 2 * blocks + 1


def read_norms(folder: Path, stem: str = "") -> float:
    """The Python way: the index, then safetensors and NumPy for the norms that begin with `stem`.

    Returns the seconds, imports not counted. The values stay float16.
    """
    from safetensors import safe_open

    start = time.perf_counter()
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    by_shard: dict[str, list[str]] = {}
    for name, shard in index["weight_map"].items():
        if is_norm(name) and name.startswith(stem):
            by_shard.setdefault(shard, []).append(name)
    for shard, names in by_shard.items():
        with safe_open(folder / shard, framework="numpy") as tensors:
            for name in names:
                tensors.get_tensor(name)
    return time.perf_counter() - start


if __name__ == "__main__":
    action = {"write": write_model, "read": read_norms}[sys.argv[1]]
    print(action(Path(sys.argv[2]), *sys.argv[3:]))
