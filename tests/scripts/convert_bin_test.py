#!/usr/bin/env python3
"""`deadray convert` on PyTorch's files, good and damaged.

DEADRAY=build/release/bin/deadray .venv-python/bin/python tests/scripts/convert_bin_test.py
Exit code 77 (skipped): packages are missing, or no $DEADRAY.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import unittest
import zipfile
from pathlib import Path

from convert_case import FIXTURES, SITUATIONS, ConvertCase, load_file, np, torch, transformers

WEIGHTS = {"a.weight": torch.ones(3), "a.bias": torch.zeros(2)}


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

    def save_tied(self, fixture: str) -> dict[str, torch.Tensor]:
        """A fixture whose head shares the embedding's memory in the file; what it holds."""
        shutil.copy(FIXTURES / fixture / "config.json", self.folder)
        state = load_file(FIXTURES / fixture / "model.safetensors")
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
        self.assertEqual(self.convert(self.save(state)).returncode, 0)
        self.assertEqual(
            (self.out / "config.json").read_bytes(), (self.folder / "config.json").read_bytes()
        )
        return state

    def test_a_tied_head_is_stored_once(self) -> None:
        state = self.save_tied("llama-gqa-tied")
        found = load_file(self.out / "model.safetensors")
        self.assertEqual(set(found), set(state) - {"lm_head.weight"})
        loaded = transformers.AutoModelForCausalLM.from_pretrained(self.out)
        self.assertTrue(torch.equal(loaded.lm_head.weight, state["lm_head.weight"]))

    def test_what_the_config_does_not_tie_is_stored_under_both_names(self) -> None:
        state = self.save_tied("llama-mha")
        self.assertEqual(set(load_file(self.out / "model.safetensors")), set(state))

    def test_a_config_that_says_too_little_ties_nothing(self) -> None:
        (self.folder / "config.json").write_text('{"model_type": "gpt2"}')
        table = torch.randn(7, 3)
        state = {"wte.weight": table, "lm_head.weight": table}
        self.assertEqual(self.convert(self.save(state)).returncode, 0)
        self.assertEqual(set(load_file(self.out / "model.safetensors")), set(state))

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
        self.expect_failure(index, 3, "one.bin", "missing")

    def test_the_format_before_zip_gives_the_same(self) -> None:
        state = {"a": torch.randn(3, 2), "b": torch.arange(4).half()}
        old = self.save(state, _use_new_zipfile_serialization=False)
        self.assertEqual(self.convert(old).returncode, 0)
        found = load_file(self.out / "model.safetensors")
        for name, tensor in state.items():
            self.assertTrue(torch.equal(found[name], tensor), name)

    def test_a_pickle_that_calls_is_refused_by_name(self) -> None:
        marker = self.folder / "it-ran"

        class Attack:
            def __reduce__(self):
                return os.system, (f"touch {marker}",)

        self.expect_failure(self.save({"a": Attack()}), 4, "refused", "system")
        self.assertFalse(marker.exists())

    def test_a_compressed_member_is_unsupported(self) -> None:
        plain = self.save({"a": torch.zeros(1 << 16)})
        packed = self.folder / "packed.bin"
        with (
            zipfile.ZipFile(plain) as source,
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for member in source.infolist():
                target.writestr(member.filename, source.read(member))
        self.expect_failure(packed, 4, "compressed")

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

    def test_a_truncated_file_is_malformed(self) -> None:
        content = self.save({"a": torch.ones(1024)}).read_bytes()
        self.expect_failure(self.write("short.bin", content[: len(content) // 2]), 3, "truncated")

    def test_a_file_without_tensors_is_unsupported(self) -> None:
        self.expect_failure(self.save([1, 2, 3]), 4, "no tensors", "list")

    def test_a_broken_config_beside_it_is_named(self) -> None:
        (self.folder / "config.json").write_text("{")
        self.expect_failure(self.save({"a": torch.ones(2)}), 3, "config.json", "not JSON")


class ContainerTest(ConvertCase):
    def expect_weights(self, state: object, *notes: str) -> None:
        """Two tensors come out, and standard error has these words."""
        torch.save(state, self.folder / "model.pt")
        result = self.convert(self.folder / "model.pt", "--force")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(set(load_file(self.out / "model.safetensors")), set(WEIGHTS))
        for note in notes:
            self.assertIn(note, result.stderr)

    def test_containers_are_opened_with_a_note(self) -> None:
        for key in ("module", "model_state_dict", "state_dict", "model"):
            with self.subTest(key):
                self.expect_weights({"epoch": 3, key: WEIGHTS}, f"are taken from ['{key}']")

    def test_a_container_in_a_container_is_opened(self) -> None:
        for outer, inner in (("model", "state_dict"), ("state_dict", "module")):
            with self.subTest(outer):
                self.expect_weights(
                    {outer: {inner: WEIGHTS, "version": 1}}, f"['{outer}']['{inner}']"
                )

    def test_deeper_than_once_is_not_searched(self) -> None:
        torch.save({"model": {"model": {"model": WEIGHTS}}}, self.folder / "model.pt")
        self.expect_failure(self.folder / "model.pt", 4, "['model']['model']", "no tensors")

    def test_weights_without_a_container_have_no_note(self) -> None:
        self.expect_weights(WEIGHTS)
        self.assertNotIn("taken from", self.convert(self.folder / "model.pt", "--force").stderr)

    def test_an_unknown_container_shows_its_keys(self) -> None:
        torch.save({"ema": WEIGHTS, "step": 1}, self.folder / "model.pt")
        self.expect_failure(self.folder / "model.pt", 4, "no tensors", "'ema'", "'step'")

    def test_numbers_of_numpy_beside_the_weights_are_harmless(self) -> None:
        beside = {
            "val_loss": np.float64(1.5),
            "best": np.float32(0.5),
            "step": np.int64(7),
            "done": np.bool_(True),
            "history": np.arange(6.0).reshape(2, 3),
            "names": np.array(["train", "valid"]),
            "dtype": np.dtype("f4"),
        }
        for name, value in beside.items():
            with self.subTest(name):
                self.expect_weights({"model": WEIGHTS, name: value})

    def test_an_array_that_hides_a_call_is_refused(self) -> None:
        marker = self.folder / "it-ran"

        class Attack:
            def __reduce__(self):
                return os.system, (f"touch {marker}",)

        hidden = np.array([Attack(), None], dtype=object)
        torch.save({"model": WEIGHTS, "x": hidden}, self.folder / "model.pt")
        self.expect_failure(self.folder / "model.pt", 4, "refused", "posix.system")
        self.assertFalse(marker.exists())

    def test_an_unknown_class_is_named(self) -> None:
        for value, name in (
            (argparse.Namespace(lr=0.1), "argparse.Namespace"),
            (Path("here"), "PosixPath"),
            (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ):
            with self.subTest(name):
                torch.save({"model": WEIGHTS, "args": value}, self.folder / "model.pt")
                self.expect_failure(self.folder / "model.pt", 4, "refused", name, "state_dict()")

    def test_shards_say_where_their_weights_were(self) -> None:
        for name, tensor in WEIGHTS.items():
            torch.save({"module": {name: tensor}}, self.folder / f"{name}.bin")
        files = {name: f"{name}.bin" for name in WEIGHTS}
        index = self.write("model.bin.index.json", json.dumps({"weight_map": files}).encode())
        result = self.convert(index)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr.count("['module']"), len(WEIGHTS), result.stderr)

    def test_files_that_people_had_are_read(self) -> None:
        for name, key in (("deepspeed.pt", "module"), ("nanogpt.pt", "model")):
            with self.subTest(name):
                result = self.convert(SITUATIONS / name, "--force")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(f"['{key}']", result.stderr)
                found = load_file(self.out / "model.safetensors")
                self.assertEqual(found["transformer.wte.weight"].shape, (32, 16))


if __name__ == "__main__":
    unittest.main()
