#!/usr/bin/env python3
"""Runs that are killed and go on: they end with the records of runs without a break.

    DEADRAY=build/release/bin/deadray tests/ranks/interrupted_test.py [--kills N] [--large]

`--large` takes a model of 2 B parameters and the samples of scripts/samples, some minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from job import DEADRAY, MODELS, Job, environment

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SAMPLE_NAMES = ("microformer-mgm", "all-minilm-l6-v2", "smollm2-135m")
KILLS = 4
LARGE = False
VARYING = ("seconds", "environment", "started", "peak_memory_bytes")
# A block may be under way when the time is up, and the state takes a moment to write.
SMALL = {"n_embd": 256, "n_head": 4, "n_layer": 12, "n_positions": 256, "vocab_size": 1000}
TWO_BILLION = {"n_embd": 2560, "n_head": 32, "n_layer": 24, "n_positions": 256, "vocab_size": 50257}


def without_varying(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_varying(v) for k, v in value.items() if k not in VARYING}
    return list(map(without_varying, value)) if isinstance(value, list) else value


def read(file: Path) -> object:
    return without_varying(json.loads(file.read_text()))


def norm_of(model: str) -> str:
    return "rmsnorm" if model.startswith(("llama", "smollm", "gemma")) else "layernorm"


class InterruptedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def kill_after(self, arguments: list[str], seconds: float) -> bool:
        """Whether the run was killed before its end."""
        job = Job(arguments, 1)
        time.sleep(seconds)
        killed = job.process.poll() is None
        if killed:
            job.process.send_signal(signal.SIGKILL)
        code, errors = job.end()
        if not killed and code not in (0, 8):
            raise AssertionError(f"{code}: {errors}")
        return killed

    def run_to_its_end(self, arguments: list[str]) -> None:
        """With as many threads as the runs that are killed: rounding depends on them."""
        code = subprocess.run([DEADRAY, *arguments], env=environment()).returncode
        self.assertIn(code, (0, 8))

    def test_of_verify_with_a_checkpoint(self):
        model = self.folder / "config.json"
        model.write_text(json.dumps({"model_type": "gpt2", **(TWO_BILLION if LARGE else SMALL)}))
        arguments = ["verify", str(model), "--init", "random", "--site", "all", "--residual"]
        arguments += ["--method", "directional"] if LARGE else []
        arguments += ["--random-tokens", "512" if LARGE else "8192", "--sequence-length", "128"]
        arguments += ["--dtype", "bfloat16" if LARGE else "float32", "--quiet"]
        start = time.monotonic()
        whole = self.folder / "whole.json"
        self.run_to_its_end([*arguments, "--json", str(whole)])
        seconds = time.monotonic() - start
        record, state = self.folder / "record.json", self.folder / "run"
        every = seconds / 20
        saving = [*arguments, "--json", str(record), "--checkpoint", str(state)]
        saving += ["--every", f"{every / 60:.4f}"]
        moments = random.Random(11)
        kills = 0
        while kills < KILLS:
            record.unlink(missing_ok=True)
            while kills < KILLS and not record.exists():
                if self.kill_after(saving, moments.uniform(0.3, seconds / 2)):
                    kills += 1
                    self.expect_little_lost(state, every, seconds)
            if not record.exists():
                self.run_to_its_end(saving)
            self.assertEqual(read(record), read(whole))
            self.assertFalse(state.exists())
        print(f"{kills} kills of a run of {seconds:.1f} s", file=sys.stderr)

    def test_that_a_run_goes_on(self):
        model = self.folder / "config.json"
        model.write_text(json.dumps({"model_type": "gpt2", **SMALL}))
        arguments = ["verify", str(model), "--init", "random", "--random-tokens", "8192"]
        arguments += ["--checkpoint", str(self.folder / "run"), "--every", "0"]
        job = Job(arguments, 1)
        while not list(self.folder.glob("run/*block-[3-9].safetensors")):
            self.assertIsNone(job.process.poll(), "it ended before a third block was saved")
            time.sleep(0.01)
        job.process.send_signal(signal.SIGTERM)
        code, errors = job.end()
        self.assertEqual(code, 143, errors)
        self.assertIn("is saved in", errors)
        ended = subprocess.run(
            [DEADRAY, *arguments], env=environment(), capture_output=True, text=True
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertRegex(ended.stderr, r"went on from block [1-9]\d* of 12")

    def expect_little_lost(self, state: Path, every: float, seconds: float) -> None:
        files = list(state.glob("*.safetensors")) if state.exists() else []
        self.assertLessEqual(len(files), 2, "a state, and the one before until it is whole")
        for file in files:
            lost = time.time() - file.stat().st_mtime
            self.assertLess(
                lost, every + seconds / 4 + 2, "a block and a state are written in that"
            )

    def roster(self) -> Path:
        models = [MODELS / name for name in ("gpt2-tied", "bert-pooler", "llama-mha")]
        if LARGE:
            models += [
                SAMPLES / name for name in ("microformer-mgm", "all-minilm-l6-v2", "smollm2-135m")
            ]
        file = self.folder / "roster.json"
        rows = [
            {
                "name": model.name,
                "path": str(model),
                "norm": norm_of(model.name),
                "modality": "text",
            }
            for model in models
        ]
        file.write_text(json.dumps({"schema": "deadray/roster/1", "models": rows}))
        return file

    def test_of_a_suite_that_is_resumed(self):
        roster = str(self.roster())
        suite = ["suite", roster, "--init", "checkpoint", "--random-tokens", "640", "--quiet"]
        whole, out = self.folder / "whole", self.folder / "out"
        start = time.monotonic()
        self.run_to_its_end([*suite, "--out", str(whole)])
        seconds = time.monotonic() - start
        moments = random.Random(13)
        kills = 0
        while kills < KILLS:
            shutil.rmtree(out, ignore_errors=True)
            resuming = [*suite, "--out", str(out), "--resume"]
            while kills < KILLS and self.kill_after(resuming, moments.uniform(0.05, seconds)):
                kills += 1
                for file in out.glob("*.json") if out.exists() else []:
                    json.loads(file.read_text())  # whole, at any moment
            self.run_to_its_end(resuming)
            self.compare(out, whole)
        print(f"{kills} kills of a suite of {seconds:.1f} s", file=sys.stderr)

    def compare(self, out: Path, whole: Path) -> None:
        names = sorted(file.name for file in whole.glob("*.json"))
        self.assertEqual(sorted(file.name for file in out.glob("*.json")), names)
        for name in names:
            if name != "suite.json":  # which tells of rows that were kept
                self.assertEqual(self.measured(out / name), self.measured(whole / name), name)

    def measured(self, file: Path) -> dict:
        record = read(file)
        record["suite"].pop("command", None)  # names the folder
        return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--large", action="store_true")
    options, rest = parser.parse_known_args()
    globals().update(KILLS=options.kills, LARGE=options.large)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
