#!/usr/bin/env python3
"""scripts/convert: which files it takes, and how it leaves them.

.venv/bin/python tests/scripts/convert_test.py   exit code 77 (skipped): packages are missing
"""

from __future__ import annotations

import subprocess
import sys
import unittest

from convert_case import ROOT, ConvertCase, torch


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


if __name__ == "__main__":
    unittest.main()
