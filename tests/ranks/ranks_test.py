#!/usr/bin/env python3
"""deadray on several ranks: the same numbers, one line for what goes wrong, an end in any case.

    DEADRAY=build/release/bin/deadray tests/ranks/ranks_test.py [--kills N]

Needs mpirun and a deadray that was built with MPI; else it is skipped (77).
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from job import DEADRAY, MODELS, Job, missing, record_of

KILLS = 4
# Eigenvalues against the largest: sums over 600 tokens in another order, each rounded to 2^-53.
EIGENVALUES = 1e-12
FISHER = 1e-10  # relative; the same sums through a forward and a derivative
# A forward pass in FP32 may round its products otherwise for tiles of another size.
DOUBLE = ["--dtype", "float64", "--seed", "3"]


def verify(model: str, *more: str) -> list[str]:
    return ["verify", str(MODELS / model), "--site", "all", *DOUBLE, *more]


def tokens(count: int, length: int) -> list[str]:
    return ["--random-tokens", str(count), "--sequence-length", str(length)]


class SameNumbersTest(unittest.TestCase):
    def compare(self, one: dict, many: dict, ranks: int) -> None:
        self.assertEqual(many["environment"]["ranks"], ranks)
        self.assertEqual(len(many["environment"]["hosts"]), ranks)
        self.assertEqual(many["calibration"], one["calibration"])
        self.assertEqual(many["notes"], one["notes"])
        self.assertEqual([s["name"] for s in many["sites"]], [s["name"] for s in one["sites"]])
        for got, want in zip(many["sites"], one["sites"], strict=True):
            with self.subTest(norm=want["name"]):
                self.assertEqual(got["verdict"], want["verdict"])
                self.assertEqual(got["inherited"], want["inherited"])
                self.assertEqual(got["predicted"], want["predicted"])
                for reading in ("exact", "deployed"):
                    size = want[reading]["eigenvalues"]["last"]
                    for key, value in want[reading]["eigenvalues"].items():
                        self.assertAlmostEqual(
                            got[reading]["eigenvalues"][key], value, delta=EIGENVALUES * size
                        )
                self.compare_schur(got["schur"], want["schur"])
        if one["residual"]:
            self.compare_residual(many["residual"], one["residual"])

    def compare_schur(self, got: dict, want: dict) -> None:
        self.assertEqual(got["null"], want["null"])
        for key in ("input", "output"):
            self.assertEqual(got[key] is None, want[key] is None, key)
            if want[key] is not None:  # a share, of the conditioning of a covariance
                self.assertAlmostEqual(got[key], want[key], delta=1e-7)

    def compare_residual(self, got: dict, want: dict) -> None:
        for key in ("excluded", "reference", "rank", "preserved"):
            self.assertEqual(got[key], want[key], key)
        for one, other in zip(got["ratio"], want["ratio"], strict=True):
            self.assertEqual(one is None, other is None)
            if other is not None:  # Lanczos finds each of the two to 1e-4
                self.assertAlmostEqual(one, other, delta=2e-4 * other)

    def test_of_verify(self):
        wide = tokens(640, 16)
        for model, arguments in {
            "gpt2-tied": [*wide, "--residual"],
            "gpt-neox-parallel": wide,  # two norms read the same rows
            "gemma3-text": wide,
            "mixtral": wide,
            "bert-pooler": [*wide, "--method", "certificate"],
            "llama-mha": [*wide, "--method", "directional"],
            "gemma4-pictures": tokens(320, 32),
        }.items():
            one = record_of(verify(model, *arguments))
            for ranks in (2, 3, 4):
                with self.subTest(model=model, ranks=ranks):
                    many = record_of(verify(model, *arguments), ranks)
                    self.compare(one, many, ranks)

    def test_of_padded_batches(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        file = folder / "tokens.safetensors"
        write_padded(file, sequences=40, length=16)
        arguments = verify("gpt2-tied", "--tokens", str(file), "--skip-tokens", "1")
        one = record_of(arguments)
        self.assertGreater(one["calibration"]["masked"], 0)
        self.compare(one, record_of(arguments, 3), 3)

    def test_of_fisher(self):
        for model in ("gpt2-tied", "bert-pooler", "vit-classifier"):
            arguments = ["fisher", str(MODELS / model), "--site", "all", "--invariance"]
            arguments += [] if model.startswith("vit") else tokens(96, 8)
            one = record_of(arguments)
            for ranks in (2, 4):
                many = record_of(arguments, ranks)
                for got, want in zip(many["consumers"], one["consumers"], strict=True):
                    with self.subTest(model=model, ranks=ranks, consumer=want["name"]):
                        self.compare_consumers(got, want)

    def test_of_samples(self):
        samples = Path(__file__).resolve().parents[2] / "samples"
        for model in ("microformer-mgm", "all-minilm-l6-v2"):
            if not (samples / model).exists():
                self.skipTest("scripts/samples has not been run")
            arguments = ["verify", str(samples / model), "--site", "all", *DOUBLE]
            self.compare(record_of(arguments), record_of(arguments, 4), 4)

    def compare_consumers(self, got: dict, want: dict) -> None:
        self.assertEqual(got["verdict"], want["verdict"])
        if not want["random"]:
            return
        size = want["random"]["max"]
        for key in ("median", "min", "max"):
            self.assertAlmostEqual(got["random"][key], want["random"][key], delta=FISHER * size)
        if want["dead"] is not None:  # rounding alone: of the size of what is measured beside it
            self.assertAlmostEqual(got["dead"], want["dead"], delta=FISHER * size)
        self.compare_sums(got, want)

    def compare_sums(self, got: dict, want: dict) -> None:
        """K-FAC's factors, its kernel's residual, the movement: each a ratio of sums over rows."""
        for key in ("kfac", "kfac_random", "kernel_residual", "invariance", "invariance_random"):
            for one, other in zip(numbers(got.get(key)), numbers(want.get(key)), strict=True):
                self.assertAlmostEqual(one, other, delta=FISHER * max(abs(other), 1e-3), msg=key)


def numbers(value: object) -> list[float]:
    """All numbers of a part of a record, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def write_padded(file: Path, sequences: int, length: int) -> None:
    """Token ids with a mask, as a processor pads them on the right."""
    numbers = random.Random(5)
    ids, mask = b"", b""
    for _ in range(sequences):
        kept = numbers.randint(3, length)
        for place in range(length):
            ids += numbers.randrange(20).to_bytes(8, "little")
            mask += int(place < kept).to_bytes(8, "little")
    shape = [sequences, length]
    header = {
        "input_ids": {"dtype": "I64", "shape": shape, "data_offsets": [0, len(ids)]},
        "attention_mask": {
            "dtype": "I64",
            "shape": shape,
            "data_offsets": [len(ids), 2 * len(ids)],
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + ids + mask)


def own_lines(errors: str) -> list[str]:
    """deadray's; mpirun adds some of its own."""
    return [line for line in errors.splitlines() if line.startswith("deadray")]


class JobTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def long_job(self, ranks: int, **more: str) -> Job:
        """Some seconds of work; its record goes to a file."""
        config = MODELS / "gpt2-tied"
        arguments = ["verify", str(config), "--init", "random", "--site", "all", *DOUBLE]
        arguments += [*tokens(200_000, 16), "--json", str(self.folder / "record.json"), "--quiet"]
        return Job(arguments, ranks, **more)

    def wait_for_ranks(self, job: Job) -> None:
        while len(job.processes()) < job.ranks and job.process.poll() is None:
            time.sleep(0.01)

    def expect_clean(self, job: Job, seconds: float = 30) -> tuple[int, str]:
        before = time.monotonic()
        code, errors = job.end(seconds)
        self.assertLess(time.monotonic() - before, seconds)
        self.assertEqual(job.processes(), {}, "a rank is left")
        for file in self.folder.iterdir():  # whole records alone
            self.assertEqual(json.loads(file.read_text())["schema"], "deadray/verify/1")
        return code, errors


class EndTest(JobTest):
    def test_of_a_rank_that_is_killed(self):
        moments = random.Random(7)
        done = 0
        while done < KILLS:
            job = self.long_job(3)
            self.wait_for_ranks(job)
            time.sleep(moments.uniform(0, 3))
            killed = job.signal_rank(moments.randrange(3), signal.SIGKILL)
            code, errors = self.expect_clean(job)
            if killed:
                done += 1
                self.assertNotEqual(code, 0)
                self.assertRegex(errors, r"rank \d.*(signal 9|Killed)")

    def test_of_a_rank_that_is_stopped(self):
        for rank in (0, 2):
            job = self.long_job(3, DEADRAY_RANK_TIMEOUT="2")
            self.wait_for_ranks(job)
            time.sleep(1.5)
            self.assertTrue(job.signal_rank(rank, signal.SIGSTOP))
            code, errors = self.expect_clean(job)
            self.assertNotEqual(code, 0)
            (line,) = own_lines(errors)
            self.assertIn(f"rank {rank} of 3", line)
            self.assertIn("no sign of life for 2 s", line)

    def test_of_what_all_ranks_find_wrong(self):
        job = Job(["verify", str(self.folder / "absent")], 3)
        code, errors = job.end()
        self.assertEqual(code, 2)
        (line,) = own_lines(errors)
        self.assertIn("rank 0 of 3", line)
        self.assertIn("absent", line)

    def test_of_fewer_sequences_than_ranks(self):
        job = Job(verify("gpt2-tied", *tokens(32, 16)), 3)
        code, errors = job.end()
        self.assertEqual(code, 2)
        (line,) = own_lines(errors)
        self.assertIn("3 ranks for 2 sequences", line)

    def test_of_what_ranks_do_not_share_out(self):
        for more in (["--dump", str(self.folder / "x.safetensors")], ["--dry-run"]):
            code, errors = Job(verify("gpt2-tied", *more), 2).end()
            self.assertEqual(code, 2, errors)
            self.assertIn(more[0], own_lines(errors)[0])

    def test_of_a_stop_signal_to_one_rank(self):
        record_file = self.folder / "record.json"
        # Where no norm was measured yet there is nothing to save; later the job has ended.
        for seconds in (1.5, 3, 5, 7, 9, 12):
            job = self.long_job(3)
            self.wait_for_ranks(job)
            time.sleep(seconds)
            self.assertTrue(job.signal_rank(1, signal.SIGTERM))
            code, errors = self.expect_clean(job)
            self.assertEqual(code, 143, errors)
            if record_file.exists():
                break
        record = json.loads(record_file.read_text())
        self.assertFalse(record["complete"])
        self.assertIn("stopped by signal 15", "\n".join(record["notes"]))


class CheckpointTest(JobTest):
    def states(self) -> list[Path]:
        return list((self.folder / "run").glob("rank-?-of-2.*"))

    def test_of_ranks_that_are_killed_and_go_on(self):
        arguments = verify("gpt2-tied", *tokens(40_000, 16), "--residual")
        want = record_of(arguments, 2)
        saving = [*arguments, "--checkpoint", str(self.folder / "run"), "--every", "0"]
        moments = random.Random(9)
        codes = []
        for _ in range(3):
            job = Job([*saving, "--json", "/dev/null"], 2)
            self.wait_for_ranks(job)
            while not self.states() and job.process.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.3))
            job.signal_rank(moments.randrange(2), signal.SIGKILL)
            codes.append(job.end()[0])
        self.assertTrue(any(codes), "one of three was not done when it was killed")
        self.assertLessEqual(len(self.states()), 4, "a state of each rank, and the one before")
        got = record_of(saving, 2)
        for record in (got, want):
            del record["seconds"], record["environment"]
        self.assertEqual(got, want)
        self.assertFalse((self.folder / "run").exists(), "it is done")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="ranks that are killed, one a job")
    options, rest = parser.parse_known_args()
    globals()["KILLS"] = options.kills
    if why := missing():
        print(f"skipped: {why} ({DEADRAY})")
        return 77
    unittest.main(argv=[sys.argv[0], *rest])
    return 0


if __name__ == "__main__":
    sys.exit(main())
