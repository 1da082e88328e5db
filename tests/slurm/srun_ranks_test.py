#!/usr/bin/env python3
"""deadray as the ranks of an srun step, on a real Slurm of one node.

DEADRAY=build/release/bin/deadray python3 tests/slurm/srun_ranks_test.py
Exit code 77 (skipped): no $DEADRAY with MPI, no Slurm here, or not root.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from local_slurm import LocalSlurm, lacking

ROOT = Path(__file__).resolve().parents[2]
DEADRAY = os.environ.get("DEADRAY", "")
MODEL = ["verify", str(ROOT / "tests/fixtures/models/gpt2-tied"), "--site", "all"]
OPTIONS = ["--dtype", "float64", "--sequence-length", "16", "--quiet"]
SRUN = ["srun", "-n", "3", "--mpi=pmix", "--kill-on-bad-exit=1"]
EIGENVALUES = 1e-12  # of the largest: sums in another order


class SrunRanksTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.slurm = cls.enterClassContext(LocalSlurm(cpus=4))

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.record = self.folder / "record.json"

    def run_srun(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.slurm.run(*SRUN, DEADRAY, *MODEL, *OPTIONS, *arguments, OMP_NUM_THREADS="1")

    def test_ranks_find_what_one_process_finds(self):
        tokens = ["--random-tokens", "640"]
        one = json.loads(
            subprocess.check_output([DEADRAY, *MODEL, *OPTIONS, *tokens, "--json", "-"])
        )
        ended = self.run_srun(*tokens, "--json", str(self.record))
        self.assertEqual(ended.returncode, 0, ended.stderr)
        many = json.loads(self.record.read_text())
        self.assertEqual(many["environment"]["ranks"], 3)
        for got, want in zip(many["sites"], one["sites"], strict=True):
            self.assertEqual(got["verdict"], want["verdict"])
            size = want["exact"]["eigenvalues"]["last"]
            for key, value in want["exact"]["eigenvalues"].items():
                self.assertAlmostEqual(
                    got["exact"]["eigenvalues"][key], value, delta=EIGENVALUES * size
                )

    def test_without_pmix_the_message_says_so(self):
        srun = [word if word != "--mpi=pmix" else "--mpi=none" for word in SRUN]
        ended = self.slurm.run(*srun, DEADRAY, *MODEL, OMP_NUM_THREADS="1")
        self.assertEqual(ended.returncode, 2, ended.stderr)
        self.assertIn("--mpi=pmix", ended.stderr)

    def wait_for_states(self, job: str) -> None:
        """Until all ranks have saved a block, so that the signal meets them at work."""
        deadline = time.monotonic() + 60
        while len(list(self.folder.glob("run/rank-*"))) < 3:
            self.assertLess(time.monotonic(), deadline, f"job {job} saves nothing")
            time.sleep(0.05)

    def test_sigterm_saves_the_run_and_the_same_command_goes_on(self):
        saving = ["--random-tokens", "400000", "--checkpoint", str(self.folder / "run")]
        saving += ["--every", "0"]
        saving += ["--json", str(self.record)]
        script = self.folder / "job"
        command = " ".join([*SRUN, DEADRAY, *MODEL, *OPTIONS, *saving])
        script.write_text(f"#!/bin/sh\nexec {command}\n")
        submitted = self.slurm.run("sbatch", "-n", "3", "-o", str(self.folder / "log"), str(script))
        job = re.search(r"\d+", submitted.stdout)[0]
        while "R" not in self.slurm.run("squeue", "-h", "-o", "%t", "-j", job).stdout:
            time.sleep(0.1)
        self.wait_for_states(job)
        self.slurm.run("scancel", "--signal=TERM", job)
        self.slurm.wait_for(job, 30)
        log = (self.folder / "log").read_text()
        saved = list(self.folder.glob("run/rank-*-of-3.block-*.safetensors"))
        self.assertEqual(len(saved), 3, log)
        ended = self.slurm.run(*SRUN, DEADRAY, *MODEL, *OPTIONS, *saving, OMP_NUM_THREADS="1")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertTrue(json.loads(self.record.read_text())["complete"])
        self.assertFalse((self.folder / "run").exists())


if __name__ == "__main__":
    why = lacking()
    if not why and not (DEADRAY and Path(DEADRAY).with_name("libdeadray_mpi.so").exists()):
        why = "no $DEADRAY that was built with MPI"
    if why:
        print(f"skipped: {why}", file=sys.stderr)
        sys.exit(77)
    unittest.main()
