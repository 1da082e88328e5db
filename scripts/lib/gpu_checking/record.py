"""Runs the steps of scripts/gpu_check and keeps their record: what passed, failed, was skipped."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from gpu_checking.machine import ROOT
from tool import write_whole


class Skipped(Exception):
    """A step that has nothing to do here, and why."""


class Spent(Skipped):
    """A step that the time budget left no room for: the check is not complete."""


class Failed(Exception):
    """A step that did not do what it must: one line."""


GRACE = 60  # seconds to end in, beyond a budget


def end(process: subprocess.Popen) -> None:
    """Ends a process with its children."""
    os.killpg(process.pid, signal.SIGTERM)  # a benchmark then writes what it has
    try:
        process.wait(timeout=GRACE)  # the row that it is at may take so long
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Check:
    """The record, its log, and the time that is left. The record is written after every step.

    Steps and commands may run side by side, in threads.
    """

    def __init__(self, out: Path, budget: float):
        self.out = out
        self.deadline = time.monotonic() + budget
        self.log = (out / "gpu_check.log").open("w", buffering=1)
        self.lock = threading.RLock()
        self.record: dict = {
            "schema": "deadray/gpu-check/1",
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "steps": [],
        }

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self.write(text + "\n")

    def write(self, text: str) -> None:
        with self.lock:
            self.log.write(text)

    def save(self) -> None:
        with self.lock:
            write_whole(
                self.out / "gpu_check.json",
                lambda stream: stream.write((json.dumps(self.record, indent=2) + "\n").encode()),
            )

    def run(
        self, command: list, limit: float, environment: dict | None = None, label: str = ""
    ) -> tuple[int, str]:
        """Returns exit code and output; the output goes to the log as it comes.

        A command beyond its limit, or the budget's, is ended with its children and raises Failed.
        `label` goes before each line of a command that runs beside others.
        """
        label = label and f"{label}: "
        words = [str(word) for word in command]
        limit = min(limit, self.deadline - time.monotonic())
        if limit <= 0:
            raise Spent("the time budget is spent")
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.write(f"\n{label}$ {shlex.join(words)}\n")
        lines: list[str] = []

        def read() -> None:
            for line in process.stdout:
                lines.append(line)
                self.write(label + line)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        late = False
        try:
            process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            late = True
            end(process)
        reader.join(timeout=5)  # a grandchild that lives on may hold the pipe
        self.write(f"{label}[exit {process.returncode}]\n")
        if late:
            raise Failed(f"ended after {limit:.0f} s: {shlex.join(words)[:100]}")
        return process.returncode, "".join(lines)

    def must(self, command: list, limit: float, environment: dict | None = None) -> str:
        code, output = self.run(command, limit, environment)
        if code:
            last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
            raise Failed(f"exit {code} of {shlex.join(map(str, command))[:100]}: {last[:200]}")
        return output

    def step(self, name: str, work: Callable[[], dict | None]) -> bool:
        """Runs `work`, which returns what its step adds to the record. False unless it passed."""
        self.say(f"{name} …")
        start, entry = time.monotonic(), {"name": name, "status": "passed"}
        try:
            entry.update(work() or {})
        except Spent as reason:
            entry.update(status="not run", reason=str(reason))
        except Skipped as reason:
            entry.update(status="skipped", reason=str(reason))
        except Failed as reason:
            entry.update(status="failed", reason=str(reason))
        except Exception as error:
            # A record that does not look as expected, a program that is not there.
            entry.update(status="failed", reason=f"{type(error).__name__}: {error}"[:300])
        entry["seconds"] = round(time.monotonic() - start, 2)
        with self.lock:
            self.record["steps"].append(entry)
        self.say(
            f"{name}: {entry['status']} in {entry['seconds']:.1f} s"
            + (f": {entry['reason']}" if "reason" in entry else "")
        )
        self.save()
        return entry["status"] == "passed"
