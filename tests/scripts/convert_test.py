#!/usr/bin/env python3
"""scripts/convert on good and on damaged files.

.venv/bin/python tests/scripts/convert_test.py   exit code 77 (skipped): packages are missing
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

try:
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import dequantize, quantize
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}; scripts/setup --python installs it")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import convert  # noqa: E402
from tool import run_tool  # noqa: E402

FIXTURES = ROOT / "tests/fixtures/models"


class Outcome(NamedTuple):
    returncode: int
    stderr: str


class ConvertCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "out"

    def convert(self, file: Path, *options: str) -> Outcome:
        """As the program runs, but in this process: torch takes seconds to load."""
        errors = io.StringIO()
        arguments = ["convert.py", str(file), str(self.out), *options]
        with (
            mock.patch("sys.argv", arguments),
            contextlib.redirect_stderr(errors),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            try:
                run_tool(convert.main)
                code = 0
            except SystemExit as exit:
                code = exit.code
        return Outcome(code, errors.getvalue())

    def expect_failure(self, file: Path, code: int, *words: str) -> None:
        """One line, the right exit code, every word in it, and nothing left behind."""
        result = self.convert(file)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual([p.name for p in self.out.glob("*")] if self.out.exists() else [], [])

    def write(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name


class FileKindTest(ConvertCase):
    def test_an_empty_file_is_named_so(self) -> None:
        self.expect_failure(self.write("model.bin", b""), 3, "0 bytes")

    def test_a_git_lfs_pointer_is_no_weights(self) -> None:
        self.expect_failure(
            self.write("model.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
            3,
            "git-LFS pointer",
        )

    def test_a_web_page_is_no_weights(self) -> None:
        self.expect_failure(
            self.write("model.gguf", b"<!DOCTYPE html><html></html>"), 3, "web page"
        )

    def test_an_unknown_format_is_unsupported(self) -> None:
        self.expect_failure(self.write("model.npz2", b"whatever it may be"), 4, "unknown format")

    def test_what_is_there_is_replaced_only_by_force(self) -> None:
        torch.save({"a.weight": torch.ones(3)}, self.folder / "model.bin")
        self.assertEqual(self.convert(self.folder / "model.bin").returncode, 0)
        refused = self.convert(self.folder / "model.bin")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--force", refused.stderr)
        self.assertEqual(self.convert(self.folder / "model.bin", "--force").returncode, 0)

    def test_a_full_disk_leaves_no_half_file(self) -> None:
        torch.save({"a.weight": torch.ones(1 << 16)}, self.folder / "model.bin")
        # files of 8 or 16 KiB at most
        command = (
            f"ulimit -f 16; exec '{sys.executable}' '{ROOT}/scripts/lib/convert.py' "
            f"'{self.folder}/model.bin' '{self.out}'"
        )
        result = subprocess.run(
            ["bash", "-c", "trap '' XFSZ; " + command], capture_output=True, text=True
        )
        self.assertEqual(result.returncode, 6, result.stderr)
        self.assertEqual(list(self.out.glob("*")) + list(self.out.glob(".*")), [])


class BinTest(ConvertCase):
    def save(self, state: object, **options: object) -> Path:
        torch.save(state, self.folder / "pytorch_model.bin", **options)
        return self.folder / "pytorch_model.bin"

    def test_values_types_and_views_survive(self) -> None:
        base = torch.arange(12, dtype=torch.float64).reshape(3, 4)
        state = {
            "f64": base,
            "transposed": base.T,
            "slice": base[:, 1:3],
            "bf16": torch.randn(5).bfloat16(),
            "f16": torch.randn(2, 2).half(),
            "i64": torch.tensor([-1, 7]),
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 4),
        }
        result = self.convert(self.save(state))
        self.assertEqual(result.returncode, 0, result.stderr)
        found = load_file(self.out / "model.safetensors")
        self.assertEqual(set(found), set(state))
        for name, tensor in state.items():
            self.assertEqual(found[name].dtype, tensor.dtype, name)
            self.assertTrue(torch.equal(found[name], tensor), name)

    def test_shared_memory_is_stored_once_and_the_config_says_tied(self) -> None:
        embedding = torch.randn(7, 3)
        (self.folder / "config.json").write_text('{"model_type": "llama"}')
        result = self.convert(self.save({"embed.weight": embedding, "lm_head.weight": embedding}))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(set(load_file(self.out / "model.safetensors")), {"embed.weight"})
        self.assertIs(
            json.loads((self.out / "config.json").read_text())["tie_word_embeddings"], True
        )

    def test_a_config_that_says_untied_keeps_both(self) -> None:
        embedding = torch.randn(7, 3)
        (self.folder / "config.json").write_text('{"tie_word_embeddings": false}')
        self.assertEqual(
            self.convert(
                self.save({"embed.weight": embedding, "lm_head.weight": embedding})
            ).returncode,
            0,
        )
        self.assertEqual(
            set(load_file(self.out / "model.safetensors")), {"embed.weight", "lm_head.weight"}
        )

    def test_shards_become_one_file(self) -> None:
        torch.save({"a": torch.ones(2)}, self.folder / "one.bin")
        torch.save({"b": torch.zeros(3)}, self.folder / "two.bin")
        index = self.write(
            "pytorch_model.bin.index.json",
            json.dumps({"weight_map": {"a": "one.bin", "b": "two.bin"}}).encode(),
        )
        self.assertEqual(self.convert(index).returncode, 0)
        self.assertEqual(set(load_file(self.out / "model.safetensors")), {"a", "b"})

    def test_an_index_may_not_leave_its_folder(self) -> None:
        index = self.write(
            "pytorch_model.bin.index.json", json.dumps({"weight_map": {"a": "../one.bin"}}).encode()
        )
        self.expect_failure(index, 3, "unsafe path", "../one.bin")

    def test_an_index_that_names_a_missing_shard_is_malformed(self) -> None:
        index = self.write(
            "pytorch_model.bin.index.json", json.dumps({"weight_map": {"a": "one.bin"}}).encode()
        )
        self.expect_failure(index, 3, "one.bin", "not there")

    def test_a_legacy_file_is_unsupported(self) -> None:
        self.expect_failure(
            self.save({"a": torch.ones(2)}, _use_new_zipfile_serialization=False),
            4,
            "legacy",
            "not supported",
        )

    def test_a_pickle_that_calls_is_refused_by_name(self) -> None:
        marker = self.folder / "it-ran"

        class Attack:
            def __reduce__(self):
                return os.system, (f"touch {marker}",)

        self.expect_failure(self.save({"a": Attack()}), 3, "refused", "system")
        self.assertFalse(marker.exists())

    def test_a_compressed_member_is_malformed(self) -> None:
        plain = self.save({"a": torch.zeros(1 << 16)})
        packed = self.folder / "packed.bin"
        with (
            zipfile.ZipFile(plain) as source,
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for member in source.infolist():
                target.writestr(member.filename, source.read(member))
        self.expect_failure(packed, 3, "compressed")

    def test_overlapping_members_are_malformed(self) -> None:
        content = bytearray(self.save({"a": torch.ones(64), "b": torch.zeros(64)}).read_bytes())
        with zipfile.ZipFile(self.folder / "pytorch_model.bin") as archive:
            offsets = {
                member.filename.split("/", 1)[1]: member.header_offset
                for member in archive.infolist()
            }
            centre = archive.start_dir
        # the directory's entry of data/1 now points into data/0
        at = content.index(struct.pack("<I", offsets["data/1"]), centre)
        content[at : at + 4] = struct.pack("<I", offsets["data/0"])
        self.expect_failure(self.write("overlap.bin", bytes(content)), 3, "overlap")

    def test_a_flipped_bit_is_found(self) -> None:
        content = bytearray(self.save({"a": torch.ones(1024)}).read_bytes())
        content[content.index(struct.pack("<4f", 1, 1, 1, 1)) + 100] ^= 1
        self.expect_failure(self.write("flipped.bin", bytes(content)), 3, "data/0", "CRC")

    def test_a_truncated_file_is_malformed(self) -> None:
        content = self.save({"a": torch.ones(1024)}).read_bytes()
        self.expect_failure(self.write("short.bin", content[: len(content) // 2]), 3, "damaged zip")

    def test_a_file_without_tensors_is_malformed(self) -> None:
        self.expect_failure(self.save([1, 2, 3]), 3, "no tensors", "list")

    def test_a_broken_config_beside_it_is_named(self) -> None:
        (self.folder / "config.json").write_text("{")
        self.expect_failure(self.save({"a": torch.ones(2)}), 3, "config.json", "not JSON")


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


class GgufTest(ConvertCase):
    def write_model(
        self,
        fixture: str,
        quantised: bool = False,
        rope_factors: np.ndarray | None = None,
        theta: float = 0,
        keys: dict[str, int | str] | None = None,
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
        writer.add_head_count_kv(config["num_key_value_heads"])
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
            {"rope_type": "default", "rope_theta": 777.0},
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
            },
        )

    def test_other_rotary_factors_are_unsupported(self) -> None:
        self.expect_failure(
            self.write_model("llama-rope-llama3", rope_factors=np.linspace(1, 5, 8)),
            4,
            "rope_freqs.weight",
        )

    def test_other_families_are_unsupported(self) -> None:
        self.expect_failure(
            self.write_model("llama-mha", keys={"architecture": "gemma2"}), 4, "gemma2"
        )

    def test_mixtures_of_experts_are_unsupported(self) -> None:
        self.expect_failure(
            self.write_model("llama-mha", keys={"llama.expert_count": 8}), 4, "expert_count"
        )

    def test_one_part_of_a_split_file_is_unsupported(self) -> None:
        self.expect_failure(
            self.write_model("llama-mha", keys={"split.count": 3, "split.no": 1}), 4, "part 2 of 3"
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
                        "damaged GGUF",
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
            "byte 24",
            "a key without a name",
        )

    def test_an_unknown_type_is_named_with_its_tensor(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        name = b"output_norm.weight"
        kind = content.index(name) + len(name) + 4 + 8  # number of dimensions, the only one
        self.expect_failure(
            self.write("model.gguf", content[:kind] + struct.pack("<I", 99) + content[kind + 4 :]),
            3,
            "'output_norm.weight'",
            "ggml type 99",
        )

    def test_a_missing_key_is_named(self) -> None:
        content = self.write_model("llama-mha").read_bytes()
        self.expect_failure(
            self.write("model.gguf", content.replace(b"llama.block_count", b"llama.block_c0unt")),
            3,
            "llama.block_count",
        )


if __name__ == "__main__":
    unittest.main()
