#!/usr/bin/env python3
"""verify, fisher and suite of a name: refused without --download, with it the records of local
files. Skipped where deadray-verify is not built."""

from __future__ import annotations

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fault_server import FaultServer
from hub_faults import NAME
from hub_faults import SINGLE as FILES
from hub_run import DEADRAY, Home, comparable, faults_of_caches, missing, skip_without

MEASURED = {
    "verify": ("--random-tokens", "256", "--sequence-length", "16"),
    "fisher": ("--random-tokens", "64", "--sequence-length", "16"),
}


class DownloadedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.hub = self.enterContext(FaultServer({NAME: FILES}))
        self.home = Home(self.folder, self.hub.url)

    def test_without_the_option_nothing_comes(self):
        for command, options in MEASURED.items():
            ended = self.home.run(command, NAME, *options)
            self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
            self.assertIn(f"deadray {command} {NAME} --download", ended.err)
            self.assertIn(f"hf download {NAME}", ended.err)
        self.assertEqual(self.hub.requests, [])

    def test_records_are_those_of_local_files(self):
        for command, options in MEASURED.items():
            record = self.home.record(command, NAME, *options, "--download")
            self.assertEqual(record["model"]["hub"]["repository"], NAME)
            (snapshot,) = (self.home.hf / "models--org--model/snapshots").iterdir()
            local = self.home.record(command, str(snapshot), *options)
            self.assertEqual(comparable(record), comparable(local), command)
        asked = len(self.hub.requests)
        self.home.record("verify", NAME, *MEASURED["verify"], "--download")
        self.assertEqual(len(self.hub.requests), asked, "what is in the cache is not asked for")
        self.assertEqual(faults_of_caches(self.home, FILES), [])

    def test_of_a_suite(self):
        roster = self.folder / "roster.json"
        config = json.loads(FILES["config.json"])
        row = {"name": "one", "hf_id": NAME, "sequence_length": 16, "config": config}
        roster.write_text(json.dumps({"schema": "deadray/roster/1", "models": [row]}))
        suite = ("suite", str(roster), "--init", "checkpoint", "--random-tokens", "256", "--out")
        without = self.home.run(*suite, str(self.folder / "without"))
        self.assertEqual(without.code, 5, without.err)
        self.assertEqual(self.hub.requests, [])
        ended = self.home.run(*suite, str(self.folder / "out"), "--download")
        self.assertEqual(ended.code, 0, ended.err)
        record = json.loads((self.folder / "out/one.checkpoint.json").read_text())
        self.assertTrue(record["complete"])


if __name__ == "__main__":
    skip_without(
        missing(),
        "" if DEADRAY.with_name("deadray-verify").exists() else "deadray-verify is not built",
    )
    unittest.main()
