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
import gpu_check  # noqa: E402
import gpu_table  # noqa: E402
from gpu_checking import bench as gpu_bench  # noqa: E402
from gpu_checking import machine as gpu_machine  # noqa: E402
from gpu_checking import programs as gpu_programs  # noqa: E402
from gpu_checking import record as gpu_record  # noqa: E402
from gpu_checking import steps as gpu_steps  # noqa: E402

DEVICE = {"name": "GPU", "driver_version": "1", "memory.total": "1 MiB", "compute_cap": "9.0"}


class CheckCase(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        self.enterContext(mock.patch.object(gpu_programs, "BUILD", self.folder / "build"))
        self.enterContext(mock.patch.object(gpu_programs, "CARRIED", self.folder / "carried"))
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

    def test_output_is_in_the_log_as_it_comes(self):
        log = self.folder / "gpu_check.log"
        self.check.run(["sh", "-c", f"echo first; sleep 0.2; cp {log} {self.folder / 'then'}"], 10)
        self.assertIn("first\n", (self.folder / "then").read_text())

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
            gpu_programs.BUILD.mkdir(exist_ok=True)
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


class ProgramsTest(CheckCase):
    NAMES = ("head_fisher", "norm_recompute")

    def setUp(self):
        super().setUp()
        self.enterContext(mock.patch.object(gpu_programs, "OURS_ALONE", ("norm_recompute",)))

    def sanitize(self, tool: str, step=gpu_steps.sanitizers):
        self.program(self.folder / "bin" / "compute-sanitizer", tool)
        for name in self.NAMES:
            self.program(gpu_programs.BUILD / "tests" / f"{name}_gpu_test", "")
        with mock.patch.dict(os.environ, {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}):
            return step(self.check)

    def test_every_tool_watches_our_kernels_alone_but_initcheck_all_where_all_are_ours(self):
        self.sanitize(
            'case "$*" in *"--tool initcheck"*) case "$*" in *kns=*) exit 1;; esac;;'
            ' *"--kernel-name kns=deadray"*) ;; *) exit 1;; esac; test "$DEADRAY_SMALL_SHAPES" = 1'
        )
        both = {f"{name}_gpu_test": "passed" for name in self.NAMES}
        self.assertEqual(
            self.check.record["sanitizers"],
            {
                "memcheck": both,
                "racecheck": both,
                "synccheck": both,
                "initcheck": {"norm_recompute_gpu_test": "passed"},
            },
        )

    def test_finding_fails(self):
        with self.assertRaisesRegex(gpu_record.Failed, "racecheck head_fisher_gpu_test: failed"):
            self.sanitize('test "$2" != racecheck')

    def test_device_that_the_tool_does_not_serve_is_skipped(self):
        with self.assertRaisesRegex(gpu_record.Skipped, "does not serve"):
            self.sanitize("echo Device not supported; exit 1")

    def test_without_a_device_it_says_so(self):
        self.check.record["devices"] = []
        for step in (gpu_steps.sanitizers, gpu_steps.bench, gpu_steps.quick, gpu_steps.device):
            with self.assertRaisesRegex(gpu_record.Skipped, "no CUDA device"):
                step(self.check)

    def test_a_failing_program_stops_no_other(self):
        folder = gpu_programs.BUILD / "tests"
        self.program(folder / "a_gpu_test", "exit 1")
        self.program(folder / "b_gpu_test", "exit 0")
        self.program(folder / "backend_test", "exit 0")
        with self.assertRaisesRegex(gpu_record.Failed, "a_gpu_test: failed"):
            gpu_steps.device(self.check)
        self.assertEqual(
            self.check.record["device_tests"],
            {
                "full": {"a_gpu_test": "failed", "b_gpu_test": "passed"},
                "alone": {"backend_test": "passed"},
            },
        )

    def test_skipped_is_not_passed(self):
        self.program(gpu_programs.BUILD / "tests" / "a_gpu_test", "exit 77")
        with self.assertRaisesRegex(gpu_record.Failed, "a_gpu_test: skipped"):
            gpu_steps.device(self.check)

    def test_carried_programs_are_told_where_this_machines_libraries_are(self):
        program = self.program(gpu_programs.CARRIED / "bin" / "deadray", "")
        self.assertEqual(gpu_programs.built(), gpu_programs.CARRIED)
        with mock.patch.object(gpu_programs, "torch_folder", lambda: Path("/site/torch")):
            variables = gpu_programs.environment(program)
        self.assertTrue(
            variables["LD_LIBRARY_PATH"].startswith("/site/torch/lib:/site/nvidia/cu13/lib")
        )
        self.assertTrue(variables["DEADRAY_KERNELS"].endswith("carried/bin/libdeadray_cuda.so"))
        here = self.program(gpu_programs.BUILD / "bin" / "deadray", "")
        self.assertEqual(gpu_programs.built(), gpu_programs.BUILD)
        self.assertEqual(gpu_programs.environment(here), {})


class CallsTest(unittest.TestCase):
    def test_calls_are_made_of_steps(self):
        for turns in gpu_check.CALLS.values():
            for turn in turns:
                self.assertLessEqual(set(turn), set(gpu_steps.STEPS))


class BenchTest(CheckCase):
    def measure(self, script: str):
        self.program(gpu_programs.BUILD / "bin" / "deadray", script)
        return gpu_steps.bench(self.check)

    def test_an_error_ends_its_own_part_alone(self):
        # $4 is the record's file, $6 the filter.
        row = '{"operation": "\'$6\'", "shape": {}, "met": null}'
        with self.assertRaisesRegex(gpu_record.Failed, "head_fisher.*device lost"):
            self.measure(
                f"echo '{{\"rows\": [{row}]}}' > $4;"
                'case "$6" in *head_fisher*) echo device lost; exit 7;; esac'
            )
        self.assertEqual(
            [row["operation"] for row in self.check.record["bench"]["rows"]],
            list(gpu_bench.FILTERS),
        )

    def test_missed_target_is_told_and_no_failure(self):
        record = {
            "rows": [
                {"operation": "copy", "shape": {}, "met": False},
                {"operation": "dgemm", "shape": {}, "met": True},
            ]
        }
        self.assertEqual(
            self.measure(f"echo '{json.dumps(record)}' > $4"),
            {"rows": 2, "targets_missed": ["copy {}"]},
        )


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
