#!/usr/bin/env python3
"""Every failure of a hub: one line, the right exit code, in time, and nothing half written.

DEADRAY_HUB_FAULT=gated DEADRAY_HUB_SHOW=1 DEADRAY=build/release/bin/deadray hub_faults_test.py
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fault_server import Answer, FaultServer
from hub_faults import FAULTS, NAME, SINGLE, Fault, always
from hub_run import (
    SECRET,
    Ended,
    Home,
    comparable,
    faults_of_caches,
    missing,
    skip_without,
    snapshot_of,
)


class FaultsTest(unittest.TestCase):
    """Each with a server and caches of its own; several at a time, most of which wait."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.lock = threading.Lock()
        self.right: dict[str, dict] = {}

    def local(self, files: dict[str, bytes]) -> dict:
        key = str(sorted((name, hash(data)) for name, data in files.items()))
        with self.lock:
            if key not in self.right:
                folder = self.folder / f"files{len(self.right)}"
                folder.mkdir()
                for name, data in files.items():
                    (folder / name).write_bytes(data)
                paths = {name: folder / name for name in files}
                snapshot = snapshot_of(folder / "local", NAME, "0" * 40, paths)
                home = Home(folder / "home", "http://127.0.0.1:9")
                self.right[key] = comparable(home.record("predict", str(snapshot)))
            return self.right[key]

    def check(self, fault: Fault) -> list[str]:
        """What is wrong, for the whole list to be seen at once."""
        files = fault.files or SINGLE
        wrong = []
        folder = self.folder / fault.name.replace(" ", "-").replace("/", "-")
        with FaultServer({NAME: files}) as hub:
            for path, rule in fault.rules:
                hub.rule(path, rule)
            home = Home(folder, hub.url)
            more = {"HF_TOKEN": SECRET} | (fault.more or {})
            try:
                ended = home.run("predict", fault.model, "--json", "-", limit=fault.limit, **more)
            except AssertionError as error:
                return [f"{fault.name}: {error}"]
            wrong += self.complaints(fault, ended, files)
            wrong += faults_of_caches(home, files)
            wrong += self.outside(home)
            if fault.code not in (0, 2):
                hub.forget()
                again = home.run("predict", NAME, "--json", "-", limit=30)
                if again.code or comparable(again.record) != self.local(files):
                    wrong.append(f"afterwards, without it: {again.code} {again.err}")
            hub.rule("", always(Answer(500)))
        return [f"{fault.name}: {text}" for text in wrong]

    def complaints(self, fault: Fault, ended: Ended, files: dict[str, bytes]) -> list[str]:
        wrong = []
        if os.environ.get("DEADRAY_HUB_SHOW"):
            print(
                f"{fault.name}: {ended.code} {ended.seconds:.1f} s {ended.err}",
                file=sys.stderr,
                end="" if ended.err else "\n",
            )
        if SECRET in ended.out + ended.err:
            wrong.append("the token is shown")
        if ended.code != fault.code:
            wrong.append(f"exit code {ended.code}, not {fault.code}: {ended.err}")
        elif fault.code == 0:
            if comparable(ended.record) != self.local(files):
                wrong.append("another record")
        else:
            line = ended.err
            if not line.startswith("deadray: ") or line.count("\n") != 1 or not line.endswith("\n"):
                wrong.append(f"not one line: {line!r}")
            if not re.search(fault.says, line, re.IGNORECASE):
                wrong.append(f"says nothing of {fault.says}: {line}")
            if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in line[:-1]):
                wrong.append(f"control characters: {line!r}")
            if ended.out:
                wrong.append(f"output: {ended.out[:80]!r}")
        return wrong

    def outside(self, home: Home) -> list[str]:
        """Files that no name from far away may make."""
        allowed = {"hf", "deadray"}
        return [f"made {path}" for path in home.folder.iterdir() if path.name not in allowed] + [
            f"made {path}" for path in (self.folder / "x", self.folder / "b.json") if path.exists()
        ]

    def test_of_all(self):
        chosen = os.environ.get("DEADRAY_HUB_FAULT", "")
        faults = [fault for fault in FAULTS if chosen in fault.name]
        with ThreadPoolExecutor(6) as pool:
            wrong = [text for found in pool.map(self.check, faults) for text in found]
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))


if __name__ == "__main__":
    skip_without(missing())
    unittest.main(verbosity=2)
