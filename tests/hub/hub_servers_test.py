#!/usr/bin/env python3
"""The servers of these tests do what the tests rely on."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import nginx_hub
from delaying_proxy import DelayingProxy
from fault_server import Answer, FaultServer, read_folder
from hub_run import MODELS, skip_without
from hub_tree import Tree
from nginx_hub import NginxHub, depth
from sparse_checkpoint import make


def fetch(url: str, part: str = "", certificate: Path | None = None) -> Answer:
    request = urllib.request.Request(url, headers={"Range": f"bytes={part}"} if part else {})
    context = ssl.create_default_context(cafile=str(certificate)) if certificate else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        *([urllib.request.HTTPSHandler(context=context)] if context else []),
    )
    try:
        with opener.open(request, timeout=10) as reply:
            return Answer(reply.status, reply.read(), dict(reply.headers.items()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read(), dict(error.headers.items()))


class NginxTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.big = make(folder / "big")
        tree = Tree(folder / "tree")
        cls.commit = tree.add("org/big", cls.big.folder).commit
        tree.add("org/llama", MODELS / "llama-mha")
        cls.hub = cls.enterClassContext(NginxHub(folder / "nginx", tree, MODELS))

    def test_serves_a_tree_in_the_shape_of_the_hub(self):
        info = json.loads(fetch(f"{self.hub.http}/api/models/org/big/revision/main").body)
        self.assertEqual(info["sha"], self.commit)
        names = {entry["rfilename"] for entry in info["siblings"]}
        self.assertLess({"config.json", "model.safetensors.index.json"}, names)
        shard = sorted(self.big.headers)[2]
        for host, certificate in ((self.hub.http, None), (self.hub.https, self.hub.certificate)):
            got = fetch(f"{host}/org/big/resolve/main/{shard}", "0-7", certificate)
            self.assertEqual((got.status, len(got.body)), (206, 8))
            self.assertEqual(8 + int.from_bytes(got.body, "little"), self.big.headers[shard])
            self.assertEqual(got.headers["X-Repo-Commit"], self.commit)
            self.assertRegex(got.headers["ETag"], '^"[0-9a-f]{64}"$')
        seen = self.hub.requests()[-1]
        self.assertEqual((seen.range, seen.body, seen.authorized), ("bytes=0-7", 8, False))

    def test_tells_apart_what_it_lacks(self):
        for path, code in (
            ("/org/llama/resolve/main/no.json", "EntryNotFound"),
            ("/org/llama/resolve/side/config.json", "RevisionNotFound"),
            ("/api/models/org/llama/revision/side", "RevisionNotFound"),
            ("/api/models/org/none/revision/main", "RepoNotFound"),
        ):
            got = fetch(self.hub.http + path)
            self.assertEqual((got.status, got.headers["X-Error-Code"]), (404, code), path)

    def test_the_checkpoint_is_large_and_takes_no_room(self):
        self.assertGreater(self.big.tensors, 20_000)
        self.assertGreater(self.big.bytes, 59e9)
        taken = sum(512 * file.stat().st_blocks for file in self.big.folder.iterdir())
        self.assertLess(taken, 20e6)


class DelayingProxyTest(unittest.TestCase):
    def test_is_a_round_trip_away(self):
        with (
            FaultServer({"org/model": {"config.json": b"{}"}}) as hub,
            DelayingProxy(hub.port) as proxy,
        ):
            line = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
            for least in (0.1, 0.05, 0.05):  # connecting is one more
                begin = time.monotonic()
                line.request("GET", "/org/model/resolve/main/config.json")
                self.assertEqual(line.getresponse().read(), b"{}")
                taken = time.monotonic() - begin
                self.assertGreaterEqual(taken, least)
                self.assertLess(taken, least + 0.5)
            line.close()

    def test_the_log_tells_dependent_requests_from_parallel_ones(self):
        def request(begin: float, end: float) -> nginx_hub.Request:
            return nginx_hub.Request("GET", "/", 200, "", 0, begin, end, 1, "", False, "", "", "")

        waves = [request(0, 0.001), request(0.002, 0.003), request(0.06, 0.07), request(0.06, 0.2)]
        self.assertEqual(depth(waves, 0.05), 2)
        self.assertEqual(depth([*waves, request(0.25, 0.26)], 0.05), 3)


class FaultServerTest(unittest.TestCase):
    def test_is_a_hub_without_rules(self):
        files = read_folder(MODELS / "llama-mha")
        with FaultServer({"org/llama": files}) as hub:
            info = json.loads(fetch(f"{hub.url}/api/models/org/llama/revision/main").body)
            self.assertEqual({entry["rfilename"] for entry in info["siblings"]}, set(files))
            url = f"{hub.url}/org/llama/resolve/{info['sha']}/model.safetensors"
            self.assertEqual(fetch(url).body, files["model.safetensors"])
            self.assertEqual(fetch(url, "8-19").body, files["model.safetensors"][8:20])
            self.assertEqual(fetch(url, "-7").body, files["model.safetensors"][-7:])

    def test_spoils_what_a_rule_says(self):
        with FaultServer({"org/llama": {"config.json": b"0123456789"}}) as hub:
            hub.rule("config", lambda request, answer: answer.cut(4))
            with self.assertRaises(http.client.IncompleteRead):
                fetch(f"{hub.url}/org/llama/resolve/main/config.json")
            hub.forget()
            hub.rule("config", lambda request, answer: Answer(503))
            self.assertEqual(fetch(f"{hub.url}/org/llama/resolve/main/config.json").status, 503)


if __name__ == "__main__":
    skip_without(nginx_hub.missing())
    unittest.main(verbosity=2)
