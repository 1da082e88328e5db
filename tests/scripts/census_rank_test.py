#!/usr/bin/env python3
"""scripts/census_rank: ranks of tiny models that are known, and what it does with a census.

.venv-python/bin/python tests/scripts/census_rank_test.py   exit code 77 (skipped): no packages
The whole table is a run of minutes: scripts/census_rank, and its results in docs/census.md.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}; scripts/setup --python installs it")
    sys.exit(77)

sys.dont_write_bytecode = True
SCRIPT = Path(__file__).resolve().parents[2] / "scripts/lib/census_rank.py"
sys.path.insert(0, str(SCRIPT.parent))
from census_ranking.cases import CASES, GPT2, LLAMA, TIED, Case  # noqa: E402
from census_ranking.jacobian import TinyModel  # noqa: E402
from census_ranking.spectrum import LEAST_GAP, drop_of, spectrum_of  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
TOKENS = {"input_ids": (11, 6)}


def values(*blocks: tuple[int, float]) -> torch.Tensor:
    return torch.cat([torch.full((n,), value, dtype=torch.float64) for n, value in blocks])


def matrix(singular: torch.Tensor, rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)

    def orthonormal(n: int) -> torch.Tensor:
        drawn = torch.randn(n, len(singular), generator=generator, dtype=torch.float64)
        return torch.linalg.qr(drawn).Q

    return orthonormal(rows) * singular @ orthonormal(len(singular)).T


def measure(case: Case) -> tuple[int, int, float]:
    """Parameters, null directions, gap."""
    model = TinyModel(case, seed=1)
    spectrum = spectrum_of(model.fisher_root(batch) for batch in model.random_inputs(case.count))
    return len(spectrum.values), len(spectrum.values) - spectrum.rank, spectrum.gap


class SpectrumTest(unittest.TestCase):
    def test_counts_values_that_a_gram_matrix_would_lose(self):
        tall = matrix(values((20, 1.0), (5, 1e-9), (7, 0.0)), rows=9000)
        spectrum = spectrum_of(tall.split(70))
        self.assertEqual(spectrum.rank, 25)
        self.assertGreater(spectrum.gap, LEAST_GAP)

    def test_takes_no_small_value_for_rounding(self):
        self.assertEqual(drop_of(values((3, 1.0), (2, 1e-9), (1, 1e-15)))[0], 5)
        self.assertEqual(drop_of(values((3, 1.0), (2, 1e-9)))[0], 5)  # full rank

    def test_has_no_wide_gap_where_values_fall_gradually(self):
        _, gap = drop_of(torch.logspace(0, -17, 200, dtype=torch.float64))
        self.assertLess(gap, LEAST_GAP)

    def test_finds_the_tensor_of_null_directions(self):
        both = torch.cat([matrix(values((4, 1.0), (2, 0.0)), 50), matrix(values((3, 1.0)), 50)], 1)
        alone = spectrum_of([both]).alone({"first": 6, "second": 3})
        self.assertEqual([tensor["alone"] for tensor in alone], [2, 0])


class TinyModelTest(unittest.TestCase):
    def test_finds_the_ranks_that_are_known(self):
        """Counts of closed form, found with other programs too."""
        small = GPT2 | {"vocab_size": 11}
        for config, parameters, null in (
            (small | {"n_layer": 0}, 240, 69),
            (small | {"n_embd": 6}, 534, 172),
            (small | TIED, 684, 184),
            (LLAMA | {"vocab_size": 11}, 632, 90),
            (LLAMA | {"vocab_size": 11} | TIED, 544, 46),
        ):
            n, found, gap = measured = measure(Case(config, TOKENS))
            self.assertEqual((n, found), (parameters, null), measured)
            self.assertGreater(gap, LEAST_GAP, measured)

    def test_is_the_exact_fisher_of_the_softmax(self):
        """The mean of S'S is A'A: E over S of F is sum Var_p(J), taken here by autograd."""
        case = Case(GPT2 | {"n_layer": 0, "vocab_size": 5, "n_embd": 2}, {"input_ids": (5, 6)})
        model = TinyModel(case, seed=1)
        [inputs] = model.random_inputs(1)
        parameters = list(model.model.parameters())
        with model.widening:
            z = model.model(**inputs).logits[0]
        rows = []
        for row in z:
            of_class = [torch.autograd.grad(c, parameters, retain_graph=True) for c in row]
            j = torch.stack([torch.cat([g.flatten() for g in each]) for each in of_class])
            p = row.detach().softmax(0)
            rows.append(j.T @ (p.diag() - torch.outer(p, p)) @ j)
        model.combinations = 5 * 6
        draws = 600
        mean = sum(a.T @ a for a in (model.fisher_root(inputs) for _ in range(draws)))
        mean /= draws * model.combinations
        expected = sum(rows)
        # a Wishart matrix of n draws: 1/sqrt(n) relative, here 0.7 %
        self.assertLess((mean - expected).norm() / expected.norm(), 0.05)

    def test_covers_the_families(self):
        families = {case.config["model_type"] for case in CASES.values()}
        self.assertGreaterEqual(len(families), 22)
        self.assertGreaterEqual(len(CASES), 80)


class ProgramTest(unittest.TestCase):
    def run_beside(self, deadray: str | Path, *options: str) -> tuple[int, str, dict]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "record.json"
            ended = subprocess.run(
                [sys.executable, "-B", SCRIPT, *options, "--json", str(file)],
                env=os.environ | {"DEADRAY": str(deadray)},
                capture_output=True,
                text=True,
                check=False,
            )
            record = json.loads(file.read_text()) if file.exists() else {}
        return ended.returncode, ended.stdout + ended.stderr, record

    def test_tells_a_census_that_is_one_short(self):
        census = {"parameters": 916, "flat": 222, "unreached": 0, "flat_up_to_eps": 3}
        with tempfile.TemporaryDirectory() as folder:
            stub = Path(folder) / "deadray"
            stub.write_text(f"#!/bin/sh\necho '{json.dumps(census)}'\n")
            stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
            code, output, record = self.run_beside(
                stub, "--only", "gpt2-headless", "--draws", "2", "--explain"
            )
        self.assertEqual(code, 1, output)
        [row] = record["models"]
        self.assertEqual((row["null"], row["excess"], row["draws"]), (223, 1, 2))
        self.assertIn("+1 flat", output)
        self.assertIn("wpe.weight", output)

    @unittest.skipUnless(os.environ.get("DEADRAY"), "$DEADRAY does not name the program")
    def test_agrees_with_the_census_of_small_models(self):
        small = ("gpt2-narrow", "llama-headless", "gpt2-headless", "vit-pooler")
        code, output, record = self.run_beside(os.environ["DEADRAY"], "--only", *small)
        self.assertEqual(code, 0, output)
        self.assertEqual({row["name"] for row in record["models"]}, set(small))

    def test_refuses_a_name_that_no_model_has(self):
        code, output, _ = self.run_beside("deadray", "--only", "nothing")
        self.assertEqual((code, output.count("\n")), (2, 1), output)


if __name__ == "__main__":
    unittest.main()
