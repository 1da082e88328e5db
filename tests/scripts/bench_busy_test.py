#!/usr/bin/env python3
"""scripts/lib/bench_busy.py: its arithmetic, its table, and that no busy loop outlives it.

The program that it measures is a shell script of the test.

python3 tests/scripts/bench_busy_test.py
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))
import bench_busy
from bench_busy import Row, Run, account, busy_loops, busy_seconds, fair_share, table

LIBRARY = Path(bench_busy.__file__).parent
RECORD = {
    "schema": "deadray/verify/1",
    "seconds": {"forward": 3.0, "moments": 1.0, "total": 4.5},
    "environment": {"threads": 2, "commit": "abc"},
}
# Writes the record where it is asked for it.
DEADRAY = """#!/bin/sh
while [ "$1" != --json ]; do shift; done
cat > "$2" <<'END'
{record}
END
{then}
"""


def runs(pid: int) -> bool:
    """Not so once it has ended, whether or not anyone has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def wait_until(holds, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not (so := holds()) and time.monotonic() < end:
        time.sleep(0.02)
    return so


class ArithmeticTest(unittest.TestCase):
    def test_the_fair_share_is_that_of_all_threads_on_all_cores(self) -> None:
        self.assertEqual([fair_share(2, loops, 2) for loops in (0, 1, 4)], [1.0, 1.5, 3.0])
        self.assertEqual(fair_share(1, 1, 2), 1.0, "there is a core for each")

    def test_an_account_is_a_records_seconds(self) -> None:
        self.assertEqual(account(RECORD), {"forward": 3.0, "moments": 1.0, "rest": 0.5})
        rows = [{"method": "eigh", "d": 64, "seconds": 0.5}]
        self.assertEqual(
            account({"schema": "deadray/timing/1", "rows": rows}), {"eigh, d = 64": 0.5}
        )

    def test_busy_seconds_leave_out_waiting_and_what_was_stolen(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            stat = Path(folder) / "stat"
            stat.write_text("cpu  100 10 20 5000 600 3 7 9000 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
            self.assertEqual(busy_seconds(stat), 140 / os.sysconf("SC_CLK_TCK"))
            stat.write_text("intr 5\n")
            self.assertIsNone(busy_seconds(stat))
            self.assertIsNone(busy_seconds(Path(folder) / "none"))

    def test_the_table_has_a_line_for_each_command_and_part(self) -> None:
        quiet, beside = (
            Run(seconds, 0.0, {"forward": seconds / 2, "invariance": 0.0}, 2, "abc")
            for seconds in (2.0, 5.0)
        )
        text = table([Row("verify", "deadray", {0: quiet, 4: beside})], [4], cores=2)
        lines = [line.split() for line in text.splitlines()]
        self.assertEqual(lines[1], ["verify", "deadray", "2", "5", "2.50", "3"])
        self.assertEqual(lines[2:], [["forward", "deadray", "1", "2.5", "2.50", "3"]])


class LoopsTest(unittest.TestCase):
    def test_end_with_the_block(self) -> None:
        with busy_loops(2) as loops:
            self.assertEqual([loop.poll() for loop in loops], [None, None])
        self.assertNotIn(None, [loop.returncode for loop in loops])

    def test_end_with_a_block_that_fails(self) -> None:
        with self.assertRaises(KeyboardInterrupt), busy_loops(1) as loops:
            raise KeyboardInterrupt
        self.assertIsNotNone(loops[0].returncode)

    def test_end_after_a_program_that_was_killed(self) -> None:
        code = (
            f"import sys, time; sys.path.insert(0, {str(LIBRARY)!r}); import bench_busy\n"
            "with bench_busy.busy_loops(1) as loops:\n"
            "    print(loops[0].pid, flush=True); time.sleep(600)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as program:
            loop = int(program.stdout.readline())
            self.assertTrue(runs(loop))
            program.kill()
        self.assertTrue(wait_until(lambda: not runs(loop)))


class ScriptTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def command(self, then: str = "", *more: str | Path) -> list[str | Path]:
        program = self.folder / "deadray"
        program.write_text(DEADRAY.format(record=json.dumps(RECORD), then=then))
        program.chmod(0o755)
        script = [sys.executable, LIBRARY / "bench_busy.py", "--deadray", program]
        return [*script, "--model", self.folder, "--only", "verify", *more]

    def test_measures_both_builds_quiet_and_beside_the_loops(self) -> None:
        record = self.folder / "busy.json"
        # 1 is the exit code of a prediction that was refuted
        more = ["--against", self.folder / "deadray", "--beside", "1", "--json", record]
        done = subprocess.run(self.command("exit 1", *more), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("verify", "forward", "moments"):
            self.assertEqual(done.stdout.count(words), 2, done.stdout)
        rows = json.loads(record.read_text())["rows"]
        self.assertEqual([row["program"] for row in rows], ["deadray", "against"])
        for row in rows:
            self.assertEqual(list(row["runs"]), ["0", "1"])
            self.assertEqual(row["runs"]["1"]["account"], account(RECORD))

    def test_replaces_records_alone(self) -> None:
        file = self.folder / "config.json"
        for text, code in (('{"model_type": "gpt2"}', 2), ('{\n  "schema": "deadray/busy/1"}', 0)):
            file.write_text(text)
            command = self.command("exit 8", "--beside", "1", "--repetitions", "1", "--json", file)
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(file.read_text() == text, code == 2)

    def test_says_why_a_command_failed(self) -> None:
        done = subprocess.run(
            self.command("echo 'deadray: no memory' >&2; exit 6", "--beside", "1"),
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 6)
        self.assertIn("deadray: no memory", done.stderr)

    def test_no_process_outlives_a_stop(self) -> None:
        for stop, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(stop):
                # the second run is the one beside the loops; it waits
                then = 'if mkdir "$0.ran"; then exit 0; else exec sleep 600; fi 2>/dev/null'
                script = subprocess.Popen(
                    self.command(then, "--beside", "3"), stderr=subprocess.DEVNULL
                )
                self.assertTrue(wait_until(lambda pid=script.pid: len(children(pid)) == 4))
                started = children(script.pid)
                script.send_signal(stop)
                self.assertEqual(script.wait(timeout=30), code)
                self.assertTrue(wait_until(lambda pids=started: not any(map(runs, pids))))
                (self.folder / "deadray.ran").rmdir()


if __name__ == "__main__":
    unittest.main()
