#!/usr/bin/env python3
"""scripts/capture on padded batches.

.venv-python/bin/python tests/scripts/capture_test.py   exit code 77 (skipped): packages are missing
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

try:
    import torch
    import transformers  # noqa: F401
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}; scripts/setup --python installs it")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import capture  # noqa: E402
from tool import ToolError, run_tool  # noqa: E402

FIXTURES = ROOT / "tests/fixtures/models"
MASK = torch.tensor([[1, 1, 0], [0, 1, 1]])


class KeptRowsTest(unittest.TestCase):
    def kept(self, *places: int) -> list[int]:
        return capture.kept_rows(MASK, places, "norm").int().tolist()

    def test_rows_are_those_of_the_tokens_that_the_mask_keeps(self) -> None:
        self.assertEqual(self.kept(2, 3), [1, 1, 0, 0, 1, 1])
        self.assertEqual(self.kept(6), [1, 1, 0, 0, 1, 1])

    def test_every_head_has_them(self) -> None:
        self.assertEqual(self.kept(2, 3, 2), [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1])
        self.assertEqual(self.kept(2, 2, 3), [1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1])

    def test_all_rows_stay_where_nothing_is_hidden(self) -> None:
        self.assertIsNone(capture.kept_rows(None, (2, 3), "norm"))
        self.assertIsNone(capture.kept_rows(torch.ones(2, 3), (7, 5), "norm"))

    def test_rows_that_are_no_tokens_are_refused(self) -> None:
        for places, words in (((2, 5), "leave attention_mask out"), ((2, 3, 3), "cannot be told")):
            with self.assertRaisesRegex(ToolError, words):
                capture.kept_rows(MASK, places, "norm")


class CaptureTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "captured.safetensors"

    def capture(self, model: str, tokens: Path, *options: str) -> tuple[int, str]:
        """Exit code and standard error."""
        errors = io.StringIO()
        arguments = ["--tokens", str(tokens), "--out", str(self.out), *options]
        with (
            mock.patch("sys.argv", ["capture.py", str(FIXTURES / model), *arguments]),
            contextlib.redirect_stderr(errors),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            try:
                run_tool(capture.main)
                return 0, errors.getvalue()
            except SystemExit as exit:
                return exit.code, errors.getvalue()

    def test_hidden_tokens_leave_no_row(self) -> None:
        # 1e-5 of the largest: the fixture was made by another implementation of attention in
        # float32, the same bound as ExecutorTest's.
        for model in ("gpt2-tied", "llama-gqa-tied", "bert-masked-lm"):
            file = FIXTURES / model / "padded.safetensors"
            reference = load_file(file)
            kept = reference["attention_mask"].bool().flatten()
            self.assertEqual(self.capture(model, file), (0, ""))
            wanted = reference["final_norm.output"][kept]
            got = load_file(self.out)["output"]
            self.assertEqual(got.shape, wanted.shape)
            self.assertLess((got - wanted).abs().max(), 1e-5 * wanted.abs().max())

    def test_a_query_norm_has_the_rows_of_every_head(self) -> None:
        tokens = self.folder / "tokens.safetensors"
        save_file({"input_ids": torch.ones_like(MASK), "attention_mask": MASK}, tokens)
        code, errors = self.capture("qwen3-gqa", tokens, "--module", "layers.0.self_attn.q_norm")
        self.assertEqual((code, errors), (0, ""))
        heads = 4
        self.assertEqual(load_file(self.out)["output"].shape[0], 4 * heads)

    def test_masks_that_are_none_are_refused(self) -> None:
        tokens = self.folder / "tokens.safetensors"
        for mask, words in (
            (2 * MASK, "attention_mask is 2 at row 0, column 0"),
            (0 * MASK, "hides every token"),
            (MASK[:1], "like input_ids"),
            (MASK.float(), "expected integers or bools"),
        ):
            save_file({"input_ids": torch.ones_like(MASK), "attention_mask": mask}, tokens)
            code, errors = self.capture("gpt2-tied", tokens)
            self.assertEqual(code, 3)
            self.assertIn(words, errors)
            self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
