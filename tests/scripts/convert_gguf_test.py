#!/usr/bin/env python3
"""`deadray convert` on GGUF files, good and damaged.

DEADRAY=build/release/bin/deadray .venv-python/bin/python tests/scripts/convert_gguf_test.py
Exit code 77 (skipped): packages are missing, or no $DEADRAY.
"""

from __future__ import annotations

import json
import re
import struct
import unittest
from pathlib import Path

from convert_case import FIXTURES, SITUATIONS, ConvertCase, gguf, load_file, np, torch

GGMLQuantizationType, GGUFWriter = gguf.GGMLQuantizationType, gguf.GGUFWriter
dequantize, quantize = gguf.quants.dequantize, gguf.quants.quantize


GGUF_MODELS = FIXTURES.parent / "gguf/models"
GGUF_STEMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def gguf_name(name: str) -> str:
    block, stem, kind = re.fullmatch(
        r"(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)", name
    ).groups()
    return (f"blk.{block}." if block else "") + f"{GGUF_STEMS[stem]}.{kind}"


def interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """GGUF's order of q and k: row i + head_dim/2 of each head follows row i.

    Written out, to share nothing with the converter.
    """
    half = len(rows) // heads // 2
    order = [
        head * 2 * half + place
        for head in range(heads)
        for i in range(half)
        for place in (i, i + half)
    ]
    return rows[order]


class FamiliesTest(ConvertCase):
    """The GGUF fixtures, which a script of gguf's writer made of those in FIXTURES."""

    def expect_same(self, made: dict) -> None:
        expected = load_file(FIXTURES / made["model"] / "model.safetensors")
        if made["zero"]:  # this scale is zero in the GGUF, where it is whole
            name, element = made["zero"]
            expected[name][element] = -1
        found = load_file(self.out / "model.safetensors")
        self.assertGreater(len(found), 0)
        for name, tensor in found.items():
            # heads and towers lie beside the body: only the prefix may differ
            names = [n for n in expected if f".{n}".endswith(f".{name}")]
            names = names or [n for n in expected if name.endswith(f".{n}")]
            self.assertEqual(len(names), 1, name)
            self.assertTrue(torch.equal(tensor.float(), expected[names[0]].float()), name)

    def test_every_tensor_of_every_family_comes_back_to_the_bit(self) -> None:
        checked = 0
        for made in json.loads((GGUF_MODELS / "index.json").read_text()):
            if made["quantised"] or not made.get("model"):
                continue
            with self.subTest(made["name"]):
                result = self.convert(GGUF_MODELS / f"{made['name']}.gguf", "--force")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.expect_same(made)
                checked += 1
        self.assertGreater(checked, 20)


