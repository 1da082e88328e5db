#!/usr/bin/env python3
"""Predictions of models that a real nginx serves: the same records as of local files, and what
nginx's log counts of bytes, requests, round trips and tokens."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import nginx_hub
from delaying_proxy import DelayingProxy
from hub_run import (
    DEADRAY,
    GGUF_MODELS,
    HUB,
    MODELS,
    SAMPLES,
    SECRET,
    Home,
    comparable,
    faults_of_caches,
    missing,
    skip_without,
    snapshot_of,
)
from hub_tree import Tree
from nginx_hub import NginxHub, Request, depth
from sparse_checkpoint import make

ROUND_TRIP, FAR = 0.05, 0.5
A_SHARD = 64 * 1024  # bytes that a prediction may read of each beyond header and norms
PYTORCH = MODELS.parent / "containers/pytorch"
# One of each family and container, sharded ones among them.
FIXTURES = {
    "org/gpt2-sharded": MODELS / "gpt2-sharded",
    "org/gpt2-tied": MODELS / "gpt2-tied",
    "org/bert": MODELS / "bert-pooler",
    "org/llama": MODELS / "llama-mha",
    "org/gpt-neox": MODELS / "gpt-neox-parallel",
    "org/gemma2": MODELS / "gemma2",
    "org/olmo": MODELS / "olmo-plain",
    "org/vit": MODELS / "vit-pooler",
    "org/qwen3-moe": MODELS / "qwen3-moe",
    "org/gpt2-bin": PYTORCH / "gpt2-tied",
    "org/gpt2-bin-shards": PYTORCH / "gpt2-shards",
    "org/bert-bin": PYTORCH / "bert-pooler",
    "org/gpt2-gguf": GGUF_MODELS / "gpt2.gguf",
}


def weights(requests: list[Request]) -> list[Request]:
    """Those that brought bytes of weights."""
    ends = (".safetensors", ".bin", ".gguf")
    return [r for r in requests if r.uri.endswith(ends) and r.status in (200, 206)]


class NginxCase(unittest.TestCase):
    redirect = False

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.big = make(cls.folder / "big")
        cls.tree = Tree(cls.folder / "tree")
        cls.tree.add("org/big", cls.big.folder)
        served = FIXTURES | {
            f"samples/{path.name}": path for path in sorted(SAMPLES.glob("*/")) if path.is_dir()
        }
        cls.names = [name for name, path in served.items() if path.exists()]
        for name in cls.names:
            cls.tree.add(name, served[name])
        cls.tree.add("org/steps", MODELS / "gpt2-tied")
        cls.tree.add("org/steps", MODELS / "gpt2-untied", "step1", tag=True)
        cls.tree.add("org/steps", MODELS / "gpt2-tied", "refs/pr/1")
        cls.hub = cls.enterClassContext(
            NginxHub(cls.folder / "nginx", cls.tree, MODELS, cls.redirect)
        )

    def home(self, endpoint: str = "") -> Home:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.hub.forget()
        return Home(folder, endpoint or self.hub.http, self.hub.certificate)

    def local_record(self, name: str, *options: str, revision: str = "main") -> dict:
        """Of the same files, read where they lie."""
        repository = self.tree.repositories[name]
        commit = repository.refs[revision]
        files = {key: file.path for key, file in repository.commits[commit].items()}
        snapshot = snapshot_of(self.folder / "local", name, commit, files)
        home = Home(self.folder / "nowhere", "http://127.0.0.1:9")
        return home.record("predict", str(snapshot), *options)


class SameRecordsTest(NginxCase):
    def test_as_of_local_files(self):
        self.assertGreaterEqual(len(self.names), 12)
        home = self.home()
        for name in self.names:
            with self.subTest(name):
                record = home.record("predict", name)
                self.assertEqual(comparable(record), comparable(self.local_record(name)))
                hub = record["model"]["hub"]
                commit = self.tree.repositories[name].commit
                self.assertEqual((hub["repository"], hub["commit"]), (name, commit))
                self.assertEqual((hub["revision"], hub["endpoint"]), ("main", self.hub.http))
        self.assertEqual(faults_of_caches(home), [])

    def test_of_a_census(self):
        home = self.home()
        for name in ("org/gpt2-tied", "org/gpt2-sharded"):
            ended = home.run("census", name, "--json", "-")
            self.assertEqual(ended.code, 0, ended.err)
            repository = self.tree.repositories[name]
            local = self.folder / "local" / f"models--{name.replace('/', '--')}/snapshots"
            self.local_record(name)
            own = home.run("census", str(local / repository.commit), "--json", "-")
            self.assertEqual(comparable(ended.record), comparable(own.record))

    def test_of_several_revisions(self):
        home = self.home()
        for revision in ("main", "step1", "refs/pr/1"):
            record = home.record("predict", f"org/steps@{revision}")
            local = self.local_record("org/steps", revision=revision)
            self.assertEqual(comparable(record), comparable(local), revision)
            self.assertEqual(record["model"]["hub"]["revision"], revision)
        commit = self.tree.repositories["org/steps"].refs["step1"]
        record = home.record("predict", f"org/steps@{commit}")
        self.assertEqual(record["model"]["hub"]["commit"], commit)

    def test_of_addresses(self):
        for path in ("llama-mha/model.safetensors", "gpt2-tied/model.safetensors"):
            home = self.home()
            record = home.record("predict", f"{self.hub.files}/{path}")
            local = home.record("predict", str(MODELS / path))
            self.assertEqual(record["sites"], local["sites"])
            self.assertEqual(record["totals"], local["totals"])
            self.hub.forget()
            again = home.record("predict", f"{self.hub.files}/{path}")
            self.assertEqual(again["sites"], record["sites"])
            asked = [r.status for r in self.hub.requests()]
            self.assertEqual(asked, [304], "one conditional request")

    def test_an_address_of_a_model_in_gguf(self):
        tree = Tree(self.folder / "gguf-tree")
        with NginxHub(self.folder / "nginx-gguf", tree, GGUF_MODELS) as hub:
            home = self.home(hub.http)
            record = home.record("predict", f"{hub.files}/llama.gguf")
            local = home.record("predict", str(GGUF_MODELS / "llama.gguf"))
            self.assertEqual(record["sites"], local["sites"])

    def test_the_second_time_asks_for_the_commit_alone(self):
        home = self.home()
        first = home.record("predict", "org/gpt2-sharded")
        self.hub.forget()
        second = home.record("predict", "org/gpt2-sharded")
        asked = self.hub.requests()
        self.assertEqual(
            [r.uri for r in asked], ["/api/models/org/gpt2-sharded/revision/main"], "one request"
        )
        self.assertEqual(comparable(second), comparable(first))
        self.hub.forget()
        offline = home.record("predict", "org/gpt2-sharded", HF_HUB_OFFLINE="1")
        self.assertEqual(self.hub.requests(), [])
        self.assertEqual(comparable(offline), comparable(first))

    def test_an_unchanged_file_is_not_fetched_for_another_revision(self):
        home = self.home()
        home.record("predict", "org/steps")
        self.hub.forget()
        home.record("predict", "org/steps@refs/pr/1")
        brought = sum(r.body for r in weights(self.hub.requests()))
        size = (MODELS / "gpt2-tied/model.safetensors").stat().st_size
        self.assertLess(brought, min(size, A_SHARD) + 1)
        self.assertLessEqual(len(weights(self.hub.requests())), 1)


class ThinTest(NginxCase):
    """The checkpoint of 60 GB."""

    def fetch(self, endpoint: str) -> tuple[Home, dict]:
        home = self.home(endpoint)
        return home, home.record("predict", "org/big")

    def test_reads_headers_and_norms_and_little_else(self):
        home, record = self.fetch(self.hub.https)
        self.assertEqual(comparable(record), comparable(self.local_record("org/big")))
        requests = self.hub.requests()
        brought = {r.uri.rpartition("/")[2]: 0 for r in weights(requests)}
        for request in weights(requests):
            brought[request.uri.rpartition("/")[2]] += request.body
        self.assertEqual(sorted(brought), sorted(self.big.headers))
        needed = sum(self.big.headers.values()) + sum(self.big.norms.values())
        total = sum(brought.values())
        over = total - needed
        for shard, taken in brought.items():
            least = self.big.headers[shard] + self.big.norms[shard]
            self.assertLessEqual(taken, least * 1.01 + A_SHARD, shard)
        self.assertLessEqual(over, needed * 0.01 + A_SHARD * len(brought))
        kept = sum(f.stat().st_size for f in home.own.rglob("*") if not f.is_symlink())
        hub = record["model"]["hub"]
        answered = [r for r in requests if r.status < 300 or r.status == 404]
        self.assertEqual(hub["requests"], len(answered), "as nginx counts them")
        self.assertLessEqual(hub["bytes"], sum(r.body for r in requests))
        self.assertGreaterEqual(hub["bytes"], total)
        self.assertLessEqual(hub["round_trips"], 4)
        self.assertEqual({r.protocol for r in requests}, {"HTTP/2.0"})
        print(
            f"{total} bytes of weights, {over} over {needed} of headers and norms "
            f"({over / len(brought):.0f} a shard); all: {hub['bytes']} bytes, "
            f"{hub['requests']} requests, {hub['round_trips']} round trips, {kept} bytes kept, "
            f"{len({r.connection for r in requests})} connections",
            file=sys.stderr,
        )

    def test_is_four_round_trips_deep(self):
        for port, scheme in ((self.hub.https_port, "https"), (self.hub.http_port, "http")):
            # So far away that the time between requests of one depth is small beside it.
            with self.subTest(scheme), DelayingProxy(port, FAR / 2) as proxy:
                _, record = self.fetch(f"{scheme}://127.0.0.1:{proxy.port}")
                told = record["model"]["hub"]["round_trips"]
                redirects = 1 if self.redirect else 0
                logged = depth(self.hub.requests(), FAR)
                print(f"{scheme}: {told} told, {logged} logged", file=sys.stderr)
                self.assertLessEqual(told, 4)
                if scheme == "https":  # else 16 connections share the requests, in turns
                    self.assertLessEqual(logged, 4 + redirects)

    def test_takes_little_time(self):
        """Of several runs the quickest: another test may be running."""
        limit = float(os.environ.get("DEADRAY_HUB_SECONDS", "0.6"))
        taken = []
        with DelayingProxy(self.hub.https_port, ROUND_TRIP / 2) as proxy:
            for _ in range(6):
                home = self.home(f"https://127.0.0.1:{proxy.port}")
                ended = home.run("predict", "org/big")
                self.assertEqual(ended.code, 0, ended.err)
                taken.append(ended.seconds)
                if min(taken) < limit:
                    break
            again = home.run("predict", "org/big").seconds
        seconds = ", ".join(f"{s:.2f}" for s in taken)
        print(f"with {ROUND_TRIP} s: {seconds} s; again {again:.2f} s", file=sys.stderr)
        self.assertLess(min(taken), limit)


class ElsewhereTest(ThinTest):
    """The same, with weights that another host sends, as the hub does."""

    redirect = True

    def test_takes_little_time(self):
        self.skipTest("another host takes round trips to connect to")

    def test_the_token_goes_to_the_endpoint_alone(self):
        home = self.home(self.hub.http)
        ended = home.run("predict", "org/gpt2-sharded", "--json", "-", HF_TOKEN=SECRET)
        self.assertEqual(ended.code, 0, ended.err)
        requests = self.hub.requests()
        away = [r for r in requests if r.host == "localhost"]
        self.assertGreater(len(away), 0)
        self.assertTrue(all(r.authorized for r in requests if r.host == "127.0.0.1"))
        self.assertFalse(any(r.authorized for r in away))
        self.assertNotIn(SECRET, ended.out + ended.err)
        kept = [f for f in home.folder.rglob("*") if f.is_file()]
        self.assertFalse([f for f in kept if SECRET.encode() in f.read_bytes()])


class RevisionsTest(NginxCase):
    def test_lists_branches_and_tags(self):
        ended = self.home().hub("revisions", "org/steps")
        self.assertEqual(ended.code, 0, ended.err)
        repository = self.tree.repositories["org/steps"]
        listed = {r["name"]: r["commit"] for r in ended.record["revisions"]}
        for name in ("main", "step1"):
            self.assertEqual(listed[name], repository.refs[name])

    def test_compares_revisions_and_patterns(self):
        for asked in ("main,step1", "[ms]*"):
            record = self.home().record("predict", "org/steps", "--revisions", asked)
            self.assertEqual(sorted(record["labels"]), ["main", "step1"], asked)
            self.assertGreater(record["hub"]["requests"], 0)


if __name__ == "__main__":
    skip_without(missing(), nginx_hub.missing())
    assert DEADRAY and HUB
    unittest.main(verbosity=2)
