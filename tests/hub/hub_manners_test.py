#!/usr/bin/env python3
"""Manners towards hubs: how often and when they are asked again, and where the token goes."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import unittest
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import nginx_hub
from fault_server import Answer, FaultServer, redirect_to
from hub_faults import API, CONFIG, HTML, NAME, SINGLE, WEIGHTS, always, first
from hub_run import DEADRAY, SECRET, Home, faults_of_caches, missing, skip_without


class SlowRetriesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_five_tries_and_no_more(self):
        with FaultServer({NAME: SINGLE}) as hub:
            hub.rule(API, always(Answer(503)))
            ended = Home(self.folder, hub.url).run("predict", NAME)
            self.assertEqual(ended.code, 5)
            times = [r.time for r in hub.requests if r.path.startswith(API)]
        self.assertEqual(len(times), 5)
        waits = [after - before for before, after in zip(times, times[1:], strict=False)]
        self.assertTrue(all(w > 0.1 for w in waits), waits)
        self.assertGreater(waits[-1], waits[0])

    def test_waits_as_long_as_it_is_told(self):
        for header in ("1", None):
            with FaultServer({NAME: SINGLE}) as hub, self.subTest(header):
                until = formatdate(int(time.time()) + 3, usegmt=True)
                busy = Answer(429, headers={"Retry-After": header or until})
                hub.rule(CONFIG, first(1, busy))
                home = Home(self.folder / str(header), hub.url)
                ended = home.run("predict", NAME)
                self.assertEqual(ended.code, 0, ended.err)
                self.assertRegex(ended.err, r"asks to wait [0-9.]+ s \(status 429\)")
                times = [r.time for r in hub.requests if r.path.endswith(CONFIG)]
                self.assertGreater(times[1] - times[0], 0.95)
                self.assertLess(times[1] - times[0], 6)

    def test_a_server_that_is_not_there(self):
        home = Home(self.folder, "http://127.0.0.1:9")
        ended = home.run("predict", NAME, limit=15)
        self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
        self.assertIn("127.0.0.1:9", ended.err)

    def test_a_proxy_that_is_not_there_is_named(self):
        home = Home(self.folder, "http://hub.invalid")
        ended = home.run("predict", NAME, limit=15, http_proxy="http://127.0.0.1:9")
        self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
        self.assertIn("http_proxy", ended.err)


class OtherHostsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_the_token_is_dropped_on_the_way_to_another_host(self):
        with FaultServer({NAME: SINGLE}) as hub, FaultServer({NAME: SINGLE}) as other:
            hub.rule(WEIGHTS, lambda r, a: redirect_to(other.url + r.path))
            home = Home(self.folder, hub.url)
            ended = home.run("predict", NAME, HF_TOKEN=SECRET)
            self.assertEqual(ended.code, 0, ended.err)
            self.assertGreater(len(other.requests), 0)
            for request in other.requests:  # another port is another host
                self.assertNotIn(SECRET, str(request.headers))
            for request in hub.requests:
                self.assertEqual(request.authorization, f"Bearer {SECRET}")

    def test_the_token_file_and_what_turns_it_off(self):
        file = self.folder / "hf/token"
        file.parent.mkdir(parents=True)
        file.write_text(SECRET + "\n")
        for more, sent in (({}, True), ({"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, False)):
            with FaultServer({NAME: SINGLE}) as hub:
                home = Home(self.folder, hub.url)
                ended = home.run(
                    "predict", NAME, DEADRAY_CACHE=str(self.folder / str(sent)), **more
                )
                self.assertEqual(ended.code, 0, ended.err)
                seen = {r.authorization for r in hub.requests}
                self.assertEqual(seen, {f"Bearer {SECRET}" if sent else None})

    def test_the_token_is_on_no_command_line(self):
        """Of deadray and of all that it starts, while they run."""
        with FaultServer({NAME: SINGLE}) as hub:
            hub.rule("", lambda r, a: replace(a, wait=0.3))
            home = Home(self.folder, hub.url)
            process = home.start(DEADRAY, ["predict", NAME], HF_TOKEN=SECRET)
            lines, programs = [], set()
            while process.poll() is None:
                for entry in Path("/proc").glob("[0-9]*"):
                    try:
                        if os.getpgid(int(entry.name)) == process.pid:
                            lines.append((entry / "cmdline").read_bytes())
                            programs.add((entry / "comm").read_text().strip())
                    except (OSError, ValueError):
                        continue
                time.sleep(0.02)
            out, err = process.communicate()
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("deadray-hub", programs)
        self.assertFalse([line for line in lines if SECRET.encode() in line])
        kept = [f for f in self.folder.rglob("*") if f.is_file()]
        self.assertFalse([f for f in kept if SECRET.encode() in f.read_bytes()])
        self.assertNotIn(SECRET, out + err)

    def test_from_https_to_http_is_refused(self):
        if nginx_hub.missing() == "no openssl":
            self.skipTest("no openssl")
        certificate = nginx_hub.make_certificate(self.folder)
        pair = (certificate, self.folder / "key.pem")
        with FaultServer({NAME: SINGLE}, pair) as hub, FaultServer({NAME: SINGLE}) as plain:
            home = Home(self.folder / "home", hub.url, certificate)
            self.assertEqual(home.run("predict", NAME).code, 0)
            hub.rule(WEIGHTS, lambda r, a: redirect_to(plain.url + r.path))
            ended = home.run("predict", NAME, DEADRAY_CACHE=str(self.folder / "new"))
            self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
            self.assertEqual(plain.requests, [])
            bare = Home(self.folder / "bare", hub.url)
            ended = bare.run("predict", NAME, limit=15)
            self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended.err)
            self.assertRegex(ended.err, "(?i)certificate")

    def test_faults_of_addresses(self):
        for name, rule, code in (
            ("404", always(Answer(404)), 5),
            ("HTML", always(HTML), 3),
            ("loop", lambda r, a: redirect_to(r.path), 5),
            ("empty", always(Answer(200)), 3),
        ):
            with self.subTest(name), FaultServer({NAME: SINGLE}) as hub:
                hub.rule(WEIGHTS, rule)
                home = Home(self.folder / name, hub.url)
                ended = home.run("predict", f"{hub.url}/{NAME}/resolve/main/model.safetensors")
                self.assertEqual((ended.code, ended.err.count("\n")), (code, 1), ended.err)
                self.assertEqual(faults_of_caches(home), [])


class UsageTest(unittest.TestCase):
    def test_names_that_are_none(self):
        with tempfile.TemporaryDirectory() as folder, FaultServer({NAME: SINGLE}) as hub:
            home = Home(Path(folder), hub.url)
            for name in (
                "org/../x",
                "org/a b",
                "org/model@",
                "org/model@a..b",
                "org/m\x1b[2J",
                "org/..",
            ):
                ended = home.run("predict", name)
                self.assertIn(ended.code, (2, 3, 5), name)
                self.assertEqual(ended.err.count("\n"), 1, ended.err)
                self.assertNotIn("\x1b", ended.err)
            self.assertEqual([r.path for r in hub.requests if "/.." in r.path], [])


if __name__ == "__main__":
    skip_without(missing())
    unittest.main(verbosity=2)
