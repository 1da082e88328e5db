#!/usr/bin/env python3
"""What a run finds does not hang on the number of threads or on the processor's instructions.

    DEADRAY=build/release/bin/deadray tests/ranks/same_numbers_test.py

docs/choices-and-limits.md states the bounds that are tested here; ranks_test.py has those of ranks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from job import DEADRAY, MODELS

# Of the largest eigenvalue. FP64: sums of 640 terms in another order. FP32: what the forward pass
# rounds, 2^-24 of a number, through some dozen operations a block.
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
# libtorch, oneDNN and MKL each choose their own instructions.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def has_avx512() -> bool:
    return "avx512f" in Path("/proc/cpuinfo").read_text()


def record(model: str, dtype: str, threads: int, **variables: str) -> dict:
    arguments = ["--site", "all", "--residual", "--random-tokens", "640", "--seed", "3"]
    arguments += ["--sequence-length", "16", "--dtype", dtype, "--threads", str(threads)]
    text = subprocess.check_output(
        [DEADRAY, "verify", str(MODELS / model), *arguments, "--json", "-"],
        env=os.environ | variables,
    )
    return json.loads(text)


class SameNumbersTest(unittest.TestCase):
    def compare(self, got: dict, want: dict) -> None:
        bound = BOUNDS[want["model"]["dtype"]]
        for one, other in zip(got["sites"], want["sites"], strict=True):
            self.assertEqual(one["verdict"], other["verdict"], other["name"])
            self.assertEqual(one["predicted"], other["predicted"])
            for reading in ("exact", "deployed"):
                size = other[reading]["eigenvalues"]["last"]
                for key, value in other[reading]["eigenvalues"].items():
                    self.assertAlmostEqual(
                        one[reading]["eigenvalues"][key], value, delta=bound * size
                    )

    def test_of_threads(self):
        for model in ("gpt2-tied", "llama-gqa-tied", "mixtral"):
            for dtype in BOUNDS:
                want = record(model, dtype, 1)
                for threads in (2, 4):
                    with self.subTest(model=model, dtype=dtype, threads=threads):
                        self.compare(record(model, dtype, threads), want)

    def test_of_instructions(self):
        if not has_avx512():
            self.skipTest("this processor has no AVX-512")
        for model in ("gpt2-tied", "llama-gqa-tied", "mixtral"):
            for dtype in BOUNDS:
                with self.subTest(model=model, dtype=dtype):
                    self.compare(record(model, dtype, 2, **AVX2), record(model, dtype, 2))

    def test_of_the_same_run_again(self):
        one, two = record("gpt2-tied", "float32", 2), record("gpt2-tied", "float32", 2)
        for each in (one, two):
            del each["seconds"], each["environment"]
        self.assertEqual(one, two)


if __name__ == "__main__":
    unittest.main()
