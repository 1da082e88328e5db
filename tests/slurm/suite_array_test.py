#!/usr/bin/env python3
"""scripts/slurm/suite on a real Slurm of one node.

DEADRAY=build/release/bin/deadray python3 tests/slurm/suite_array_test.py
Exit code 77 (skipped): no $DEADRAY, no Slurm here, or not root.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from local_slurm import LocalSlurm, lacking

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/fixtures/models"
DEADRAY = os.environ.get("DEADRAY", "")
OPTIONS = ("--random-tokens", "300", "--sequence-length", "20", "--threads", "1")
# Long enough in its blocks that it is still running when it is found.
SLOW = {
    "model_type": "gpt2",
    "n_embd": 128,
    "n_head": 2,
    "n_layer": 4000,
    "n_positions": 64,
    "vocab_size": 11,
}
VARYING = ("seconds", "environment", "started", "peak_memory_bytes")


def without_varying(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_varying(v) for k, v in value.items() if k not in VARYING}
    return list(map(without_varying, value)) if isinstance(value, list) else value


def content(folder: Path) -> dict[str, str]:
    """The records of a folder as text, but for what differs from run to run."""
    return {
        file.name: json.dumps(without_varying(json.loads(file.read_text())))
        for file in folder.glob("*.json")
    }


def process_of_row(model: str) -> tuple[int, int] | None:
    """The process that measures a model, and the one that started it."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended meanwhile
            words = line.read_bytes()
            if words.startswith(b"deadray\0") and f"\0--only\0{model}\0".encode() in words:
                status = (line.parent / "status").read_text()
                return int(line.parent.name), int(re.search(r"PPid:\s*(\d+)", status)[1])
    return None


class SuiteArrayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.slurm = cls.enterClassContext(LocalSlurm(cpus=4))

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="suite-array-")))

    def write_roster(self, *models: dict) -> None:
        roster = {"schema": "deadray/roster/1", "models": models}
        (self.folder / "roster.json").write_text(json.dumps(roster))

    def fixtures(self, *names: str) -> list[dict]:
        return [{"name": name, "path": str(MODELS / name)} for name in names]

    def submit(self, parts: int, options: tuple[str, ...]) -> tuple[str, str]:
        """The jobs of the array and of the merge."""
        submitted = self.slurm.run(
            ROOT / "scripts/slurm/suite",
            "--cpus-per-task=1",
            f"--chdir={self.folder}",
            ROSTER=str(self.folder / "roster.json"),
            OUT=str(self.folder / "out"),
            PARTS=str(parts),
            OPTIONS=" ".join(options),
            DEADRAY=DEADRAY,
        )
        self.assertEqual(submitted.returncode, 0, submitted.stderr)
        words = submitted.stdout.replace(",", "").replace(";", "").split()
        return words[1], words[4]

    def log_of_merge(self, job: str, code: int) -> str:
        """What the merge said, once it has ended with this code."""
        self.slurm.wait_for(job, 40)
        log = (self.folder / f"out/logs/merge-{job}.log").read_text()
        state = self.slurm.run("scontrol", "--oneliner", "show", "job", job).stdout
        self.assertIn(f"ExitCode={code}:0", state, log)
        return log

    def test_an_array_writes_what_one_process_does(self):
        self.write_roster(*self.fixtures("gpt2-tied", "llama-mha", "gpt2-untied"))
        out = self.folder / "out"
        words = ["suite", self.folder / "roster.json", "--out", out, "--quiet", *OPTIONS]
        subprocess.run([DEADRAY, *words], check=True, timeout=60)
        one_process = out.rename(self.folder / "one-process")
        _, merge = self.submit(3, OPTIONS)
        log = self.log_of_merge(merge, 0)
        self.assertEqual(content(out), content(one_process), log)
        self.assertEqual(len(content(out)), 7, log)

    def wait_for_end(self, process: int) -> None:
        deadline = time.monotonic() + 10
        while Path(f"/proc/{process}").exists():
            self.assertLess(time.monotonic(), deadline, f"{process} is left behind")
            time.sleep(0.05)

    def end_a_task(self, end: Callable[[str, int], object]) -> str:
        """What the merge says after `end`(task, process) while the task measures a slow model."""
        slow = {"name": "slow", "path": "none", "config": SLOW}
        self.write_roster(*self.fixtures("gpt2-tied"), slow, *self.fixtures("llama-mha"))
        array, merge = self.submit(2, (*OPTIONS, "--init", "random"))
        deadline = time.monotonic() + 20
        while not (found := process_of_row("slow")):
            self.assertLess(time.monotonic(), deadline, self.slurm.logs())
            time.sleep(0.05)
        end(f"{array}_1", found[1])
        said = self.log_of_merge(merge, 8)
        out = self.folder / "out"
        report = json.loads((out / "suite.json").read_text())
        states = [row["state"] for row in report["rows"]]
        self.assertEqual(states, ["measured", "not run", "measured"])
        self.assertFalse((out / "slow.random.json").exists())
        for process in found:
            self.wait_for_end(process)
        return said

    def test_the_merge_names_what_a_killed_task_left_out(self):
        said = self.end_a_task(lambda _, process: os.kill(process, signal.SIGKILL))
        self.assertIn("slow, random: not run: part 1/2 has left no report", said)

    def test_the_merge_names_what_a_task_that_was_asked_to_end_left_out(self):
        said = self.end_a_task(lambda task, _: self.slurm.run("scancel", "--signal=TERM", task))
        self.assertIn("slow, random: not run: part 1/2 ended before it", said)


if __name__ == "__main__":
    why = lacking() if DEADRAY else "DEADRAY names no program"
    if why:
        print(f"skipped: {why}")
        sys.exit(77)
    unittest.main()
