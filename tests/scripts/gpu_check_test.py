#!/usr/bin/env python3
"""scripts/gpu_check and scripts/gpu_table without a device and without a build.

What is recorded as passed, failed, skipped, and when.

python3 tests/scripts/gpu_check_test.py
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))
import gpu_machine  # noqa: E402
import gpu_record  # noqa: E402
import gpu_steps  # noqa: E402
import gpu_table  # noqa: E402

DEVICE = {"name": "GPU", "driver_version": "1", "memory.total": "1 MiB", "compute_cap": "9.0"}


class CheckCase(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        self.enterContext(mock.patch.object(gpu_steps, "BUILD", self.folder / "build"))
        self.check = gpu_record.Check(self.folder, budget=60)
        self.addCleanup(self.check.log.close)
        self.check.record["devices"] = [DEVICE]

    def recorded(self) -> dict:
        return json.loads((self.folder / "gpu_check.json").read_text())

    def program(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path


class StepTest(CheckCase):
    def test_each_end_of_a_step_is_on_disk_before_the_next(self):
        def skip():
            raise gpu_record.Skipped("no CUDA device")

        self.assertTrue(self.check.step("a", lambda: {"rows": 3}))
        self.assertEqual(
            [(s["name"], s["status"], s["rows"]) for s in self.recorded()["steps"]],
            [("a", "passed", 3)],
        )
        self.assertFalse(self.check.step("b", skip))
        self.assertFalse(self.check.step("c", lambda: {}["missing"]))
        self.assertEqual(
            [s["status"] for s in self.recorded()["steps"]], ["passed", "skipped", "failed"]
        )
        self.assertEqual(self.recorded()["steps"][1]["reason"], "no CUDA device")

    def test_failing_command_is_named_with_its_last_line(self):
        with self.assertRaisesRegex(gpu_record.Failed, "exit 3 of sh -c .*: what went wrong"):
            self.check.must(["sh", "-c", "echo first; echo what went wrong; exit 3"], 10)
        self.assertIn(
            "first\nwhat went wrong\n[exit 3]", (self.folder / "gpu_check.log").read_text()
        )

    def test_command_beyond_its_limit_is_ended_with_its_children(self):
        mark = self.folder / "alive"
        start = time.monotonic()
        with self.assertRaisesRegex(gpu_record.Failed, "ended after"):
            self.check.run(["sh", "-c", f"(sleep 2; touch {mark}) & wait"], 0.3)
        self.assertLess(time.monotonic() - start, 2)
        time.sleep(2.2)
        self.assertFalse(mark.exists())

    def test_nothing_starts_once_the_budget_is_spent(self):
        self.check.deadline = time.monotonic()
        with self.assertRaisesRegex(gpu_record.Spent, "budget"):
            self.check.run(["touch", self.folder / "started"], 10)
        self.assertFalse((self.folder / "started").exists())
        self.assertFalse(self.check.step("late", lambda: self.check.run(["true"], 10)))
        self.assertEqual(self.recorded()["steps"][-1]["status"], "not run")


class TestsTest(CheckCase):
    def results(self, cases: str):
        def ctest(command, limit, environment=None):
            gpu_steps.BUILD.mkdir(exist_ok=True)
            Path(command[-1]).write_text(f"<testsuite>{cases}</testsuite>")
            return 0, ""

        with mock.patch.object(self.check, "run", ctest):
            return gpu_steps.tests(self.check)

    def test_skipped_is_not_passed(self):
        self.results('<testcase name="a" status="run"/><testcase name="gpu.b" status="notrun"/>')
        self.assertEqual(
            {k: self.check.record["tests"][k] for k in ("passed", "failed", "skipped")},
            {"passed": 1, "failed": 0, "skipped": 1},
        )
        self.assertEqual(self.check.record["tests"]["skipped_names"], ["gpu.b"])

    def test_one_failure_fails_the_step_and_is_named(self):
        with self.assertRaisesRegex(gpu_record.Failed, "1 of 2 tests failed: b"):
            self.results('<testcase name="a" status="run"/><testcase name="b" status="fail"/>')

    def test_no_passed_test_is_a_failure(self):
        with self.assertRaises(gpu_record.Failed):
            self.results('<testcase name="a" status="notrun"/>')


class SanitizersTest(CheckCase):
    def sanitize(self, tool: str):
        self.program(self.folder / "bin" / "compute-sanitizer", tool)
        self.program(gpu_steps.BUILD / "tests" / "x_gpu_test", "")
        with mock.patch.dict(os.environ, {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}):
            return gpu_steps.sanitizers(self.check)

    def test_every_tool_runs_on_every_program_with_small_shapes(self):
        self.sanitize('test "$DEADRAY_SMALL_SHAPES" = 1')
        self.assertEqual(
            self.check.record["sanitizers"],
            {kind: {"x_gpu_test": "passed"} for kind in gpu_steps.SANITIZERS},
        )

    def test_finding_fails(self):
        with self.assertRaisesRegex(gpu_record.Failed, "racecheck x_gpu_test: failed"):
            self.sanitize('test "$2" != racecheck')

    def test_device_that_the_tool_does_not_serve_is_skipped(self):
        with self.assertRaisesRegex(gpu_record.Skipped, "does not serve"):
            self.sanitize("echo Device not supported; exit 1")

    def test_without_a_device_it_says_so(self):
        self.check.record["devices"] = []
        for step in (gpu_steps.sanitizers, gpu_steps.bench):
            with self.assertRaisesRegex(gpu_record.Skipped, "no CUDA device"):
                step(self.check)


class BenchTest(CheckCase):
    def test_rows_measured_before_a_failure_are_kept(self):
        record = {"rows": [{"operation": "copy", "shape": {}, "met": None}]}
        self.program(
            gpu_steps.BUILD / "bin" / "deadray",
            f"echo '{json.dumps(record)}' > $4; echo device lost; exit 7",
        )
        with self.assertRaisesRegex(gpu_record.Failed, "device lost"):
            gpu_steps.bench(self.check)
        self.assertEqual(self.check.record["bench"], record)

    def test_missed_target_is_told_and_no_failure(self):
        record = {
            "rows": [
                {"operation": "copy", "shape": {}, "met": False},
                {"operation": "dgemm", "shape": {}, "met": True},
            ]
        }
        self.program(gpu_steps.BUILD / "bin" / "deadray", f"echo '{json.dumps(record)}' > $4")
        self.assertEqual(gpu_steps.bench(self.check), {"rows": 2, "targets_missed": ["copy {}"]})


class EnvironmentTest(unittest.TestCase):
    def test_architecture_is_the_devices_own(self):
        for capability, expected in (
            ("8.0", "80-real"),
            ("9.0", "90a-real"),
            ("10.0", "100a-real"),
        ):
            self.assertEqual(
                gpu_machine.architecture([{**DEVICE, "compute_cap": capability}]), expected
            )
        self.assertEqual(gpu_machine.architecture([]), "90a-real")

    def test_commit_of_a_tree_without_git_is_the_bundles(self):
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(gpu_machine, "ROOT", Path(folder)),
        ):
            self.assertEqual(gpu_machine.commit(), "unknown")
            (Path(folder) / ".bundle").mkdir()
            (Path(folder) / ".bundle" / "commit").write_text("abc\n")
            self.assertEqual(gpu_machine.commit(), "abc")


class TableTest(unittest.TestCase):
    def test_says_what_is_not_measured(self):
        rows = [
            {
                "operation": "copy",
                "shape": {"bytes": 8},
                "dtype": "bytes",
                "seconds": None,
                "target": None,
            },
            {
                "operation": "eigh",
                "shape": {"n": 4},
                "dtype": "float64",
                "seconds": 0.25,
                "target": "fast",
                "met": False,
            },
        ]
        lines = gpu_table.table(rows).splitlines()
        self.assertIn("not measured yet", lines[2])
        self.assertIn("250.000 ms", lines[3])
        self.assertIn("**no**", lines[3])


if __name__ == "__main__":
    unittest.main()