class GgufTest(ConvertCase):
    def write_model(
        self,
        fixture: str,
        quantised: bool = False,
        rope_factors: np.ndarray | None = None,
        theta: float = 0,
        keys: dict[str, int | str] | None = None,
        arrays: dict[str, list[int]] | None = None,
    ) -> Path:
        """A fixture as the usual converter would write it."""
        config = json.loads((FIXTURES / fixture / "config.json").read_text())
        file = self.folder / "model.gguf"
        writer = GGUFWriter(file, (keys or {}).get("architecture", "llama"))
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(
            (arrays or {}).get("head_count_kv") or config["num_key_value_heads"]
        )
        writer.add_rope_freq_base(
            theta or config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
        )
        writer.add_rope_dimension_count(config["head_dim"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        for key, value in (keys or {}).items():
            if key != "architecture":
                writer.add_uint32(key, value)
        for name, tensor in load_file(FIXTURES / fixture / "model.safetensors").items():
            values = tensor.float().numpy()
            if "q_proj" in name or "k_proj" in name:
                values = interleave(
                    values,
                    config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"],
                )
            if quantised and values.ndim == 2 and values.shape[1] % 32 == 0:
                writer.add_tensor(
                    gguf_name(name),
                    quantize(values, GGMLQuantizationType.Q8_0),
                    raw_dtype=GGMLQuantizationType.Q8_0,
                )
            else:
                writer.add_tensor(gguf_name(name), np.ascontiguousarray(values))
        if rope_factors is not None:
            writer.add_tensor("rope_freqs.weight", rope_factors.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return file

    def expect_model(self, fixture: str) -> dict:
        """The conversion gives back the fixture's tensors.

        It gives back the configuration too, as far as GGUF keeps it.
        """
        result = self.convert(self.folder / "model.gguf")
        self.assertEqual(result.returncode, 0, result.stderr)
        expected, found = (
            load_file(FIXTURES / fixture / "model.safetensors"),
            load_file(self.out / "model.safetensors"),
        )
        self.assertEqual(set(found), set(expected))
        for name in expected:
            self.assertTrue(torch.equal(found[name], expected[name]), name)
        wanted, config = (
            json.loads((folder / "config.json").read_text())
            for folder in (FIXTURES / fixture, self.out)
        )
        for key in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "max_position_embeddings",
            "rms_norm_eps",
            "tie_word_embeddings",
            "attention_bias",
            "mlp_bias",
            "model_type",
        ):
            self.assertEqual(config[key], wanted[key], key)
        return config

    def test_grouped_query_and_tied_head_come_back(self) -> None:
        self.write_model("llama-gqa-tied")
        self.assertEqual(
            self.expect_model("llama-gqa-tied")["rope_parameters"],
            {"rope_type": "default", "rope_theta": 777.0, "partial_rotary_factor": 1.0},
        )

    def test_an_own_head_comes_back(self) -> None:
        self.write_model("llama-mha")
        self.expect_model("llama-mha")

    def test_a_head_dim_of_its_own_comes_back(self) -> None:
        self.write_model("llama-head-dim")
        self.expect_model("llama-head-dim")

    def test_biases_come_back_in_order(self) -> None:
        self.write_model("llama-biases")
        self.expect_model("llama-biases")

    def test_quantised_values_become_float32(self) -> None:
        self.write_model("llama-rope-llama3", quantised=True)
        self.assertEqual(self.convert(self.folder / "model.gguf").returncode, 0)
        original, found = (
            load_file(folder / "model.safetensors")
            for folder in (FIXTURES / "llama-rope-llama3", self.out)
        )
        for name, tensor in original.items():
            self.assertEqual(found[name].dtype, torch.float32)
            values = tensor.numpy()
            # quantisation acts within a row, so it commutes with the order of rows
            if values.ndim == 2 and values.shape[1] % 32 == 0:
                values = dequantize(
                    quantize(values, GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0
                )
            self.assertTrue(np.array_equal(found[name].numpy(), values), name)

    def test_llama3_scaling_is_recognised_from_its_factors(self) -> None:
        factors = []
        for wavelength in 2 * np.pi * 500000.0 ** (np.arange(0, 16, 2) / 16):
            smooth = (8192 / wavelength - 1) / 3
            factors.append(
                1.0
                if wavelength < 2048
                else 8.0
                if wavelength > 8192
                else 1 / ((1 - smooth) / 8 + smooth)
            )
        self.write_model("llama-rope-llama3", rope_factors=np.array(factors), theta=500000.0)
        self.assertEqual(
            self.expect_model("llama-rope-llama3")["rope_parameters"],
            {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
                "partial_rotary_factor": 1.0,
            },
        )

    def test_other_rotary_factors_are_told_in_the_configuration(self) -> None:
        self.write_model("llama-rope-llama3", rope_factors=np.linspace(1, 5, 8))
        self.assertEqual(self.convert(self.folder / "model.gguf").returncode, 0)
        config = json.loads((self.out / "config.json").read_text())
        self.assertIn("rope_freqs.weight", config["rope_parameters"]["rope_type"])

    def test_other_families_are_unsupported(self) -> None:
        file = self.write_model("llama-mha", keys={"architecture": "newcomer"})
        self.expect_failure(file, 4, "newcomer")

    def test_a_mixture_says_how_many_experts_it_asks(self) -> None:
        file = self.write_model("llama-mha", keys={"llama.expert_count": 8})
        self.expect_failure(file, 3, "llama.expert_used_count", "missing")

    def test_one_part_of_a_split_file_asks_for_the_first(self) -> None:
        self.expect_failure(
            self.write_model("llama-mha", keys={"split.count": 3, "split.no": 1}), 3, "part 2 of 3"
        )

    def test_old_and_swapped_magics_are_named(self) -> None:
        for magic, name in (
            (b"tjgg", "GGJT"),
            (b"lmgg", "GGML"),
            (b"FUGG", "big-endian"),
            (b"GGJT", "GGJT"),
        ):
            with self.subTest(magic):
                self.expect_failure(self.write("model.gguf", magic + bytes(64)), 4, name)

    def test_a_foreign_magic_is_malformed(self) -> None:
        self.expect_failure(self.write("model.gguf", b"ABCD" + bytes(64)), 3, "ABCD")

    def test_other_versions_are_unsupported(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        for version in (0, 1, 4, 3 << 24):
            with self.subTest(version):
                self.expect_failure(
                    self.write(
                        "model.gguf", content[:4] + struct.pack("<I", version) + content[8:]
                    ),
                    4,
                    "big-endian" if version > 4 else f"version {version}",
                )

    def test_counts_beyond_the_file_are_malformed(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        for at in (8, 16):  # number of tensors, of keys
            for count in (1 << 60, (1 << 64) - 1):
                with self.subTest(at=at, count=count):
                    self.expect_failure(
                        self.write(
                            "model.gguf",
                            content[:at] + struct.pack("<Q", count) + content[at + 8 :],
                        ),
                        3,
                        "do not fit into the file",
                    )

    def test_a_string_longer_than_the_file_is_malformed(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        self.expect_failure(
            self.write("model.gguf", content[:24] + struct.pack("<Q", 1 << 50) + content[32:]),
            3,
            "byte 32",
            "truncated or damaged",
        )

    def test_a_truncated_file_is_malformed_wherever_it_ends(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        for length in (3, 6, 20, 30, 200, len(content) // 2, len(content) - 40):
            with self.subTest(length):
                self.expect_failure(self.write("model.gguf", content[:length]), 3)

    def test_a_key_without_a_name_is_malformed(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        first = 24 + 8 + int.from_bytes(content[24:32], "little")  # behind the first key's name
        self.expect_failure(
            self.write("model.gguf", content[:24] + struct.pack("<Q", 0) + content[first:]),
            3,
            "byte 32",
            "an empty name",
        )

    def test_an_unknown_type_is_named_with_its_tensor(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        name = b"output_norm.weight"
        kind = content.index(name) + len(name) + 4 + 8  # number of dimensions, the only one
        self.expect_failure(
            self.write("model.gguf", content[:kind] + struct.pack("<I", 99) + content[kind + 4 :]),
            4,
            "'output_norm.weight'",
            "type 99",
        )

    def test_a_missing_key_is_named(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        self.expect_failure(
            self.write("model.gguf", content.replace(b"llama.block_count", b"llama.block_c0unt")),
            3,
            "llama.block_count",
        )

    def test_an_array_of_equal_heads_is_their_number(self) -> None:
        fixture = "llama-gqa-tied"
        blocks = json.loads((FIXTURES / fixture / "config.json").read_text())["num_hidden_layers"]
        self.write_model(fixture, arrays={"head_count_kv": [2] * blocks})
        self.expect_model(fixture)

    def test_an_array_of_different_heads_is_unsupported(self) -> None:
        file = self.write_model("llama-gqa-tied", arrays={"head_count_kv": [2, 1]})
        self.expect_failure(file, 4, "llama.attention.head_count_kv", "differs from block to block")

    def test_an_array_of_no_heads_is_malformed(self) -> None:
        # Writers say 0 where a key is not set: then the tensors contradict the rest.
        for heads, words in (
            ([0, 0], ("'blk.0.attn_k.weight'", "key heads")),
            ([-1, -1], ("llama.attention.head_count_kv", "an integer from 1")),
        ):
            with self.subTest(heads):
                file = self.write_model("llama-gqa-tied", arrays={"head_count_kv": heads})
                self.expect_failure(file, 3, *words)

    def write_other(self, kind: str | None, **strings: str) -> Path:
        """A file of one tensor, or of none where `kind` is not given, that is no model."""
        file = self.folder / "other.gguf"
        writer = GGUFWriter(file, "llama")
        if kind is not None:
            writer.add_type(kind)
            writer.add_tensor("blk.0.attn_q.weight.lora_a", np.ones((2, 16), np.float32))
        for key, value in strings.items():
            writer.add_string(key.replace("_", "."), value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return file

    def test_an_adapter_is_to_be_merged_first(self) -> None:
        self.expect_failure(SITUATIONS / "adapter.gguf", 4, "adapter (lora)", "merge")
        self.expect_failure(self.write_other("adapter"), 4, "adapter", "merge")
        self.expect_failure(self.write_other("model", adapter_type="lora"), 4, "adapter", "merge")

    def test_other_contents_are_named(self) -> None:
        for kind in ("mmproj", "imatrix"):
            with self.subTest(kind):
                self.expect_failure(self.write_other(kind), 4, kind)

    def test_a_vocabulary_alone_is_no_model(self) -> None:
        self.expect_failure(
            self.write_other(None, tokenizer_ggml_model="gpt2"), 4, "a vocabulary only"
        )

    def test_neither_tensors_nor_vocabulary_is_malformed(self) -> None:
        self.expect_failure(self.write_other(None), 3, "llama.embedding_length", "missing")

    def test_files_that_people_had_are_read(self) -> None:
        for name in ("ok.gguf", "kvarray.gguf"):
            with self.subTest(name):
                result = self.convert(SITUATIONS / name, "--force")
                self.assertEqual(result.returncode, 0, result.stderr)
                config = json.loads((self.out / "config.json").read_text())
                self.assertEqual(config["num_key_value_heads"], 2)


if __name__ == "__main__":
    unittest.main()
